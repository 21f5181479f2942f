//! The committed header is the one that the sources give, and its constants are those of the surface.
//! `make write-headers` runs this with RINGKEEP_WRITE_HEADERS set, which writes the header instead of comparing it.

#![allow(clippy::unwrap_used, reason = "a test panics by them")]

use std::path::Path;

use ringkeep_surface::errors;

/// In the order in which the header shows them.
const SOURCES: [&str; 12] = [
    "types",
    "status",
    "store",
    "bucket",
    "update",
    "many",
    "scan",
    "entry",
    "memory",
    "asynchronous",
    "admin",
    "cluster",
];

fn generated() -> String {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).unwrap();
    let sources = SOURCES.map(|name| here.join(format!("src/{name}.rs")));
    let builder =
        sources.into_iter().fold(cbindgen::Builder::new(), |builder, source| builder.with_src(source));
    let mut text = Vec::new();
    builder.with_config(config).generate().unwrap().write(&mut text);
    tidied(&String::from_utf8(text).unwrap())
}

/// Types by their own names, comments on as few lines as they need.
fn tidied(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut in_comment = false;
    for line in text.lines() {
        let opens = line.trim() == "/*";
        match (in_comment, line.trim()) {
            (false, "/*") => lines.push(line.to_owned()),
            (true, "*/") => lines.last_mut().unwrap().push_str(" */"),
            (true, words) if lines.last().unwrap().trim() == "/*" => {
                lines.last_mut().unwrap().push_str(&format!(" {words}"));
            }
            (true, words) => {
                let indent = line.len() - line.trim_start().len();
                lines.push(format!("{}{words}", " ".repeat(indent + 2)));
            }
            (false, _) if line.starts_with("typedef struct") => lines.push(line.to_owned()),
            (false, _) => lines.push(line.replace("struct rk_", "rk_")),
        }
        in_comment = opens || (in_comment && line.trim() != "*/");
    }
    lines.join("\n") + "\n"
}

#[test]
fn the_committed_header_is_what_the_sources_give() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../include/ringkeep.h");
    let generated = generated();
    if std::env::var_os("RINGKEEP_WRITE_HEADERS").is_some() {
        std::fs::write(&path, generated).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(committed == generated, "include/ringkeep.h is stale: run `make write-headers`");
}

#[test]
fn every_status_of_the_header_has_its_number() {
    let text = generated();
    let mut seen = 0;
    for part in text.split(|c: char| !(c.is_ascii_alphanumeric() || "_=- ".contains(c))) {
        let Some((name, number)) = part.trim().strip_prefix("RK_").and_then(|part| part.split_once(" = "))
        else {
            continue;
        };
        let Ok(number) = number.trim().parse::<i32>() else { continue };
        if name != "DEFAULT" {
            assert_eq!(errors::name(number), name);
            seen += 1;
        }
    }
    assert_eq!(seen, 23);
}
