//! One node without a port: every operation, and that each is ready at its first poll on the caller's thread.

use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use ringkeep::ring::{BucketSpec, Replicas, Resolver};
use ringkeep::{Env, ErrorKind, Node, ScanOptions, Settings};

fn at_once<F: IntoFuture>(operation: F) -> F::Output {
    let mut future = pin!(operation.into_future());
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a local operation was not ready at its first poll"),
    }
}

async fn node() -> Node {
    let env = Env::system(tokio::runtime::Handle::current()).expect("the operating system gives randomness");
    Node::open(Settings::default(), env).await.expect("a node in memory opens")
}

#[tokio::test]
async fn local_operations_finish_on_the_callers_thread() {
    let node = node().await;
    let db = node.default_bucket();
    let receipt = at_once(db.put("user:1", "Ada")).unwrap();
    assert_eq!(receipt.owners(), 1);
    assert_eq!(at_once(db.get("user:1")).unwrap(), Some(Bytes::from("Ada")));
    assert_eq!(at_once(db.get("nobody")).unwrap(), None);
    at_once(db.delete("user:1")).unwrap();
    assert_eq!(at_once(db.get("user:1")).unwrap(), None);
    let merged = at_once(db.update("n", |siblings| {
        assert!(siblings.is_empty());
        Ok(Some(Bytes::from("1")))
    }));
    assert_eq!(merged.unwrap(), Some(Bytes::from("1")));
    at_once(node.close(None)).unwrap();
    assert_eq!(at_once(db.get("n")).unwrap_err().kind(), ErrorKind::Closed);
    at_once(node.close(None)).unwrap();
}

#[tokio::test]
async fn siblings_stay_until_a_context_covers_them() {
    let node = node().await;
    let spec = BucketSpec { resolver: Resolver::Siblings, ..BucketSpec::named("carts", Replicas::Count(3)) };
    node.create_bucket(spec).await.unwrap();
    let carts = node.bucket("carts");
    carts.put("c", "milk").await.unwrap();
    carts.put("c", "eggs").await.unwrap();
    assert_eq!(carts.get("c").await.unwrap_err().kind(), ErrorKind::Conflict);
    let entry = carts.read("c").await.unwrap();
    assert_eq!(entry.siblings().len(), 2);
    carts.put("c", "both").context(entry.context()).await.unwrap();
    assert_eq!(carts.get("c").await.unwrap(), Some(Bytes::from("both")));
    let other = carts.put("d", "x").context(entry.context()).await.unwrap_err();
    assert_eq!(other.kind(), ErrorKind::InvalidArgument);
    assert_eq!(node.bucket("none").get("k").await.unwrap_err().kind(), ErrorKind::NoSuchBucket);
}

#[tokio::test]
async fn a_scan_gives_all_keys_in_order() {
    let node = node().await;
    let db = node.default_bucket();
    let keys: Vec<String> = (0..500).map(|number| format!("key:{number:04}")).collect();
    for result in db.put_many(keys.iter().map(|key| (key.clone(), "v"))).await {
        result.unwrap();
    }
    db.put("other", "x").await.unwrap();
    let mut scan = db.scan(ScanOptions { prefix: Bytes::from("key:"), ..ScanOptions::default() });
    let mut seen = Vec::new();
    while let Some(item) = scan.next().await.unwrap() {
        seen.push(String::from_utf8(item.key.to_vec()).unwrap());
    }
    assert_eq!(seen, keys);
    assert_eq!(db.count(ScanOptions::default()).await.unwrap(), 501);
    let range = ScanOptions { start: "key:0010".into(), end: "key:0020".into(), ..ScanOptions::default() };
    assert_eq!(db.count(range.clone()).await.unwrap(), 10);
    assert_eq!(db.count(ScanOptions { limit: Some(3), ..range }).await.unwrap(), 3);
}

#[tokio::test]
async fn quorum_sizes_are_checked_before_anything_is_stored() {
    let node = node().await;
    let db = node.default_bucket();
    for w in [0, 4] {
        assert_eq!(db.put("k", "v").w(w).await.unwrap_err().kind(), ErrorKind::InvalidArgument, "w={w}");
    }
    let error = db.put("k", "v").w(2).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuorumUnavailable);
    assert!(!error.maybe_applied());
    assert_eq!(db.get("k").await.unwrap(), None);
    assert_eq!(db.put("", "v").await.unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(db.put(vec![0; 4097], "v").await.unwrap_err().kind(), ErrorKind::InvalidArgument);
    assert_eq!(db.put("k", vec![0; (8 << 20) + 1]).await.unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[tokio::test]
async fn a_directory_keeps_what_was_written_and_locks_out_a_second_open() {
    let directory = tempfile::tempdir().unwrap();
    let settings = Settings { path: Some(directory.path().join("data")), ..Settings::default() };
    let open = || async {
        Node::open(settings.clone(), Env::system(tokio::runtime::Handle::current()).unwrap()).await
    };
    let node = open().await.unwrap();
    at_once(node.default_bucket().put("k", "v")).unwrap();
    assert_eq!(open().await.unwrap_err().kind(), ErrorKind::Locked);
    let id = node.id().to_owned();
    node.close(None).await.unwrap();
    let again = open().await.unwrap();
    assert_eq!(again.id(), id);
    assert_eq!(at_once(again.default_bucket().get("k")).unwrap(), Some(Bytes::from("v")));
}
