//! The process that is killed: opens a directory, goes on where the last run ended, and reports each batch on a line of
//! its own once the engine has acknowledged it.
//! `ringkeep-crash DIRECTORY sync|interval`

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use ringkeep::base::error::{Error, Result};
use ringkeep::base::settings::Durability;
use ringkeep::storage::{DiskEngine, Engine};
use ringkeep_crash::{WRITERS, last, open, write};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _unheard = writeln!(std::io::stderr(), "{error:?}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or_else(|| Error::invalid("which directory?"))?;
    let durability = match arguments.next().as_deref() {
        Some("sync") => Durability::Sync,
        Some("interval") => Durability::Interval,
        other => return Err(Error::invalid(format!("durability {other:?} is not sync or interval"))),
    };
    let engine = Arc::new(open(Path::new(&path), durability)?);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                scope.spawn({
                    let engine = engine.clone();
                    move || write_for_ever(&engine, writer)
                })
            })
            .collect();
        writers
            .into_iter()
            .try_for_each(|writer| writer.join().unwrap_or_else(|_| Err(Error::invalid("a writer panicked"))))
    })
}

fn write_for_ever(engine: &DiskEngine, writer: u8) -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().map_err(|error| Error::io("runtime", error))?;
    let mut number = last(engine, writer)?;
    loop {
        number += 1;
        let lsn = write(engine, writer, number)?;
        runtime.block_on(engine.acknowledged(lsn))?;
        // One system call for the line: it is either heard as a whole or not at all.
        let line = format!("{writer} {number}\n");
        std::io::stdout().lock().write_all(line.as_bytes()).map_err(|error| Error::io("stdout", error))?;
    }
}
