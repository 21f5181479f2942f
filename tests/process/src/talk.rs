//! A process that is spoken with by lines: one line in, one line out.
//! It is killed when its handle is dropped, even if it is stopped.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::Failure;

/// How long a process may take to answer before it counts as stuck. Far beyond what anything here takes.
const ANSWER: Duration = Duration::from_secs(120);

/// A process and its two streams.
#[derive(Debug)]
pub struct Talk {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Talk {
    /// Starts a process.
    ///
    /// # Errors
    /// What starting it reports.
    pub fn start(name: &str, mut command: Command) -> Result<Self, Failure> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let output = child.stdout.take().ok_or("a process without output")?;
        let (sender, lines) = channel();
        let read = move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name(format!("lines of {name}")).spawn(read)?;
        Ok(Self { name: name.to_owned(), child, input, lines })
    }

    /// The next line that it prints.
    ///
    /// # Errors
    /// It has ended, or prints nothing for too long.
    pub fn hear(&mut self) -> Result<String, Failure> {
        match self.lines.recv_timeout(ANSWER) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => Err(format!("{} does not answer", self.name).into()),
            Err(RecvTimeoutError::Disconnected) => {
                Err(format!("{} has ended with {}", self.name, self.child.wait()?).into())
            }
        }
    }

    /// Says a line and hears the answer.
    ///
    /// # Errors
    /// As `hear`.
    pub fn ask(&mut self, line: &str) -> Result<String, Failure> {
        let input = self.input.as_mut().ok_or("the conversation is over")?;
        input.write_all(format!("{line}\n").as_bytes())?;
        input.flush()?;
        self.hear()
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> Result<(), Failure> {
        let pid = Pid::from_child(&self.child);
        Ok(kill_process(pid, signal)?)
    }

    /// Ends it as `kill -9` does.
    ///
    /// # Errors
    /// What waiting for its end reports.
    pub fn kill(&mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Closes its input, at which it ends by itself.
    ///
    /// # Errors
    /// It did not end well.
    pub fn end(mut self) -> Result<(), Failure> {
        drop(self.input.take());
        let status = self.child.wait()?;
        if status.success() { Ok(()) } else { Err(format!("{} ended with {status}", self.name).into()) }
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // It may have ended already.
        let _killed = self.kill();
    }
}
