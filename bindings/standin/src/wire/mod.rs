//! What a write says.

pub mod message {
    //! Messages.
    use bytes::Bytes;

    /// What a write stores.
    #[derive(Clone, Debug)]
    pub enum Change {
        /// A value.
        Value(Bytes),
        /// A delete.
        Tombstone,
    }

    /// When it expires.
    #[derive(Clone, Copy, Debug)]
    pub enum Expiry {
        /// As the bucket says.
        Bucket,
        /// Never.
        Never,
        /// So long from now.
        AfterMs(u64),
    }
}
