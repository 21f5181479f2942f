//! The serving process of a ring: a member in memory, or on disk with either durability.

use std::io::BufRead;
use std::sync::Arc;

use ringkeep::base::env::Env;
use ringkeep::base::settings::Durability;
use ringkeep::ring::Topology;
use ringkeep::{Client, Node, Settings};

/// Joins by the seed, or founds; prints the address; serves until standard input ends. One that is to come back has its
/// path and address given; without them it has a directory and a port of its own.
pub(crate) fn run(kind: &str, threads: usize, seed: &str, (path, listen): (&str, &str)) {
    let runtime = crate::runtime(threads);
    let directory = tempfile::tempdir().unwrap();
    let own = if path.is_empty() { directory.path().join("data") } else { path.into() };
    let settings = Settings {
        path: (kind != "memory").then_some(own),
        durability: if kind == "sync" { Durability::Sync } else { Durability::Interval },
        listen: Some(if listen.is_empty() { "127.0.0.1:0" } else { listen }.to_owned()),
        create: seed.is_empty(),
        seeds: if seed.is_empty() { Vec::new() } else { vec![seed.to_owned()] },
        ..Settings::default()
    };
    let env = Env::system(runtime.handle().clone()).unwrap();
    let node = runtime.block_on(async {
        let node = Node::open(settings, env).await.unwrap();
        node.ready(None).await.unwrap();
        node
    });
    println!("{}", node.address().unwrap());
    let _end = std::io::stdin().lock().lines().next();
    runtime.block_on(node.close(None)).unwrap();
}

/// Makes the first write, which fixes the owners, waits until all of them serve, and gives the topology.
pub(crate) async fn seal(address: &str, members: u8) -> Arc<Topology> {
    let env = Env::system(tokio::runtime::Handle::current()).unwrap();
    let client = Client::connect(&format!("ringkeep://{address}"), env).await.unwrap();
    client.default_bucket().put("first", "write").await.unwrap();
    // Members that have just joined hear each other's addresses with the next announcement.
    while let Err(error) = client.default_bucket().put("second", "write").w(members.into()).await {
        assert!(error.retryable(), "{error}");
    }
    client.topology().unwrap()
}
