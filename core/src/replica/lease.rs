//! The lease of a node's clock: persisted ahead of use, so that a restarted node never issues a time again.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::Env;
use crate::base::error::{Error, Result};
use crate::base::hlc::Hlc;
use crate::base::ids::Time;
use crate::storage::key::meta_key;
use crate::storage::{Batch, Engine};

const NAME: &str = "clock/lease";

/// Extends the lease on disk, then in the clock.
#[derive(Debug)]
pub struct Lease {
    engine: Arc<dyn Engine>,
    hlc: Arc<Hlc>,
    ahead: Duration,
}

impl Lease {
    /// The lease that an engine holds; 0 if there is none.
    ///
    /// # Errors
    /// `Corruption` for an entry of the wrong form, and what the engine reports.
    pub fn load(engine: &dyn Engine) -> Result<Time> {
        match engine.get(&meta_key(NAME))? {
            None => Ok(Time(0)),
            Some(bytes) => {
                let bytes: [u8; 8] = bytes.as_ref().try_into().map_err(|_| {
                    Error::corrupt(format!("the clock's lease has {} bytes instead of 8", bytes.len()))
                })?;
                Ok(Time(u64::from_be_bytes(bytes)))
            }
        }
    }

    /// The lease of a clock over an engine, persisted `ahead` of use.
    #[must_use]
    pub fn new(engine: Arc<dyn Engine>, hlc: Arc<Hlc>, ahead: Duration) -> Self {
        Self { engine, hlc, ahead }
    }

    /// Extends the lease past a time. On disk before it holds.
    ///
    /// # Errors
    /// What the engine reports.
    pub async fn extend(&self, past: Time) -> Result<()> {
        if self.hlc.lease() >= past {
            return Ok(());
        }
        let ahead = u64::try_from(self.ahead.as_millis()).unwrap_or(u64::MAX);
        let lease = Time::from_unix_ms(past.unix_ms().saturating_add(ahead)).max(past.next());
        let mut batch = Batch::new();
        batch.put(meta_key(NAME), Bytes::copy_from_slice(&lease.0.to_be_bytes()));
        let lsn = self.engine.apply(batch)?;
        self.engine.synced(lsn).await?;
        self.hlc.extend(lease);
        Ok(())
    }

    /// Keeps the lease ahead of the clock, so that no operation waits for it. Ends with the environment.
    pub async fn keep(self: Arc<Self>, env: Env) {
        loop {
            let now = self.hlc.read(env.unix_ms());
            let half = u64::try_from(self.ahead.as_millis()).unwrap_or(u64::MAX) / 2;
            let needed = Time::from_unix_ms(now.unix_ms().saturating_add(half));
            // A full or failing disk shows in every write; here the next round tries again.
            let _failed = self.extend(needed).await;
            env.sleep(self.ahead / 8).await;
        }
    }
}
