//! The disk engine beside fjall and Debian's RocksDB, in one run: each in a process of its own, the same keys and loops,
//! rounds interleaved, medians, and the distance to the targets.
//! `engine [--quick] [--records N] [--rounds N] [--only fjall,rocksdb]`; data goes below `$TMPDIR`, on a real disk.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads real clocks")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark ends at the first surprise")]

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

#[path = "engine/subjects.rs"]
mod subjects;
#[path = "engine/workload.rs"]
mod workload;

const OURS: &str = "ringkeep";
const MEMORY_BYTES: u64 = 32 << 20;
const CACHE_BYTES: u64 = 64 << 20;
/// Holds the recovery test's records in the log of every subject.
const MEMORY_BYTES_LOGGED: u64 = 256 << 20;
const SCAN_ITEMS: u64 = 50;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--subject", "ringkeep"] => return workload::serve(subjects::open_ours),
        ["--subject", "fjall"] => return workload::serve(subjects::open_fjall),
        _ => {}
    }
    let option = |name: &str| {
        arguments.iter().position(|argument| argument == name).map(|at| arguments[at + 1].clone())
    };
    let quick = arguments.iter().any(|argument| argument == "--quick");
    let number = |name: &str, quick_value: u64, value: u64| {
        option(name).map_or(if quick { quick_value } else { value }, |text| text.parse().unwrap())
    };
    let scale = Scale {
        records: number("--records", 200_000, 2_000_000),
        rounds: number("--rounds", 3, 5),
        operations: if quick { 100_000 } else { 400_000 },
    };
    let scratch = Scratch::new();
    let mut names = vec![OURS];
    let only = option("--only").unwrap_or_else(|| "fjall,rocksdb".to_owned());
    names.extend(["fjall", "rocksdb"].into_iter().filter(|name| only.contains(name)));
    let rocksdb = scratch.0.join("rocksdb-subject");
    if names.contains(&"rocksdb") && !compile_rocksdb(&rocksdb) {
        println!("RocksDB is left out: it needs cc and Debian's librocksdb-dev");
        names.retain(|name| *name != "rocksdb");
    }
    let bench = Bench { names, rocksdb, directory: scratch.0.clone(), scale };
    println!(
        "{} records of {} bytes, {} rounds, medians; p50 in ns unless said\n",
        bench.scale.records,
        workload::KEY_BYTES + workload::VALUE_BYTES,
        bench.scale.rounds
    );
    let mut rows = bench.main_rows();
    rows.push(bench.recovery_row());
    print_table(&bench.names, &rows);
}

struct Scale {
    records: u64,
    rounds: u64,
    operations: u64,
}

/// A directory that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("ringkeep-bench-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _left = std::fs::remove_dir_all(&self.0);
    }
}

fn compile_rocksdb(program: &Path) -> bool {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/engine/rocksdb.c");
    let compiled = Command::new("cc")
        .args(["-O2", "-o"])
        .arg(program)
        .args([source, "-lrocksdb", "-lpthread", "-lm"])
        .status();
    compiled.is_ok_and(|status| status.success())
}

/// A subject in its process.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What a command reports.
#[derive(Clone, Copy)]
struct Report {
    p50_ns: f64,
    figure: f64,
}

impl Process {
    fn start(bench: &Bench, name: &str) -> Self {
        let mut command = if name == "rocksdb" {
            Command::new(&bench.rocksdb)
        } else {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["--subject", name]);
            command
        };
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    fn run(&mut self, command: &str) -> Report {
        writeln!(self.input, "{command}").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        let words: Vec<f64> = line.split_whitespace().map(|word| word.parse().unwrap()).collect();
        assert_eq!(words.len(), 3, "{command} ended in {line:?}");
        Report { p50_ns: words[0], figure: words[2] }
    }

