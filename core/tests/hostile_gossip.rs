//! Gossip from somebody who lies: each lie is refused with a reason that is counted, and changes nothing.

#![expect(clippy::unwrap_used, reason = "a test ends where something cannot be set up")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ringkeep::base::ids::{BucketId, NodeNumber, Time};
use ringkeep::testing::{Cluster, ClusterOptions};
use ringkeep::wire::control::{self, Kind, proto};
use ringkeep::wire::{
    Connection, Hello, Limits, Need, Request, Response, Role, Route, TcpTransport, VersionRange,
};
use ringkeep::{Env, ErrorKind, Node};

const PATIENCE: Duration = Duration::from_secs(60);
const CENTURY_MS: u64 = 100 * 365 * 86_400_000;

fn counted(node: &Node, what: &str) -> f64 {
    node.metrics().get(&format!("refused_{what}")).copied().unwrap_or_default()
}

async fn until(env: &Env, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = env.deadline(PATIENCE);
    while !holds() {
        assert!(!deadline.passed(), "{what} did not come to hold");
        env.sleep(Duration::from_millis(5)).await;
    }
}

/// Somebody who speaks the protocol to a node.
struct Liar {
    env: Env,
    hello: Hello,
    connection: Arc<Connection>,
}

impl Liar {
    fn hello(node: &Node) -> Hello {
        let topology = node.topology().unwrap();
        Hello {
            versions: VersionRange::SUPPORTED,
            // The third member was killed; somebody shows a later start of it.
            role: Role::Member,
            cluster: Some(topology.cluster),
            number: Some(NodeNumber(3)),
            start: 2,
            nonce: 1,
            address: String::new(),
            epoch: topology.epoch,
            now: Time(0),
            id: "liar".to_owned(),
        }
    }

    async fn dial(env: &Env, node: &Node, hello: Hello) -> ringkeep::Result<Self> {
        let (limits, address) = (Limits::default(), node.address().unwrap());
        let transport = TcpTransport::new(env, limits);
        let deadline = env.deadline(PATIENCE);
        let dialed = Connection::dial(env, &transport, address, hello.clone(), None, limits, deadline).await;
        dialed.map(|connection| Self { env: env.clone(), hello, connection })
    }

    /// Gossip that is true but for what the caller changes: word of n3, of its second start.
    fn gossip(&self, change: impl FnOnce(&mut proto::Gossip)) -> Kind {
        let own = proto::State {
            number: 3,
            start: 2,
            heartbeat: 1,
            epoch: Some(self.hello.epoch.into()),
            ..proto::State::default()
        };
        let cluster = Bytes::copy_from_slice(&self.hello.cluster.unwrap().0);
        let mut gossip = proto::Gossip { cluster, self_: Some(own), digests: Vec::new() };
        change(&mut gossip);
        Kind::Gossip(gossip)
    }

    async fn tell(&self, kind: Kind) -> Kind {
        let deadline = self.env.deadline(PATIENCE);
        let response =
            self.connection.call(&Request::Control(control::encode(kind)), deadline).await.unwrap();
        match response {
            Response::Control(bytes) => control::decode(&bytes).unwrap(),
            Response::Failed(error) => Kind::Error((&error).into()),
            other => panic!("{other:?}"),
        }
    }

    /// The node's clock, as its answers show it.
    async fn clock(&self, node: &Node) -> Time {
        let (key, topology) = (Bytes::from_static(b"k"), node.topology().unwrap());
        let partition = topology.partition_of(BucketId(0), &key);
        let route = Route { bucket: BucketId(0), partition, epoch: topology.epoch, sloppy: false };
        let read = Request::Read { route, key, need: Need::Count(1), timeout_ms: 5_000 };
        match self.connection.call(&read, self.env.deadline(PATIENCE)).await.unwrap() {
            Response::Record { now, .. } => now,
            other => panic!("{other:?}"),
        }
    }
}

async fn three() -> (Cluster, Env, Node) {
    let cluster = Cluster::start(ClusterOptions::default()).await.unwrap();
    cluster.node(0).unwrap().default_bucket().put("k", "v").w(3).await.unwrap();
    let node = cluster.node(0).unwrap();
    cluster.kill(2).await.unwrap();
    (cluster, Env::system(tokio::runtime::Handle::current()).unwrap(), node)
}

