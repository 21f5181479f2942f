//! Machines of one's own: network namespaces on a bridge that lives in a namespace too, so that the host's network is not
//! touched. Links are cut and made lossy with nft inside the sender's namespace. Everything goes when the value is dropped;
//! what a killed run has left is taken away by the next.

use std::process::{Command, Stdio};

use crate::Failure;

const PREFIX: &str = "rkp";

/// The namespaces of one run.
#[derive(Debug)]
pub struct Network {
    tag: String,
    hosts: usize,
}

/// Runs a command to its end.
fn run(command: &str) -> Result<String, Failure> {
    let mut words = command.split_whitespace();
    let program = words.next().ok_or("no command")?;
    let output = Command::new(program).args(words).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{command}: {}", text.trim()).into());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Takes away the namespaces of runs that are no more.
fn sweep() -> Result<(), Failure> {
    for line in run("ip netns list")?.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')).map(|(pid, _)| pid);
        if pid.is_some_and(|pid| !std::path::Path::new("/proc").join(pid).exists()) {
            run(&format!("ip netns del {name}"))?;
        }
    }
    Ok(())
}

impl Network {
    /// Machines that all reach each other.
    ///
    /// # Errors
    /// It takes root, `ip`, `nft` and a kernel that has namespaces, bridges and random numbers for nft.
    pub fn new(hosts: usize) -> Result<Self, Failure> {
        if !rustix::process::geteuid().is_root() {
            return Err("making network namespaces takes root".into());
        }
        run("nft --version")?;
        sweep()?;
        let network = Self { tag: format!("{PREFIX}{}", std::process::id()), hosts };
        let hub = network.hub();
        run(&format!("ip netns add {hub}"))?;
        run(&format!("ip -n {hub} link set lo up"))?;
        run(&format!("ip -n {hub} link add bridge type bridge"))?;
        run(&format!("ip -n {hub} addr add 10.77.0.1/24 dev bridge"))?;
        run(&format!("ip -n {hub} link set bridge up"))?;
        for host in 0..hosts {
            network.add_host(host)?;
        }
        Ok(network)
    }

    fn add_host(&self, host: usize) -> Result<(), Failure> {
        let (hub, space, ip) = (self.hub(), self.space(host), self.ip(host));
        run(&format!("ip netns add {space}"))?;
        run(&format!("ip -n {hub} link add port{host} type veth peer name eth0 netns {space}"))?;
        run(&format!("ip -n {hub} link set port{host} master bridge up"))?;
        run(&format!("ip -n {space} addr add {ip}/24 dev eth0"))?;
        run(&format!("ip -n {space} link set lo up"))?;
        run(&format!("ip -n {space} link set eth0 up"))?;
        run(&format!("ip netns exec {space} nft add table inet faults"))?;
        let chain = "add chain inet faults out { type filter hook output priority 0 ; }";
        run(&format!("ip netns exec {space} nft {chain}"))?;
        // What the kernel cannot do is found now and not in the midst of a test.
        self.lose(host, host, 1)?;
        self.heal(host)
    }

    fn hub(&self) -> String {
        format!("{}-hub", self.tag)
    }

    fn space(&self, host: usize) -> String {
        format!("{}-{host}", self.tag)
    }

    /// The address of a machine.
    #[must_use]
    pub fn ip(&self, host: usize) -> String {
        format!("10.77.0.{}", host + 10)
    }

    /// A command that runs a program on a machine.
    #[must_use]
    pub fn on_host(&self, host: usize, program: &[String]) -> Command {
        self.inside(&self.space(host), program)
    }

    /// A command that runs a program beside the machines, where no link is ever cut.
    #[must_use]
    pub fn on_hub(&self, program: &[String]) -> Command {
        self.inside(&self.hub(), program)
    }

    fn inside(&self, space: &str, program: &[String]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", space]).args(program);
        command
    }

    /// Cuts one direction.
    ///
    /// # Errors
    /// What nft reports.
    pub fn cut(&self, from: usize, to: usize) -> Result<(), Failure> {
        self.rule(from, &format!("ip daddr {} drop", self.ip(to)))
    }

    /// Cuts both directions between a machine and all others.
    ///
    /// # Errors
    /// What nft reports.
    pub fn isolate(&self, host: usize) -> Result<(), Failure> {
        for other in (0..self.hosts).filter(|other| *other != host) {
            self.cut(host, other)?;
            self.cut(other, host)?;
        }
        Ok(())
    }

    /// Loses so many of a hundred packets of one direction.
    ///
    /// # Errors
    /// What nft reports.
    pub fn lose(&self, from: usize, to: usize, percent: u32) -> Result<(), Failure> {
        self.rule(from, &format!("ip daddr {} numgen random mod 100 < {percent} drop", self.ip(to)))
    }

    /// Heals everything that a machine sends.
    ///
    /// # Errors
    /// What nft reports.
    pub fn heal(&self, host: usize) -> Result<(), Failure> {
        run(&format!("ip netns exec {} nft flush chain inet faults out", self.space(host))).map(drop)
    }

    /// Heals every link.
    ///
    /// # Errors
    /// What nft reports.
    pub fn heal_all(&self) -> Result<(), Failure> {
        (0..self.hosts).try_for_each(|host| self.heal(host))
    }

    fn rule(&self, host: usize, rule: &str) -> Result<(), Failure> {
        run(&format!("ip netns exec {} nft add rule inet faults out {rule}", self.space(host))).map(drop)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for space in (0..self.hosts).map(|host| self.space(host)).chain([self.hub()]) {
            // It may never have been made.
            let _deleted = run(&format!("ip netns del {space}"));
        }
    }
}
