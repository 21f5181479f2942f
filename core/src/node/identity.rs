//! Who this node is, as its engine remembers it: its stable id, how often it was started, the boot it ran in.
//! The topology and acceptor state are kept beside it by the membership floor.

use bytes::Bytes;

use crate::base::Env;
use crate::base::error::{Error, Result};
use crate::storage::key::meta_key;
use crate::storage::{Batch, Engine};

const ID: &str = "node/id";
const START: &str = "node/start";
/// Letters of an id: consonants, so that no words appear; 20^16 leaves collisions to the imagination.
const LETTERS: &[u8; 20] = b"bcdfghjklmnpqrstvwxz";
const ID_LETTERS: usize = 16;

/// A node's identity for one run.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    /// The stable id, drawn when the data directory was made.
    pub(super) id: String,
    /// How often it has been started, this time included. Written by `start`.
    pub(super) start: u64,
    /// Drawn for this run: two runs that present the same start number are told apart by it.
    pub(super) nonce: u64,
}

impl Identity {
    /// Loads or draws the identity and counts the start; on disk when it returns.
    ///
    /// # Errors
    /// `Corruption` for entries of the wrong form, and what the engine reports.
    pub(super) async fn start(engine: &dyn Engine, env: &Env) -> Result<Self> {
        let id = match engine.get(&meta_key(ID))? {
            Some(bytes) => String::from_utf8(bytes.to_vec())
                .map_err(|_| Error::corrupt("the node's id in the data directory is not text"))?,
            None => draw_id(env),
        };
        let last = match engine.get(&meta_key(START))? {
            Some(bytes) => u64::from_be_bytes(bytes.as_ref().try_into().map_err(|_| {
                Error::corrupt(format!("the start number has {} bytes instead of 8", bytes.len()))
            })?),
            None => 0,
        };
        let start = last + 1;
        let mut batch = Batch::new();
        batch.put(meta_key(ID), Bytes::copy_from_slice(id.as_bytes()));
        batch.put(meta_key(START), Bytes::copy_from_slice(&start.to_be_bytes()));
        let lsn = engine.apply(batch)?;
        engine.synced(lsn).await?;
        Ok(Self { id, start, nonce: env.random() })
    }
}

fn draw_id(env: &Env) -> String {
    let letter = || usize::try_from(env.random_below(LETTERS.len() as u64)).unwrap_or(0);
    (0..ID_LETTERS).filter_map(|_| LETTERS.get(letter()).map(|byte| char::from(*byte))).collect()
}
