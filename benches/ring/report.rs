//! What was measured, as a table; and the distance to the targets, each a ratio of two lines of the same run.

use std::collections::BTreeMap;

use crate::Operation;
use crate::load::{Measured, Shape};

const ONE: Shape = Shape { connections: 1, depth: 1 };
const MANY: Shape = Shape { connections: 64, depth: 1 };
const PIPELINED: Shape = Shape { connections: 64, depth: 16 };
/// The shapes in which each store is measured.
pub(crate) const SHAPES: [Shape; 3] = [ONE, MANY, PIPELINED];

/// One load of one store, over all rounds.
struct Line {
    store: &'static str,
    operation: Operation,
    shape: Shape,
    rounds: Vec<Measured>,
}

/// Everything that was measured.
#[derive(Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
    errors: BTreeMap<String, u64>,
}

/// A figure of a line.
#[derive(Clone, Copy)]
enum Figure {
    Throughput,
    Cpu,
    P50,
}

/// A ratio and what it should be; for costs less is better.
struct Target {
    what: &'static str,
    figure: Figure,
    ours: Case,
    peer: Case,
    must: f64,
    aim: f64,
}

impl Line {
    fn median(&self, of: impl Fn(&Measured) -> f64) -> f64 {
        let mut values: Vec<f64> = self.rounds.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    }

    fn figure(&self, figure: Figure) -> f64 {
        match figure {
            Figure::Throughput => self.median(|round| round.per_second),
            Figure::Cpu => self.median(|round| round.cpu_us),
            Figure::P50 => self.median(|round| round.p50_us),
        }
    }
}

impl Report {
    pub(crate) fn take(
        &mut self,
        store: &'static str,
        operation: Operation,
        shape: Shape,
        mut measured: Measured,
    ) {
        for (why, count) in std::mem::take(&mut measured.errors) {
            *self.errors.entry(format!("{store}, {}: {why}", operation.name())).or_default() += count;
        }
        let same =
            |line: &&mut Line| line.store == store && line.operation == operation && line.shape == shape;
        match self.lines.iter_mut().find(same) {
            Some(line) => line.rounds.push(measured),
            None => self.lines.push(Line { store, operation, shape, rounds: vec![measured] }),
        }
    }

    fn line(&self, store: &str, operation: Operation, shape: Shape) -> Option<&Line> {
        let same = |line: &&Line| line.store == store && line.operation == operation && line.shape == shape;
        self.lines.iter().find(same)
    }

    pub(crate) fn print(&self) {
        println!(
            "\n{:<16}{:<8}{:>12}{:>12}{:>9}{:>9}{:>14}{:>16}{:>14}",
            "store",
            "load",
            "connections",
            "ops/s",
            "p50 µs",
            "p99 µs",
            "server µs/op",
            "ops/s ÷ floor",
            "CPU ÷ floor"
        );
        for line in &self.lines {
            let base = if line.operation == Operation::GetOne { Operation::Get } else { line.operation };
            let floor = self.line("floor", base, line.shape);
            let ratio = |figure| {
                floor.map_or_else(String::new, |floor| {
                    format!("{:.2}", line.figure(figure) / floor.figure(figure))
                })
            };
            println!(
                "{:<16}{:<8}{:>12}{:>12.0}{:>9.0}{:>9.0}{:>14.2}{:>16}{:>14}",
                line.store,
                line.operation.name(),
                format!("{} × {}", line.shape.connections, line.shape.depth),
                line.figure(Figure::Throughput),
                line.figure(Figure::P50),
                line.median(|round| round.p99_us),
                line.figure(Figure::Cpu),
                ratio(Figure::Throughput),
                ratio(Figure::Cpu)
            );
        }
        self.print_errors();
        self.print_targets();
    }

    fn print_errors(&self) {
        println!("\nerrors: {}", if self.errors.is_empty() { "none" } else { "" });
        for (why, count) in &self.errors {
            println!("  {count:>8} × {why}");
        }
    }

