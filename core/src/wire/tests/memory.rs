//! The network in memory: cut, heal, lose, delay, reorder, and the same for the same seed.

use std::time::Duration;

use super::{control, dial, env, hello, serve_echo, soon};
use crate::base::env::Env;
use crate::base::error::ErrorKind;
use crate::wire::{Connection, Delivery, Limits, LinkQuality, MemoryNetwork, Response, Transport};

const MS: Duration = Duration::from_millis(1);

async fn two_hosts(env: &Env, seed: u64) -> (MemoryNetwork, std::sync::Arc<Connection>) {
    let limits = Limits::default();
    let network = MemoryNetwork::new(env, seed, limits);
    let address = serve_echo(env, &*network.transport("n1"), "n1:7400", limits).await;
    let connection = dial(env, &*network.transport("n2"), &address, limits).await;
    (network, connection)
}

async fn asked(env: &Env, connection: &Connection, text: &str, ms: u32) -> Result<(), ErrorKind> {
    let request = control(text.to_owned());
    match connection.call(&request, env.deadline(MS * ms)).await {
        Ok(Response::Control(_)) => Ok(()),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.kind()),
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_in_either_direction_loses_frames_until_it_heals() {
    let env = env();
    let (network, connection) = two_hosts(&env, 1).await;
    for (from, to) in [("n1", "n2"), ("n2:7400", "n1:7400")] {
        network.cut(from, to);
        assert!(network.is_cut(from, to));
        assert_eq!(asked(&env, &connection, "x", 100).await, Err(ErrorKind::Timeout));
        network.heal(from, to);
        assert_eq!(asked(&env, &connection, "x", 100).await, Ok(()));
    }
    network.cut_both("n1", "n2");
    assert_eq!(asked(&env, &connection, "x", 100).await, Err(ErrorKind::Timeout));
    network.heal_all();
    assert_eq!(asked(&env, &connection, "x", 100).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn nobody_connects_across_a_cut() {
    let env = env();
    let (network, _connection) = two_hosts(&env, 1).await;
    let transport = network.transport("n2");
    for (from, to) in [("n1", "n2"), ("n2", "n1")] {
        network.cut(from, to);
        let deadline = env.deadline(MS * 100);
        let dialed =
            Connection::dial(&env, &*transport, "n1:7400", hello(), None, Limits::default(), deadline).await;
        assert_eq!(dialed.unwrap_err().kind(), ErrorKind::Timeout);
        network.heal_both(from, to);
    }
    dial(&env, &*transport, "n1:7400", Limits::default()).await;
}

#[tokio::test(start_paused = true)]
async fn a_frame_under_way_when_its_link_is_cut_is_lost() {
    let env = env();
    let (network, connection) = two_hosts(&env, 1).await;
    network.set_usual(LinkQuality { delay: MS * 20, ..LinkQuality::default() });
    network.record();
    let (answer, ()) = tokio::join!(asked(&env, &connection, "x", 200), async {
        env.sleep(MS * 10).await;
        network.cut("n2", "n1");
    });
    assert_eq!(answer, Err(ErrorKind::Timeout));
    let arrived: Vec<bool> = network.take_log().into_iter().map(|delivery| delivery.arrived).collect();
    assert_eq!(arrived, [false]);
}

#[tokio::test(start_paused = true)]
async fn delays_hold_and_keep_the_order_unless_told_otherwise() {
    let env = env();
    let (network, connection) = two_hosts(&env, 1).await;
    for reorder in [false, true] {
        let quality = LinkQuality { delay: MS * 10, jitter: MS * 50, reorder, ..LinkQuality::default() };
        network.set_link("n2", "n1", quality);
        network.record();
        // Each has one byte more than the one before, which names it in the log.
        for bytes in 0..100 {
            connection.submit(&control(vec![0; bytes]), soon(&env), Box::new(|_| {}));
        }
        env.sleep(MS * 100).await;
        let arrived = network.take_log().into_iter().filter(|frame| frame.to == "n1");
        let (times, sizes): (Vec<_>, Vec<_>) = arrived.map(|frame| (frame.at, frame.bytes)).unzip();
        assert!(times.iter().all(|at| *at >= MS * 10), "{times:?}");
        assert_eq!(sizes.len(), 100);
        assert_eq!(sizes.is_sorted(), !reorder, "{sizes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lossy_link_loses_about_its_share() {
    let env = env();
    let (network, connection) = two_hosts(&env, 1).await;
    network.set_link("n2", "n1", LinkQuality { lost_per_million: 200_000, ..LinkQuality::default() });
    network.record();
    for _ in 0..1_000 {
        connection.submit(&control("x"), env.deadline(MS), Box::new(|_| {}));
    }
    env.sleep(MS * 100).await;
    let lost = network.take_log().iter().filter(|delivery| !delivery.arrived).count();
    assert!((120..280).contains(&lost), "{lost}");
    assert_eq!(connection.waiting(), 0);
}

async fn deliveries(seed: u64) -> Vec<Delivery> {
    let env = env();
    let (network, connection) = two_hosts(&env, seed).await;
    let quality = LinkQuality { delay: MS, jitter: MS * 30, lost_per_million: 100_000, reorder: true };
    network.set_usual(quality);
    network.record();
    for n in 0..200_u64 {
        let request = control(format!("wait:{}:", n * 31 % 40));
        connection.submit(&request, env.deadline(MS * 500), Box::new(|_| {}));
        if n % 10 == 0 {
            env.sleep(MS * 3).await;
        }
        match n {
            50 => network.cut("n1", "n2"),
            100 => network.heal_all(),
            _ => {}
        }
    }
    env.sleep(MS * 1_000).await;
    network.take_log()
}

fn on_paused_clock(seed: u64) -> Vec<Delivery> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(deliveries(seed))
}

#[test]
fn the_same_seed_gives_the_same_deliveries() {
    let logs: Vec<_> = [5, 5, 6].into_iter().map(on_paused_clock).collect();
    assert!(logs[0].len() > 300, "{}", logs[0].len());
    assert_eq!(logs[0], logs[1]);
    assert_ne!(logs[0], logs[2]);
}

#[tokio::test(start_paused = true)]
async fn a_port_is_taken_once_and_free_again_when_its_listener_goes() {
    let env = env();
    let network = MemoryNetwork::new(&env, 1, Limits::default());
    let transport = network.transport("n1");
    let listener = transport.listen("n1:7400").await.unwrap();
    assert!(transport.listen("n1:7400").await.is_err());
    assert!(transport.listen("n2:7400").await.is_err(), "not this host's");
    assert_ne!(transport.listen("n1:0").await.unwrap().address(), "n1:0");
    drop(listener);
    let deadline = soon(&env);
    let dialed =
        Connection::dial(&env, &*transport, "n1:7400", hello(), None, Limits::default(), deadline).await;
    assert_eq!(dialed.unwrap_err().kind(), ErrorKind::Io);
    transport.listen("n1:7400").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_died_behind_a_cut_is_noticed_at_the_next_request_after_it() {
    let (ours, theirs) = (env(), env());
    let limits = Limits::default();
    let network = MemoryNetwork::new(&ours, 1, limits);
    let address = serve_echo(&theirs, &*network.transport("n1"), "n1:7400", limits).await;
    let connection = dial(&ours, &*network.transport("n2"), &address, limits).await;
    network.cut_both("n1", "n2");
    theirs.stop();
    theirs.drained().await;
    assert_eq!(asked(&ours, &connection, "x", 50).await, Err(ErrorKind::Timeout));
    network.heal_all();
    assert!(connection.is_open());
    let error = connection.call(&control("x"), soon(&ours)).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_applied()), (ErrorKind::Closed, false));
    assert!(!connection.is_open());
}
