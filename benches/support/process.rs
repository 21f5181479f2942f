//! A serving process that a benchmark starts, and what it has cost so far.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

use parking_lot::Mutex;

/// A serving process; it ends when its standard input does.
pub(crate) struct Server {
    child: Child,
    output: Mutex<BufReader<ChildStdout>>,
    pub(crate) address: String,
}

impl Server {
    /// Starts this program again with these arguments; its first line is its address.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut address = String::new();
        output.read_line(&mut address).unwrap();
        Self { child, output: Mutex::new(output), address: address.trim().to_owned() }
    }

    /// Says where all of them listen, and waits until it is connected to the others.
    pub(crate) fn join(&self, addresses: &str) {
        writeln!(self.child.stdin.as_ref().unwrap(), "{addresses}").unwrap();
        self.output.lock().read_line(&mut String::new()).unwrap();
    }

    /// User and system time so far, from the kernel's accounts of each thread.
    pub(crate) fn cpu_us(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).unwrap().parse::<f64>().unwrap();
        // The kernel counts in hundredths of a second.
        (ticks(11) + ticks(12)) * 10_000.0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}
