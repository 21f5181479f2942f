//! Runs the behaviour suite in Rust: `ringkeep-behaviour [PART OF A NAME]`. The step language is specified in
//! `tests/behaviour/README.md`. Closes on one line that counts the cases.
#![expect(clippy::print_stdout, reason = "a runner talks to whoever started it")]
#![expect(
    clippy::disallowed_methods,
    reason = "the runner is outside every simulation: real time, real waiting"
)]

mod case;
mod expect;
mod steps;
mod world;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use case::{Case, Step};
use world::World;

/// How long a step with `until` is repeated, and how long a whole case may take.
const UNTIL: Duration = Duration::from_secs(10);
const CASE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let (runtime, cases) = match (runtime, case::load(&directory)) {
        (Ok(runtime), Ok(cases)) => (runtime, cases),
        (Err(error), _) => return fault(&error.to_string()),
        (_, Err(error)) => return fault(&error),
    };
    let filter = std::env::args().nth(1).unwrap_or_default();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for (file, case) in &cases {
        let name = format!("{file}::{}", case.name);
        if !name.contains(&filter) {
            continue;
        }
        if case.skip.contains_key("rust") {
            skipped += 1;
            continue;
        }
        let ran = runtime.block_on(async { tokio::time::timeout(CASE, run(case)).await });
        match ran.unwrap_or_else(|_| Err(format!("took longer than {} s", CASE.as_secs()))) {
            Ok(()) => passed += 1,
            Err(fault) => {
                failed += 1;
                println!("FAILED {name}\n    {fault}");
            }
        }
    }
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn fault(text: &str) -> ExitCode {
    println!("{text}");
    ExitCode::FAILURE
}

async fn run(case: &Case) -> Result<(), String> {
    let mut world = World::new(&case.setup).await?;
    let mut result = Ok(());
    for (at, step) in case.steps.iter().enumerate() {
        result = attempt(&mut world, step)
            .await
            .map_err(|fault| format!("step {} ({}): {fault}", at + 1, step.op));
        if result.is_err() {
            break;
        }
    }
    world.end().await;
    result
}

async fn attempt(world: &mut World, step: &Step) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let outcome = steps::perform(world, step).await?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let checked = expect::check(step.expect.as_ref(), &outcome, now, &|text| world.expand(text));
        if checked.is_ok() || !step.until || began.elapsed() > UNTIL {
            return checked;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
