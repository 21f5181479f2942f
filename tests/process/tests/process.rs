//! A ring of real processes, each in its own network namespace, in as many languages as are built, under a client that
//! writes all the time: kill -9, SIGSTOP, links cut one way and both, 40 % loss, a lost disk. No acknowledged write is
//! lost, reads and writes go on while one member is away, and all members settle. It says when it cannot run.
//! `RINGKEEP_ROUNDS=n` says how often each thing happens (default 2); `RINGKEEP_MEASURE=1` measures how soon an absence is known.

#![expect(clippy::print_stdout, reason = "its own harness")]

use std::time::Duration;

use ringkeep_process::Failure;
use ringkeep_process::load::Load;
use ringkeep_process::member::Member;
use ringkeep_process::network::Network;
use ringkeep_process::program::programs;
use rustix::process::Signal;

/// Members of a ring: one more than owners of a key, so that some are none.
const MEMBERS: usize = 4;
/// Writes that must be acknowledged while something is wrong.
const WRITES: u64 = 150;
/// Keys that must be read while something is wrong.
const READS: u64 = 50;
/// The pause between two looks at the members.
const LOOK: Duration = Duration::from_millis(20);
/// Looks before what is waited for counts as something that never comes.
const LOOKS_MAX: u32 = 1_500;

struct Ring {
    members: Vec<Member>,
    load: Load,
    network: Network,
    /// The member that lost its disk.
    gone: Option<String>,
    measure: bool,
    kills: Vec<f64>,
    stops: Vec<f64>,
}

#[expect(clippy::disallowed_methods, reason = "real processes live in real time")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Gives the others the processor between two looks.
fn look_again() {
    std::thread::sleep(LOOK);
}

impl Ring {
    fn start(network: Network, folder: &std::path::Path) -> Result<Self, Failure> {
        let (programs, missing) = programs(env!("CARGO_BIN_EXE_ringkeep-process-node"), folder)?;
        missing.iter().for_each(|line| println!("stays out: {line}"));
        let program = |host: usize| programs.get(host % programs.len()).cloned().ok_or("no programs");
        let mut members = Vec::new();
        for host in 0..MEMBERS {
            let mut member = Member::new(program(host)?, host, folder.join(format!("m{host}")));
            member.start(&network, if host == 0 { &[] } else { &[0] })?;
            members.push(member);
        }
        let languages: Vec<_> = members.iter().map(|member| member.program.language).collect();
        println!("a ring of {}", languages.join(", "));
        let client = env!("CARGO_BIN_EXE_ringkeep-process-client");
        let mut load = Load::start(client, &network, MEMBERS)?;
        load.progress(WRITES)?;
        let measure = std::env::var_os("RINGKEEP_MEASURE").is_some();
        let (kills, stops) = (Vec::new(), Vec::new());
        let mut ring = Self { members, load, network, gone: None, measure, kills, stops };
        ring.settle()?;
        Ok(ring)
    }

    fn member(&mut self, host: usize) -> Result<&mut Member, Failure> {
        self.members.get_mut(host % MEMBERS).ok_or_else(|| "no such member".into())
    }

    /// Writes and reads go on.
    fn goes_on(&mut self) -> Result<(), Failure> {
        self.load.progress(WRITES)?;
        self.load.read(READS)
    }

    /// Waits until no member has anything left to do, apart from what is owed to one that is gone for good.
    fn settle(&mut self) -> Result<(), Failure> {
        let mut due = Vec::new();
        for _ in 0..LOOKS_MAX {
            due.clear();
            for member in &mut self.members {
                let status = member.status()?;
                let void = self.gone.as_ref().and_then(|gone| status.owed.get(gone)).copied().unwrap_or(0);
                let all_up =
                    status.states.iter().all(|(id, state)| state == "up" || Some(id) == self.gone.as_ref());
                due.push((status.unsettled.saturating_sub(void), all_up, status.states));
            }
            if due.iter().all(|(due, all_up, _)| *due == 0 && *all_up) {
                return Ok(());
            }
            look_again();
        }
        Err(format!("the members do not settle: {due:?}").into())
    }

    /// Seconds until every other member says that this one is not up.
    fn known_after(&mut self, host: usize) -> Result<f64, Failure> {
        let began = now();
        let id = self.member(host)?.id.clone();
        for _ in 0..LOOKS_MAX {
            let mut known = true;
            for member in self.members.iter_mut().filter(|member| member.host != host % MEMBERS) {
                let state = member.status()?.states.remove(&id);
                known &= state.is_some_and(|state| state == "down");
            }
            if known {
                return Ok(began.elapsed().as_secs_f64());
            }
            look_again();
        }
        Err(format!("nobody finds out that the member on machine {host} is away").into())
    }

