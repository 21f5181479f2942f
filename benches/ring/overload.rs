//! Overload: a ring of three at its peak, then with ten times as many requests in flight, then at its peak again. What
//! counts is goodput, the operations that succeed; the rest is refused as `Overloaded`. `ring overload [seconds] [threads]`.

use std::sync::Arc;
use std::time::Duration;

use ringkeep::base::env::Env;

use crate::load::{Measured, Shape};
use crate::process::Server;
use crate::{Operation, node, wire};

/// What a ring on two cores sustains: more in flight than this only waits longer.
const PEAK: Shape = Shape { connections: 64, depth: 32 };
/// Ten times that.
const OVER: Shape = Shape { connections: 64, depth: 320 };
/// The least goodput under overload, and within ten seconds after it, against the peak.
const RATIO_MIN: f64 = 0.8;

pub(crate) fn run(seconds: f64, threads: usize) {
    let runtime = crate::runtime(threads);
    let env = Env::system(runtime.handle().clone()).unwrap();
    let start = |seed: &str| Server::start(&["node", "interval", &threads.to_string(), seed]);
    let first = start("");
    let seed = first.address.clone();
    let servers = [first, start(&seed), start(&seed)];
    let topology = runtime.block_on(node::seal(&seed, 3));
    let addresses: Vec<&str> = servers.iter().map(|server| server.address.as_str()).collect();
    let measure = |shape| -> Measured {
        let asked = wire::Asked { operation: Operation::Put, topology: Some(Arc::clone(&topology)) };
        runtime.block_on(wire::run(&env, &addresses, asked, shape, Duration::from_secs_f64(seconds), || 0.0))
    };
    let memory = || servers.iter().map(Server::resident_mb).fold(0.0, f64::max);
    let _warm = measure(PEAK);
    let (peak, at_peak) = (measure(PEAK), memory());
    let (over, at_over) = (measure(OVER), memory());
    let after = measure(PEAK);
    println!("put, in flight      goodput/s   p99 µs   refused/s   ÷ peak");
    for (name, shape, measured) in
        [("peak", PEAK, &peak), ("ten times", OVER, &over), ("after", PEAK, &after)]
    {
        let refused = f64::from(u32::try_from(measured.errors.values().sum::<u64>()).unwrap_or(u32::MAX));
        let ratio = measured.per_second / peak.per_second;
        let verdict = if ratio >= RATIO_MIN { "met" } else { "missed" };
        println!(
            "{name:>9} {:>6}  {:>11.0}  {:>7.0}  {:>10.0}   {ratio:.2}, at least {RATIO_MIN} ({verdict})",
            shape.connections * shape.depth,
            measured.per_second,
            measured.p99_us,
            refused / seconds,
        );
        for why in measured.errors.keys() {
            println!("          {why}");
        }
    }
    println!("memory of the largest server: {at_peak:.0} MB at the peak, {at_over:.0} MB under overload");
}
