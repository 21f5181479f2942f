//! A client that is no member: `client URI`. It writes fresh keys from several tasks until it is told to verify, and
//! answers each line of its input: `acked`, `some N`, `progress N`, `read N`, `verify`.

use std::io::BufRead;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use ringkeep::{Bucket, Client, Env};
use ringkeep_process::{Failure, value_of};

/// Tasks that write, each one key after the other.
const WRITERS: u64 = 8;
/// The pause after each write: what is written in a minute can be read back in seconds.
const PAUSE: Duration = Duration::from_millis(10);
/// How often the client looks whether enough has been acknowledged.
const LOOK: Duration = Duration::from_millis(20);
/// How long progress may take before it counts as none.
const PROGRESS_LOOKS_MAX: u32 = 3_000;

/// What the tasks share.
struct Work {
    env: Env,
    bucket: Bucket,
    acked: Mutex<Vec<String>>,
    /// What the last write that failed was told.
    failed: Mutex<String>,
    stop: AtomicBool,
}

async fn write(work: Arc<Work>, writer: u64) {
    for number in 0_u64.. {
        if work.stop.load(Ordering::Relaxed) {
            return;
        }
        let key = format!("{writer}-{number}");
        match work.bucket.put(key.clone(), value_of(&key)).timeout(Duration::from_secs(3)).await {
            Ok(_) => work.acked.lock().push(key),
            Err(error) => *work.failed.lock() = error.to_string(),
        }
        work.env.sleep(PAUSE).await;
    }
}

impl Work {
    fn count(&self) -> usize {
        self.acked.lock().len()
    }

    fn some(&self, count: u64) -> Vec<String> {
        let acked = self.acked.lock();
        let pick = |_| {
            let at = self.env.random_below(u64::try_from(acked.len()).unwrap_or(0));
            acked.get(usize::try_from(at).unwrap_or(0)).cloned()
        };
        (0..count).filter_map(pick).collect()
    }

    async fn progress(&self, count: usize) -> String {
        let goal = self.count() + count;
        for _ in 0..PROGRESS_LOOKS_MAX {
            if self.count() >= goal {
                return "progressed".to_owned();
            }
            self.env.sleep(LOOK).await;
        }
        format!(
            "{} of {goal} writes were acknowledged; the last failure: {}",
            self.count(),
            self.failed.lock()
        )
    }

    /// Reads keys from a quorum.
    async fn read(&self, keys: Vec<String>) -> Result<(), String> {
        for key in keys {
            match self.bucket.get(key.clone()).await {
                Ok(Some(value)) if *value == *value_of(&key).as_bytes() => {}
                Ok(Some(_)) => return Err(format!("key {key} has another value")),
                Ok(None) => return Err(format!("key {key} was acknowledged and is not there")),
                Err(error) => return Err(format!("key {key} cannot be read: {error}")),
            }
        }
        Ok(())
    }

    async fn verify(self: &Arc<Self>) -> Result<(), String> {
        self.stop.store(true, Ordering::Relaxed);
        let acked = self.acked.lock().clone();
        let parts = acked.chunks(acked.len() / 8 + 1).map(<[String]>::to_vec);
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        for part in parts {
            let (work, sender) = (Arc::clone(self), sender.clone());
            // Whoever waits has gone only if another part has failed.
            self.env.spawn(async move { drop(sender.send(work.read(part).await)) });
        }
        drop(sender);
        while let Some(result) = receiver.recv().await {
            result?;
        }
        Ok(())
    }
}

async fn answer(work: &Arc<Work>, line: &str) -> Result<String, Failure> {
    let (request, count) = line.split_once(' ').unwrap_or((line, "0"));
    let count: u64 = count.parse()?;
    let told = |result: Result<(), String>, well: &str| result.err().unwrap_or_else(|| well.to_owned());
    Ok(match request {
        "acked" => work.count().to_string(),
        "some" => work.some(count).join(" "),
        "progress" => work.progress(usize::try_from(count)?).await,
        "read" => told(work.read(work.some(count)).await, "read"),
        "verify" => told(work.verify().await, "verified"),
        other => return Err(format!("the request {other:?} is not known").into()),
    })
}

#[expect(clippy::print_stdout, reason = "a program that is spoken with by lines")]
fn main() -> Result<(), Failure> {
    let uri = std::env::args().nth(1).ok_or("usage: client URI")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let env = Env::system(runtime.handle().clone())?;
    let client = runtime.block_on(Client::connect(&uri, env.clone()))?;
    let work = Arc::new(Work {
        env: env.clone(),
        bucket: client.store().default_bucket(),
        acked: Mutex::default(),
        failed: Mutex::default(),
        stop: AtomicBool::new(false),
    });
    for writer in 0..WRITERS {
        env.spawn(write(Arc::clone(&work), writer));
    }
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        println!("{}", runtime.block_on(answer(&work, &line?))?);
    }
    Ok(())
}