    fn kill_and_restart(&mut self, host: usize) -> Result<(), Failure> {
        self.member(host)?.kill()?;
        if self.measure {
            let seconds = self.known_after(host)?;
            self.kills.push(seconds);
        }
        self.goes_on()?;
        let seeds: Vec<usize> = (0..MEMBERS).filter(|other| *other != host % MEMBERS).collect();
        let Self { members, network, .. } = self;
        members.get_mut(host % MEMBERS).ok_or("no such member")?.start(network, &seeds)?;
        self.settle()
    }

    fn stop_and_continue(&mut self, host: usize) -> Result<(), Failure> {
        self.member(host)?.signal(Signal::STOP)?;
        if self.measure {
            let seconds = self.known_after(host)?;
            self.stops.push(seconds);
        }
        self.goes_on()?;
        self.member(host)?.signal(Signal::CONT)?;
        self.settle()
    }

    fn cut_one_way(&mut self, host: usize) -> Result<(), Failure> {
        self.network.cut(host % MEMBERS, (host + 1) % MEMBERS)?;
        self.goes_on()?;
        self.network.heal_all()?;
        self.settle()
    }

    fn cut_off(&mut self, host: usize) -> Result<(), Failure> {
        self.network.isolate(host % MEMBERS)?;
        self.goes_on()?;
        self.network.heal_all()?;
        self.settle()
    }

    fn lossy_link(&mut self, host: usize) -> Result<(), Failure> {
        let (one, other) = (host % MEMBERS, (host + 2) % MEMBERS);
        self.network.lose(one, other, 40)?;
        self.network.lose(other, one, 40)?;
        self.goes_on()?;
        self.network.heal_all()?;
        self.settle()
    }

    /// The machine comes back empty, as a member that owns nothing.
    fn lose_disk(&mut self, host: usize) -> Result<(), Failure> {
        self.settle()?;
        let member = self.member(host)?;
        member.kill()?;
        member.wipe()?;
        let gone = member.id.clone();
        self.goes_on()?;
        let seeds: Vec<usize> = (0..MEMBERS).filter(|other| *other != host % MEMBERS).collect();
        let Self { members, network, .. } = self;
        members.get_mut(host % MEMBERS).ok_or("no such member")?.start(network, &seeds)?;
        self.gone = Some(gone);
        self.goes_on()?;
        self.settle()
    }

    /// Every acknowledged write is at a quorum, and every member finds it at an owner.
    fn verify(&mut self) -> Result<u64, Failure> {
        let acked = self.load.verify()?;
        for key in self.load.some(READS)? {
            for member in &mut self.members {
                if !member.holds(&key)? {
                    return Err(format!("{key} cannot be read on machine {}", member.host).into());
                }
            }
        }
        Ok(acked)
    }
}

fn median(times: &mut [f64]) -> Option<f64> {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied()
}

type Trouble = fn(&mut Ring, usize) -> Result<(), Failure>;

const TROUBLES: [(&str, Trouble); 5] = [
    ("kill -9", Ring::kill_and_restart),
    ("SIGSTOP", Ring::stop_and_continue),
    ("one direction of a link cut", Ring::cut_one_way),
    ("a member cut off", Ring::cut_off),
    ("40 % loss on a link", Ring::lossy_link),
];

fn run(network: Network, rounds: usize) -> Result<usize, Failure> {
    let folder = tempfile::tempdir()?;
    let began = now();
    let mut ring = Ring::start(network, folder.path())?;
    let mut passed = 0;
    let mut done = |what: &str| {
        passed += 1;
        println!("{:6.1} s  {what}", began.elapsed().as_secs_f64());
    };
    for round in 0..rounds {
        for (turn, (what, trouble)) in TROUBLES.iter().enumerate() {
            let host = round + turn;
            trouble(&mut ring, host)
                .map_err(|error| format!("{what}, machine {}: {error}", host % MEMBERS))?;
            done(what);
        }
    }
    ring.lose_disk(2)?;
    done("a lost disk");
    let acked = ring.verify()?;
    done(&format!("{acked} acknowledged writes, none lost"));
    for (what, times, target) in [("kill -9", &mut ring.kills, 1.5), ("SIGSTOP", &mut ring.stops, 5.0)] {
        if let Some(median) = median(times) {
            println!(
                "{what} known to all after {median:.1} s (median of {}; target {target} s)",
                times.len()
            );
        }
    }
    for member in &mut ring.members {
        member.end()?;
    }
    Ok(passed)
}

fn main() -> std::process::ExitCode {
    let rounds = std::env::var("RINGKEEP_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2);
    let network = match Network::new(MEMBERS) {
        Ok(network) => network,
        Err(reason) => {
            println!("SKIPPED: {reason}");
            println!("0 passed, 0 failed, 1 skipped");
            return std::process::ExitCode::SUCCESS;
        }
    };
    match run(network, rounds) {
        Ok(passed) => {
            println!("{passed} passed, 0 failed");
            std::process::ExitCode::SUCCESS
        }
        Err(error) => {
            println!("{error}\n0 passed, 1 failed");
            std::process::ExitCode::FAILURE
        }
    }
}