    fn print_targets(&self) {
        println!("\n{:<62}{:>8}{:>8}{:>8}  distance", "ratio, in this run", "here", "must", "aim");
        for target in targets() {
            let find = |(store, operation, shape)| self.line(store, operation, shape);
            let (Some(ours), Some(peer)) = (find(target.ours), find(target.peer)) else {
                println!("{:<62}{:>8}", target.what, "not run");
                continue;
            };
            let here = ours.figure(target.figure) / peer.figure(target.figure);
            println!(
                "{:<62}{here:>8.2}{:>8}{:>8}  {}",
                target.what,
                target.must,
                target.aim,
                target.distance(here)
            );
        }
    }
}

impl Target {
    /// How this ratio stands to the aim and to what must be.
    fn distance(&self, here: f64) -> String {
        let less_is_better = !matches!(self.figure, Figure::Throughput);
        let times = |goal: f64| if less_is_better { here / goal } else { goal / here };
        if times(self.aim) <= 1.0 {
            "aim met".to_owned()
        } else if times(self.must) <= 1.0 {
            format!("must met, {:.1} times off the aim", times(self.aim))
        } else {
            format!("{:.1} times off", times(self.must))
        }
    }
}

type Case = (&'static str, Operation, Shape);

fn target(what: &'static str, figure: Figure, ours: Case, peer: Case, must: f64, aim: f64) -> Target {
    Target { what, figure, ours, peer, must, aim }
}

fn interval(operation: Operation, shape: Shape) -> Case {
    ("interval", operation, shape)
}

/// The ratios of the targets that this run can tell. Stores on disk sync at intervals unless they are said to fsync.
fn targets() -> Vec<Target> {
    let mut targets = put_targets();
    targets.extend(get_targets());
    targets
}

fn put_targets() -> Vec<Target> {
    use Figure::{Cpu, P50, Throughput};
    use Operation::Put;
    vec![
        target(
            "quorum put ÷ redis ×3 WAIT 1",
            Throughput,
            interval(Put, MANY),
            ("redis ×3", Put, MANY),
            0.8,
            1.3,
        ),
        target(
            "quorum put ÷ etcd ×3 no fsync",
            Throughput,
            interval(Put, MANY),
            ("etcd no fsync", Put, MANY),
            8.0,
            15.0,
        ),
        target(
            "quorum put, server CPU ÷ quorum floor",
            Cpu,
            interval(Put, MANY),
            ("floor", Put, MANY),
            2.5,
            1.6,
        ),
        target(
            "pipelined quorum put, 64 × 16 ÷ floor",
            Throughput,
            interval(Put, PIPELINED),
            ("floor", Put, PIPELINED),
            0.25,
            0.5,
        ),
        target(
            "fsynced quorum put ÷ etcd ×3",
            Throughput,
            ("sync", Put, MANY),
            ("etcd", Put, MANY),
            5.0,
            12.0,
        ),
        target(
            "fsynced single node put, 64 writers ÷ redis AOF always",
            Throughput,
            ("sync single", Put, MANY),
            ("redis AOF", Put, MANY),
            0.5,
            1.0,
        ),
        target(
            "one connection, put: p50 ÷ quorum floor",
            P50,
            interval(Put, ONE),
            ("floor", Put, ONE),
            1.5,
            1.15,
        ),
    ]
}

fn get_targets() -> Vec<Target> {
    use Figure::{P50, Throughput};
    use Operation::{Get, GetOne};
    vec![
        target(
            "quorum get (r 2) ÷ quorum floor",
            Throughput,
            interval(Get, MANY),
            ("floor", Get, MANY),
            0.5,
            0.8,
        ),
        target(
            "quorum get ÷ etcd linearizable",
            Throughput,
            interval(Get, MANY),
            ("etcd", Get, MANY),
            6.0,
            14.0,
        ),
        target("get r 1 ÷ redis GET", Throughput, interval(GetOne, MANY), ("redis ×3", Get, MANY), 0.7, 1.1),
        target(
            "one connection, get: p50 ÷ quorum floor",
            P50,
            interval(Get, ONE),
            ("floor", Get, ONE),
            1.5,
            1.15,
        ),
    ]
}
