//! Connections: replies find their requests, deadlines and ends fail what waits, refusals say why.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{CLUSTER, Echo, control, dial, echo, env, hello, serve_echo, soon};
use crate::base::error::ErrorKind;
use crate::base::ids::ClusterId;
use crate::wire::{
    Connection, Handler, Hello, Limits, MemoryNetwork, Response, TcpTransport, VersionRange, serve,
};

#[tokio::test]
async fn a_request_is_answered_over_tcp_whatever_its_size() {
    let env = env();
    let limits = Limits::default();
    let transport = TcpTransport::new(&env, limits);
    let address = serve_echo(&env, &transport, "127.0.0.1:0", limits).await;
    let connection = dial(&env, &transport, &address, limits).await;
    assert_eq!(connection.hello().cluster, Some(CLUSTER));
    for bytes in [0, 1, 100, 16 << 10, 1 << 20, 16 << 20] {
        let bytes = usize::min(bytes, limits.frame_bytes_max as usize - 20);
        echo(&env, &connection, Bytes::from(vec![b'x'; bytes])).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_over_memory() {
    let env = env();
    let limits = Limits::default();
    let network = MemoryNetwork::new(&env, 1, limits);
    let address = serve_echo(&env, &*network.transport("n1"), "n1:7400", limits).await;
    let connection = dial(&env, &*network.transport("n2"), &address, limits).await;
    echo(&env, &connection, Bytes::from_static(b"hi")).await;
}

#[tokio::test(start_paused = true)]
async fn replies_out_of_order_find_their_requests() {
    let env = env();
    let limits = Limits::default();
    let network = MemoryNetwork::new(&env, 1, limits);
    let address = serve_echo(&env, &*network.transport("n1"), "n1:7400", limits).await;
    let connection = dial(&env, &*network.transport("n2"), &address, limits).await;
    let texts: Vec<_> = (0..200_u64).map(|n| format!("wait:{}:{n}", n * 7919 % 500)).collect();
    let requests: Vec<_> = texts.iter().map(|text| control(text.clone())).collect();
    let calls: Vec<_> = requests
        .iter()
        .map(|request| {
            let (sender, receiver) = tokio::sync::oneshot::channel();
            connection.submit(request, soon(&env), Box::new(|result| sender.send(result).unwrap()));
            receiver
        })
        .collect();
    assert_eq!(connection.waiting(), 200);
    for (call, text) in calls.into_iter().zip(&texts) {
        let Response::Control(found) = call.await.unwrap().unwrap() else { panic!() };
        assert_eq!(found, text.as_bytes());
    }
    assert_eq!(connection.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_passed_deadline_fails_its_request_and_no_other() {
    let env = env();
    let limits = Limits::default();
    let network = MemoryNetwork::new(&env, 1, limits);
    let address = serve_echo(&env, &*network.transport("n1"), "n1:7400", limits).await;
    let connection = dial(&env, &*network.transport("n2"), &address, limits).await;
    let began = env.now();
    let never = control("never");
    let long = connection.call(&never, env.deadline(Duration::from_millis(900)));
    let short = connection.call(&never, env.deadline(Duration::from_millis(100)));
    let slow = control("wait:200:");
    let answered = connection.call(&slow, env.deadline(Duration::from_millis(300)));
    let (long, short, answered) = tokio::join!(
        async { (long.await.unwrap_err(), env.now() - began) },
        async { (short.await.unwrap_err(), env.now() - began) },
        answered
    );
    answered.unwrap();
    for ((error, after), ms) in [(long, 900), (short, 100)] {
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.maybe_applied());
        let late = after.checked_sub(Duration::from_millis(ms)).unwrap();
        assert!(late <= Duration::from_millis(10), "{late:?}");
    }
    echo(&env, &connection, Bytes::from_static(b"still open")).await;
}

#[tokio::test(start_paused = true)]
async fn close_fails_what_waits_and_says_whether_it_was_sent() {
    let env = env();
    let limits = Limits::default();
    let network = MemoryNetwork::new(&env, 1, limits);
    let address = serve_echo(&env, &*network.transport("n1"), "n1:7400", limits).await;
    let connection = dial(&env, &*network.transport("n2"), &address, limits).await;
    let never = control("never");
    let (error, ()) = tokio::join!(async { connection.call(&never, soon(&env)).await.unwrap_err() }, async {
        connection.close();
    });
    assert_eq!((error.kind(), error.maybe_applied()), (ErrorKind::Closed, true));
    let error = connection.call(&never, soon(&env)).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_applied()), (ErrorKind::Closed, false));
    assert!(!connection.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_stopped_environment_ends_connections_on_both_sides() {
    let (ours, theirs) = (env(), env());
    let limits = Limits::default();
    let network = MemoryNetwork::new(&ours, 1, limits);
    let address = serve_echo(&theirs, &*network.transport("n1"), "n1:7400", limits).await;
    let connection = dial(&ours, &*network.transport("n2"), &address, limits).await;
    let never = control("never");
    let (error, ()) =
        tokio::join!(async { connection.call(&never, soon(&ours)).await.unwrap_err() }, async {
            theirs.stop();
            theirs.drained().await;
        });
    assert_eq!((error.kind(), error.maybe_applied()), (ErrorKind::Closed, true));
    assert!(!connection.is_open());
}

#[tokio::test(start_paused = true)]
async fn a_dropped_answer_is_a_failure_that_may_be_applied() {
    let env = env();
    let limits = Limits::default();
    let network = MemoryNetwork::new(&env, 1, limits);
    let address = serve_echo(&env, &*network.transport("n1"), "n1:7400", limits).await;
    let connection = dial(&env, &*network.transport("n2"), &address, limits).await;
    let Response::Failed(error) = connection.call(&control("panic"), soon(&env)).await.unwrap() else {
        panic!()
    };
    assert_eq!((error.kind(), error.maybe_applied()), (ErrorKind::Internal, true));
    echo(&env, &connection, Bytes::from_static(b"still open")).await;
}

#[tokio::test(start_paused = true)]
async fn both_sides_may_ask() {
    struct AskBack(Arc<Echo>);
    impl Handler for AskBack {
        fn handle(
            &self,
            peer: &Arc<Connection>,
            request: crate::wire::Request,
        ) -> crate::base::env::BoxFuture<'static, Response> {
            let peer = Arc::clone(peer);
            Box::pin(async move {
                let env = env();
                peer.call(&request, soon(&env)).await.unwrap()
            })
        }
        fn greet(&self, theirs: &Hello) -> crate::base::Result<Hello> {
            self.0.greet(theirs)
        }
    }
    let env = env();
    let limits = Limits::default();
    let network = MemoryNetwork::new(&env, 1, limits);
    let listener = crate::wire::Transport::listen(&*network.transport("n1"), "n1:7400").await.unwrap();
    serve(&env, listener, Arc::new(AskBack(Echo::new(&env))), limits);
    let transport = network.transport("n2");
    let handler: Arc<dyn Handler> = Echo::new(&env);
    let dialed =
        Connection::dial(&env, &*transport, "n1:7400", hello(), Some(handler), limits, soon(&env)).await;
    echo(&env, &dialed.unwrap(), Bytes::from_static(b"there and back")).await;
}

#[tokio::test(start_paused = true)]
async fn the_wrong_cluster_or_version_is_told_so() {
    let env = env();
    let limits = Limits::default();
    let network = MemoryNetwork::new(&env, 1, limits);
    serve_echo(&env, &*network.transport("n1"), "n1:7400", limits).await;
    let transport = network.transport("n2");
    let foreign = Hello { cluster: Some(ClusterId([8; 16])), ..hello() };
    let newer = Hello { versions: VersionRange { least: 9, most: 11 }, ..hello() };
    for (hello, kind) in [(foreign, ErrorKind::Unauthorized), (newer, ErrorKind::VersionMismatch)] {
        let dialed = Connection::dial(&env, &*transport, "n1:7400", hello, None, limits, soon(&env)).await;
        assert_eq!(dialed.unwrap_err().kind(), kind);
    }
    let dialed = Connection::dial(&env, &*transport, "n1:1", hello(), None, limits, soon(&env)).await;
    assert_eq!(dialed.unwrap_err().kind(), ErrorKind::Io);
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_are_refused_on_either_side() {
    let env = env();
    let few = Limits { requests_in_flight_max: 3, ..Limits::default() };
    let network = MemoryNetwork::new(&env, 1, few);
    let address = serve_echo(&env, &*network.transport("n1"), "n1:7400", few).await;
    for limits in [few, Limits::default()] {
        let connection = dial(&env, &*network.transport("n2"), &address, limits).await;
        for _ in 0..3 {
            connection.submit(&control("never"), soon(&env), Box::new(|_| {}));
        }
        let answered = connection.call(&control("x"), soon(&env)).await.and_then(Response::into_result);
        let error = answered.unwrap_err();
        assert_eq!((error.kind(), error.maybe_applied()), (ErrorKind::Overloaded, false));
    }
}

#[tokio::test(start_paused = true)]
async fn connections_past_the_limit_are_refused_until_one_ends() {
    let env = env();
    let limits = Limits { connections_max: 2, ..Limits::default() };
    let network = MemoryNetwork::new(&env, 1, limits);
    let address = serve_echo(&env, &*network.transport("n1"), "n1:7400", limits).await;
    let transport = network.transport("n2");
    let first = dial(&env, &*transport, &address, limits).await;
    let _second = dial(&env, &*transport, &address, limits).await;
    let third = Connection::dial(&env, &*transport, &address, hello(), None, limits, soon(&env)).await;
    assert_eq!(third.unwrap_err().kind(), ErrorKind::Overloaded);
    first.close();
    env.sleep(Duration::from_millis(1)).await;
    dial(&env, &*transport, &address, limits).await;
}
