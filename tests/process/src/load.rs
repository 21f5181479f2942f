//! The client of a ring: a process that writes fresh keys all the time, remembers which were acknowledged, and reads them
//! back when it is asked to.

use crate::Failure;
use crate::member::Member;
use crate::network::Network;
use crate::talk::Talk;

/// A running client.
#[derive(Debug)]
pub struct Load(Talk);

impl Load {
    /// Starts a client that may use any of these machines' members.
    ///
    /// # Errors
    /// It does not come up.
    pub fn start(program: &str, network: &Network, hosts: usize) -> Result<Self, Failure> {
        let addresses: Vec<String> = (0..hosts).map(|host| Member::address(network, host)).collect();
        let command = [program.to_owned(), format!("ringkeep://{}", addresses.join(","))];
        let mut talk = Talk::start("the client", network.on_hub(&command))?;
        match talk.hear()?.as_str() {
            "ready" => Ok(Self(talk)),
            other => Err(format!("the client says {other:?}").into()),
        }
    }

    /// How many writes were acknowledged.
    ///
    /// # Errors
    /// The client has ended.
    pub fn acked(&mut self) -> Result<u64, Failure> {
        Ok(self.0.ask("acked")?.parse()?)
    }

    /// Some keys whose writes were acknowledged.
    ///
    /// # Errors
    /// The client has ended.
    pub fn some(&mut self, count: u64) -> Result<Vec<String>, Failure> {
        Ok(self.0.ask(&format!("some {count}"))?.split_whitespace().map(str::to_owned).collect())
    }

    /// Waits until so many more writes have been acknowledged.
    ///
    /// # Errors
    /// The client has ended, or they are not for too long.
    pub fn progress(&mut self, count: u64) -> Result<(), Failure> {
        self.expect(&format!("progress {count}"), "progressed")
    }

    /// Reads so many of the keys whose writes were acknowledged, at a quorum.
    ///
    /// # Errors
    /// A read fails, or shows something else.
    pub fn read(&mut self, count: u64) -> Result<(), Failure> {
        self.expect(&format!("read {count}"), "read")
    }

    /// Stops writing and reads every key whose write was acknowledged; says how many there are.
    ///
    /// # Errors
    /// A key is lost.
    pub fn verify(&mut self) -> Result<u64, Failure> {
        self.expect("verify", "verified")?;
        self.acked()
    }

    fn expect(&mut self, request: &str, answer: &str) -> Result<(), Failure> {
        match self.0.ask(request)? {
            told if told == answer => Ok(()),
            told => Err(format!("{request}: {told}").into()),
        }
    }
}