fn first(gossip: &mut proto::Gossip) -> &mut proto::State {
    gossip.self_.as_mut().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gossip_that_cannot_be_true_is_refused_and_changes_nothing() {
    let (cluster, env, node) = three().await;
    let liar = Liar::dial(&env, &node, Liar::hello(&node)).await.unwrap();
    let states = async |node: &Node| {
        let members = node.status().await.unwrap().members;
        members.into_iter().map(|member| (member.number, member.address)).collect::<Vec<_>>()
    };
    let before = (states(&node).await, node.topology().unwrap().epoch);
    // A member that joins is told of by others a moment before the topology that names it is here.
    let early = counted(&node, "gossip_stranger");
    let refused = [
        liar.gossip(|gossip| gossip.cluster = Bytes::from_static(&[9; 16])),
        liar.gossip(|gossip| first(gossip).start = 7),
        liar.gossip(|gossip| first(gossip).number = 99),
        liar.gossip(|gossip| gossip.self_ = None),
        liar.gossip(|gossip| gossip.digests = vec![proto::Digest::default(); 5_000]),
        liar.gossip(|gossip| first(gossip).suspects = (0..5_000).collect()),
    ];
    for lie in refused {
        let Kind::Error(failure) = liar.tell(lie).await else { panic!("not refused") };
        assert_eq!(failure.code, ErrorKind::InvalidArgument.code(), "{}", failure.message);
    }
    // What is wrong about others is left out; the rest of the conversation goes on.
    let taken = [
        liar.gossip(|gossip| {
            gossip.digests = vec![proto::Digest { number: 2, start: 1_000, heartbeat: 9, version: 9 }];
        }),
        liar.gossip(|gossip| {
            gossip.digests = vec![proto::Digest { number: 77, start: 1, heartbeat: 9, version: 9 }];
        }),
        liar.gossip(|gossip| {
            gossip.digests = vec![proto::Digest { number: 2, start: 1, heartbeat: u64::MAX, version: 9 }];
        }),
    ];
    for lie in taken {
        let Kind::GossipReply(reply) = liar.tell(lie).await else { panic!("no answer") };
        assert_eq!(reply.wanted, Vec::<u32>::new());
    }
    let counts = ["foreign_cluster", "impostor", "stranger", "forged_start", "unsound"]
        .map(|what| counted(&node, &format!("gossip_{what}")));
    assert_eq!(counts, [1.0, 2.0, early + 1.0, 1.0, 1.0]);
    assert_eq!((states(&node).await, node.topology().unwrap().epoch), before);
    // A connection that names no member speaks for none.
    let nobody = Hello { role: Role::Joiner, number: None, ..Liar::hello(&node) };
    let nobody = Liar::dial(&env, &node, nobody).await.unwrap();
    assert!(matches!(nobody.tell(nobody.gossip(|_| {})).await, Kind::Error(_)));
    cluster.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_that_nobody_has_and_a_clock_a_century_ahead_move_nobody() {
    let (cluster, env, node) = three().await;
    let liar = Liar::dial(&env, &node, Liar::hello(&node)).await.unwrap();
    let before = liar.clock(&node).await;
    let epoch = node.topology().unwrap().epoch;
    liar.tell(liar.gossip(|gossip| {
        first(gossip).epoch = Some(proto::Epoch { era: 0, number: 1 << 40 });
        first(gossip).now = Time::from_unix_ms(before.unix_ms() + CENTURY_MS).0;
    }))
    .await;
    until(&env, "the epoch is disbelieved", || counted(&node, "gossip_epoch") == 1.0).await;
    assert_eq!(node.topology().unwrap().epoch, epoch);
    assert_eq!(counted(&node, "clock_ahead"), 1.0);
    assert!(liar.clock(&node).await.unix_ms() < before.unix_ms() + 60_000);
    node.default_bucket().put("k", "w").w(2).await.unwrap();
    cluster.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_of_an_earlier_or_impossible_start_is_turned_away() {
    let (cluster, env, node) = three().await;
    let hello =
        |start| Hello { role: Role::Member, number: Some(NodeNumber(2)), start, ..Liar::hello(&node) };
    let lies =
        [("hello_old_start", hello(0)), ("hello_clone", hello(1)), ("hello_forged_start", hello(1 << 40))];
    for (what, hello) in lies {
        let Err(error) = Liar::dial(&env, &node, hello).await else { panic!("{what}: let in") };
        assert_eq!((error.kind(), counted(&node, what)), (ErrorKind::Locked, 1.0), "{what}: {error}");
    }
    // The members themselves are let in as before.
    cluster.restart(2).await.unwrap();
    cluster.kill(1).await.unwrap();
    cluster.restart(1).await.unwrap();
    cluster.settle(PATIENCE).await.unwrap();
    assert_eq!(node.status().await.unwrap().health, "healthy");
    cluster.close().await.unwrap();
}
