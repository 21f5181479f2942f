//! The cases as the suite's specification lays them out. A word that it does not know is an error in parsing, so that
//! nothing is skipped silently.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Map, Value};

/// One file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Suite {
    #[serde(rename = "about")]
    _about: String,
    pub(crate) cases: Vec<Case>,
}

/// One case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) setup: Setup,
    #[serde(default)]
    pub(crate) skip: BTreeMap<String, String>,
    pub(crate) steps: Vec<Step>,
}

/// What is there before the first step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Setup {
    pub(crate) store: Kind,
    #[serde(default)]
    pub(crate) settings: Map<String, Value>,
    #[serde(default)]
    pub(crate) buckets: Vec<BucketRules>,
    #[serde(default = "three")]
    pub(crate) size: usize,
    #[serde(default = "three_replicas")]
    pub(crate) n: u32,
}

fn three() -> usize {
    3
}

fn three_replicas() -> u32 {
    3
}

/// What kind of store a case starts with.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Memory,
    Durable,
    Cluster,
    None,
}

/// The rules of a bucket, as `setup` and `create_bucket` give them.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(crate) struct BucketRules {
    #[serde(default)]
    pub(crate) name: String,
    pub(crate) n: Option<Value>,
    pub(crate) r: Option<Value>,
    pub(crate) w: Option<Value>,
    pub(crate) resolver: Option<String>,
    pub(crate) ttl_ms: Option<u64>,
    #[serde(default)]
    pub(crate) sloppy: bool,
}

/// One step: the operation, whose it is, what is expected; everything else is an argument.
#[derive(Deserialize)]
pub(crate) struct Step {
    pub(crate) op: String,
    #[serde(default = "main_store")]
    pub(crate) store: String,
    pub(crate) bucket: Option<String>,
    #[serde(default)]
    pub(crate) options: Map<String, Value>,
    pub(crate) expect: Option<Map<String, Value>>,
    pub(crate) save: Option<String>,
    #[serde(default)]
    pub(crate) until: bool,
    #[serde(flatten)]
    pub(crate) arguments: Map<String, Value>,
}

fn main_store() -> String {
    "main".to_owned()
}

impl Step {
    /// An argument that has to be there.
    pub(crate) fn argument(&self, name: &str) -> Result<&Value, String> {
        self.arguments.get(name).ok_or_else(|| format!("{} lacks its argument {name}", self.op))
    }

    /// A text argument that has to be there.
    pub(crate) fn text(&self, name: &str) -> Result<&str, String> {
        self.argument(name)?.as_str().ok_or_else(|| format!("{name} of {} is no text", self.op))
    }

    /// A bytes argument that has to be there.
    pub(crate) fn bytes(&self, name: &str) -> Result<Bytes, String> {
        bytes(self.argument(name)?)
    }

    /// A bytes argument that may be missing, which is empty.
    pub(crate) fn bytes_or_empty(&self, name: &str) -> Result<Bytes, String> {
        self.arguments.get(name).map_or(Ok(Bytes::new()), bytes)
    }

    /// A list argument that has to be there.
    pub(crate) fn list(&self, name: &str) -> Result<&Vec<Value>, String> {
        self.argument(name)?.as_array().ok_or_else(|| format!("{name} of {} is no list", self.op))
    }

    /// Fails on an argument that the operation does not have.
    pub(crate) fn only(&self, names: &[&str]) -> Result<(), String> {
        match self.arguments.keys().find(|name| !names.contains(&name.as_str())) {
            Some(unknown) => Err(format!("{} has no argument {unknown}", self.op)),
            None => Ok(()),
        }
    }
}

/// BYTES of the step language.
pub(crate) fn bytes(value: &Value) -> Result<Bytes, String> {
    let fault = || format!("{value} is no BYTES");
    if let Some(text) = value.as_str() {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    }
    let object = value.as_object().ok_or_else(fault)?;
    if let Some(hex) = object.get("hex").and_then(Value::as_str) {
        let digits: Option<Vec<u8>> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect();
        return digits.map(Bytes::from).ok_or_else(fault);
    }
    match (object.get("repeat").and_then(Value::as_str), object.get("count").and_then(Value::as_u64)) {
        (Some(part), Some(count)) => {
            Ok(Bytes::from(part.repeat(usize::try_from(count).map_err(|e| e.to_string())?)))
        }
        _ => Err(fault()),
    }
}

/// A list of BYTES.
pub(crate) fn bytes_list(value: &Value) -> Result<Vec<Bytes>, String> {
    value.as_array().ok_or_else(|| format!("{value} is no list"))?.iter().map(bytes).collect()
}

/// Every case of every file of a directory, by file and in order.
pub(crate) fn load(directory: &Path) -> Result<Vec<(String, Case)>, String> {
    let listed = std::fs::read_dir(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    let mut paths: Vec<_> = listed.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    paths.sort();
    let mut cases = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let suite: Suite = serde_json::from_str(&text).map_err(|e| format!("{}: {e}", path.display()))?;
        let file = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        cases.extend(suite.cases.into_iter().map(|case| (file.clone(), case)));
    }
    Ok(cases)
}