    fn memory_bytes(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Better {
    Lower,
    Higher,
}

/// One line of the table: a figure for each subject.
struct Row {
    name: String,
    better: Better,
    figures: Vec<f64>,
    target: Option<Target>,
}

/// What TARGETS asks for: a ratio to RocksDB, or a figure of ours alone.
enum Target {
    RatioToRocksDb(f64, f64),
    AtMost(f64, f64),
}

struct Bench {
    names: Vec<&'static str>,
    rocksdb: PathBuf,
    directory: PathBuf,
    scale: Scale,
}

impl Bench {
    /// Runs a command on every subject in turn, each round, and takes the median of what `read` finds.
    fn row(
        &self,
        processes: &mut [Process],
        name: &str,
        (better, target): (Better, Option<Target>),
        command: &dyn Fn(u64) -> String,
        read: fn(Report) -> f64,
    ) -> Row {
        let mut figures = vec![Vec::new(); processes.len()];
        for round in 0..self.scale.rounds {
            for turn in 0..processes.len() {
                // Another one begins each round, so that nobody always follows the same neighbour.
                let subject = (turn + usize::try_from(round).unwrap()) % processes.len();
                figures[subject].push(read(processes[subject].run(&command(round))));
                processes[subject].run("settle");
            }
        }
        Row { name: name.to_owned(), better, target, figures: figures.into_iter().map(median).collect() }
    }

    fn main_rows(&self) -> Vec<Row> {
        use Better::{Higher, Lower};
        let Scale { records, operations, .. } = self.scale;
        let mut processes: Vec<Process> = self.names.iter().map(|name| Process::start(self, name)).collect();
        let path = |name: &str| self.directory.join(name);
        let mut load = Vec::new();
        let mut space = Vec::new();
        #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
        let raw = (records * (workload::KEY_BYTES + workload::VALUE_BYTES) as u64) as f64;
        for (process, name) in processes.iter_mut().zip(&self.names) {
            process.run(&format!("open {MEMORY_BYTES} {CACHE_BYTES} {}", path(name).display()));
            load.push(process.run(&format!("load {records}")).figure);
            process.run("flush");
            space.push(bytes_below(&path(name)) / raw);
        }
        let plain =
            |name: &str, better, figures| Row { name: name.to_owned(), better, figures, target: None };
        let mut rows = vec![plain("load, puts/s", Higher, load)];
        rows.push(Row { target: Some(Target::AtMost(1.4, 1.2)), ..plain("space ÷ raw", Lower, space) });
        let p50 = |report: Report| report.p50_ns;
        let per_second = |report: Report| report.figure;
        let few = operations / 20;
        let all = &mut processes[..];
        let scan = |round: u64| format!("scan {few} {} {SCAN_ITEMS}", round * 1_000_003);
        let scan_target = || Some(Target::RatioToRocksDb(0.9, 1.2));
        let rmw_target = || Some(Target::RatioToRocksDb(2.5, 4.0));
        rows.push(self.row(all, "scan 50, fresh", (Lower, scan_target()), &scan, p50));
        rows.push(self.row(all, "read", (Lower, None), &|r| format!("read {operations} {}", r * 7_919), p50));
        rows.push(self.row(
            all,
            "read, missing",
            (Lower, None),
            &|r| format!("miss {operations} {}", r * 7_919),
            p50,
        ));
        for kind in ["zipf", "uniform"] {
            let command = |round: u64| format!("rmw {kind} {operations} {}", round * 104_729);
            let name = format!("read-modify-write, {kind}");
            rows.push(self.row(all, &name, (Lower, rmw_target()), &command, p50));
        }
        rows.push(self.row(all, "scan 50, updated", (Lower, scan_target()), &scan, p50));
        let memory = all.iter().map(Process::memory_bytes).map(|bytes| bytes / 1e6).collect();
        rows.push(plain("resident, MB", Lower, memory));
        for writers in [1, 8, 64] {
            let count = if writers == 1 { operations / 100 } else { operations / 20 };
            let target = (writers == 64).then_some(Target::RatioToRocksDb(1.0, 2.0));
            let name = format!("fsynced puts/s, {writers}");
            rows.push(self.row(
                all,
                &name,
                (Higher, target),
                &|_| format!("sync {writers} {count}"),
                per_second,
            ));
        }
        rows
    }

    /// The time to open 300,000 records that a killed process has left in its log.
    fn recovery_row(&self) -> Row {
        let mut figures = vec![Vec::new(); self.names.len()];
        for round in 0..self.scale.rounds {
            for (name, figures) in self.names.iter().zip(&mut figures) {
                let path = self.directory.join(format!("{name}-logged-{round}"));
                let open = format!("open {MEMORY_BYTES_LOGGED} {CACHE_BYTES} {}", path.display());
                let mut writer = Process::start(self, name);
                writer.run(&open);
                writer.run("load 300000");
                writer.kill();
                let mut reader = Process::start(self, name);
                figures.push(reader.run(&open).figure / 1e6);
                reader.kill();
                let _left = std::fs::remove_dir_all(&path);
            }
        }
        Row {
            name: "reopen 300k logged, ms".to_owned(),
            better: Better::Lower,
            figures: figures.into_iter().map(median).collect(),
            target: Some(Target::AtMost(1_000.0, 400.0)),
        }
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^53")]
fn bytes_below(path: &Path) -> f64 {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0.0;
    for entry in std::fs::read_dir(path).unwrap().flatten() {
        // What is gone between the listing and the look took no space.
        let Ok(metadata) = entry.metadata() else { continue };
        bytes +=
            if metadata.is_dir() { bytes_below(&entry.path()) } else { metadata.blocks() as f64 * 512.0 };
    }
    bytes
}

/// Prints figures, how many times better ours are than each peer's, and how far from the targets.
fn print_table(names: &[&str], rows: &[Row]) {
    print!("{:<26}", "");
    for name in names {
        print!("{name:>12}");
    }
    for name in names.iter().skip(1) {
        print!("{:>12}", format!("× {name}"));
    }
    println!("   target (must, aim)");
    for row in rows {
        print!("{:<26}", row.name);
        for figure in &row.figures {
            let digits = if *figure < 10.0 { 2 } else { 0 };
            print!("{figure:>12.digits$}");
        }
        let ratio = |peer: f64| {
            if row.better == Better::Lower { peer / row.figures[0] } else { row.figures[0] / peer }
        };
        for peer in row.figures.iter().skip(1) {
            print!("{:>12.2}", ratio(*peer));
        }
        let rocksdb = names.iter().position(|name| *name == "rocksdb").map(|at| ratio(row.figures[at]));
        let verdict = |must: bool, aim: bool| {
            if aim {
                "aim met"
            } else if must {
                "must met"
            } else {
                "BELOW MUST"
            }
        };
        match (&row.target, rocksdb) {
            (Some(Target::RatioToRocksDb(must, aim)), Some(ratio)) => {
                println!("   {must} {aim} of rocksdb: {}", verdict(ratio >= *must, ratio >= *aim));
            }
            (Some(Target::AtMost(must, aim)), _) => {
                let figure = row.figures[0];
                println!("   at most {must} {aim}: {}", verdict(figure <= *must, figure <= *aim));
            }
            _ => println!(),
        }
    }
}
