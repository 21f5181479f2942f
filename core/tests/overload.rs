//! A node that is asked for more than it may take on: what is over is refused as `Overloaded` with nothing applied, what
//! was taken is answered, and afterwards all is as before.

use std::time::Duration;

use ringkeep::base::settings::Durability;
use ringkeep::testing::{Cluster, ClusterOptions};
use ringkeep::{ErrorKind, Settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_the_limit_is_refused_and_the_rest_is_answered() {
    // Each write waits for the disk, so that many are under way at once.
    let settings =
        Settings { coordinating_max: 4, durability: Durability::Sync, ..ClusterOptions::default().settings };
    let directory = tempfile::tempdir().unwrap();
    let path = Some(directory.path().to_owned());
    let cluster = Cluster::start(ClusterOptions { size: 1, n: 1, settings, path }).await.unwrap();
    let client = cluster.client().await.unwrap();
    client.default_bucket().put("first", "write").await.unwrap();
    let mut writes = tokio::task::JoinSet::new();
    for number in 0..200 {
        let client = client.clone();
        writes.spawn(async move {
            let told = client
                .default_bucket()
                .put(format!("k{number}"), vec![7; 100_000])
                .timeout(Duration::from_secs(60))
                .await;
            (number, told)
        });
    }
    let mut written = Vec::new();
    while let Some(told) = writes.join_next().await {
        match told.unwrap() {
            (number, Ok(_)) => written.push(number),
            (_, Err(error)) => {
                assert_eq!((error.kind(), error.maybe_applied()), (ErrorKind::Overloaded, false), "{error}");
            }
        }
    }
    assert!(!written.is_empty());
    for number in written {
        assert!(client.default_bucket().get(format!("k{number}")).await.unwrap().is_some(), "k{number}");
    }
    let refused = cluster.node(0).unwrap().metrics().get("requests_refused_overloaded").copied();
    assert!(refused > Some(0.0), "nothing was over the limit");
    client.default_bucket().put("last", "write").await.unwrap();
    cluster.close().await.unwrap();
}
