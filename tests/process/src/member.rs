//! A member of the ring: a process on a machine of its own, with a directory. What it says of itself is JSON in one line,
//! whatever its language.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rustix::process::Signal;
use serde_json::Value;

use crate::network::Network;
use crate::program::Program;
use crate::talk::Talk;
use crate::{Failure, value_of};

const PORT: u16 = 7400;

/// A member, running or not.
#[derive(Debug)]
pub struct Member {
    /// The program that it runs.
    pub program: Program,
    /// Its machine.
    pub host: usize,
    /// Its id in the ring, once it has run.
    pub id: String,
    directory: PathBuf,
    talk: Option<Talk>,
}

/// What a member says of itself and the others.
#[derive(Debug)]
pub struct Status {
    /// What it still has to do.
    pub unsettled: u64,
    /// The state of each member, by id.
    pub states: BTreeMap<String, String>,
    /// What each member is owed, by id.
    pub owed: BTreeMap<String, u64>,
}

impl Member {
    /// A member that does not run yet.
    #[must_use]
    pub fn new(program: Program, host: usize, directory: PathBuf) -> Self {
        Self { program, host, id: String::new(), directory, talk: None }
    }

    /// Where members of a network listen.
    #[must_use]
    pub fn address(network: &Network, host: usize) -> String {
        format!("{}:{PORT}", network.ip(host))
    }

    /// Starts it and waits until it serves. Without seeds it founds the ring.
    ///
    /// # Errors
    /// It does not come up.
    pub fn start(&mut self, network: &Network, seeds: &[usize]) -> Result<(), Failure> {
        let seeds: Vec<String> = seeds.iter().map(|seed| Self::address(network, *seed)).collect();
        let seeds = if seeds.is_empty() { "-".to_owned() } else { seeds.join(",") };
        let mut command = self.program.command.clone();
        command.push(self.directory.display().to_string());
        command.push(Self::address(network, self.host));
        command.push(seeds);
        let name = format!("the {} member on machine {}", self.program.language, self.host);
        let mut talk = Talk::start(&name, network.on_host(self.host, &command))?;
        let line = talk.hear()?;
        let id = line.strip_prefix("ready ").ok_or_else(|| format!("{name} says {line:?}"))?;
        id.clone_into(&mut self.id);
        self.talk = Some(talk);
        Ok(())
    }

    fn talk(&mut self) -> Result<&mut Talk, Failure> {
        self.talk.as_mut().ok_or_else(|| format!("the member on machine {} does not run", self.host).into())
    }

    /// kill -9.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill(&mut self) -> Result<(), Failure> {
        self.talk()?.kill()?;
        self.talk = None;
        Ok(())
    }

    /// SIGSTOP, or SIGCONT.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal(&mut self, signal: Signal) -> Result<(), Failure> {
        self.talk()?.signal(signal)
    }

    /// Ends it in order.
    ///
    /// # Errors
    /// It does not run, or does not end well.
    pub fn end(&mut self) -> Result<(), Failure> {
        self.talk()?;
        self.talk.take().map_or(Ok(()), Talk::end)
    }

    /// Removes its directory.
    ///
    /// # Errors
    /// What removing reports.
    pub fn wipe(&self) -> Result<(), Failure> {
        Ok(std::fs::remove_dir_all(&self.directory)?)
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// It does not answer, or not in JSON.
    pub fn status(&mut self) -> Result<Status, Failure> {
        let line = self.talk()?.ask("status")?;
        let said: Value = serde_json::from_str(&line).map_err(|error| format!("{line:?}: {error}"))?;
        // Metrics are floating, in some languages even where they are whole.
        let whole = |value: &Value| -> Option<u64> { format!("{:.0}", value.as_f64()?).parse().ok() };
        let unsettled = said.pointer("/metrics/copies_unsettled").and_then(whole);
        let unsettled = unsettled.ok_or("no copies_unsettled")?;
        let mut status = Status { unsettled, states: BTreeMap::new(), owed: BTreeMap::new() };
        for member in said.pointer("/status/members").and_then(Value::as_array).into_iter().flatten() {
            let text = |name: &str| member.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let owed = member.get("hints_pending").and_then(Value::as_u64).unwrap_or(0);
            status.states.insert(text("id"), text("state"));
            status.owed.insert(text("id"), owed);
        }
        Ok(status)
    }

    /// Reads a key at this member from one owner, and says whether what was stored there is there.
    ///
    /// # Errors
    /// It does not answer.
    pub fn holds(&mut self, key: &str) -> Result<bool, Failure> {
        Ok(self.talk()?.ask(&format!("get {key}"))? == value_of(key))
    }
}
