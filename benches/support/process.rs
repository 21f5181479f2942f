//! A serving process that a benchmark starts, and what it has cost so far.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long a peer may take to listen.
const LISTEN: Duration = Duration::from_secs(20);

/// A serving process. One of ours ends when its standard input does, a peer is killed.
pub(crate) struct Server {
    child: Child,
    output: Option<Mutex<BufReader<ChildStdout>>>,
    pub(crate) address: String,
}

/// A port of loopback that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
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
        Self { child, output: Some(Mutex::new(output)), address: address.trim().to_owned() }
    }

    /// Starts another program that is to listen at this address; none if it is not installed. It dies with this process,
    /// however that ends: setpriv asks the kernel for it, and becomes the program.
    pub(crate) fn start_peer(program: &Command, address: &str) -> Option<Self> {
        let name = program.get_program();
        let paths = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&paths).any(|path| path.join(name).is_file()) {
            return None;
        }
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(name).args(program.get_args());
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.spawn().ok()?;
        let server = Self { child, output: None, address: address.to_owned() };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            assert!(began.elapsed() < LISTEN, "{} does not listen at {address}", name.display());
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(server)
    }

    /// Says where all of them listen, and waits until it is connected to the others.
    pub(crate) fn join(&self, addresses: &str) {
        writeln!(self.child.stdin.as_ref().unwrap(), "{addresses}").unwrap();
        let output = self.output.as_ref().expect("one of ours");
        output.lock().read_line(&mut String::new()).unwrap();
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
    }

    /// Megabytes of memory that it has now.
    pub(crate) fn resident_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1_024.0
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
        if self.output.is_none() {
            self.child.kill().unwrap();
        }
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}
