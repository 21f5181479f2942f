//! TCP: names and IPv6, sending threads outside the runtime, nothing torn when writes are partial, the end of a stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::{Echo, control, dial, echo, env, hello, serve_echo, soon};
use crate::base::error::ErrorKind;
use crate::wire::{Connection, Limits, Response, TcpTransport, Transport, serve};

#[tokio::test]
async fn names_and_ipv6_addresses_are_dialed() {
    let env = env();
    let limits = Limits::default();
    let transport = TcpTransport::new(&env, limits);
    for listen in ["localhost:0", "[::1]:0"] {
        let Ok(listener) = transport.listen(listen).await else {
            assert_eq!(listen, "[::1]:0", "a machine may lack IPv6, not a name for itself");
            continue;
        };
        let address = listener.address();
        serve(&env, listener, Echo::new(&env), limits);
        let port = address.rsplit(':').next().unwrap();
        let dialed =
            if listen.starts_with('[') { format!("[::1]:{port}") } else { format!("localhost:{port}") };
        let connection = dial(&env, &transport, &dialed, limits).await;
        echo(&env, &connection, Bytes::from_static(b"hi")).await;
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_refused_and_a_bad_address_named() {
    let env = env();
    let limits = Limits::default();
    let transport = TcpTransport::new(&env, limits);
    let listener = transport.listen("127.0.0.1:0").await.unwrap();
    let address = listener.address();
    let taken = transport.listen(&address).await.map(|_| ()).unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::Io);
    assert!(taken.message().contains(&address), "{taken}");
    drop(listener);
    for (address, kind) in [(address.as_str(), ErrorKind::Io), ("nowhere", ErrorKind::InvalidArgument)] {
        let dialed = Connection::dial(&env, &transport, address, hello(), None, limits, soon(&env)).await;
        let error = dialed.unwrap_err();
        assert_eq!(error.kind(), kind);
        assert!(error.message().contains(address), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "what is tested are threads that are not the runtime's")]
async fn threads_outside_the_runtime_and_tasks_share_a_connection() {
    const REQUESTS: usize = 500;
    let env = env();
    let limits = Limits::default();
    let transport = TcpTransport::new(&env, limits);
    let address = serve_echo(&env, &transport, "127.0.0.1:0", limits).await;
    let connection = dial(&env, &transport, &address, limits).await;
    let answered = Arc::new(AtomicUsize::new(0));
    // Sizes on both sides of what is copied, and far more than a socket buffer holds: writes are partial.
    let submit =
        |env: &crate::base::Env, connection: &Connection, answered: &Arc<AtomicUsize>, seed: usize| {
            for number in 0..REQUESTS {
                let size = [10, 100, 5_000, 20_000, 60_000][(number * 7 + seed) % 5];
                let sent: Bytes = vec![u8::try_from(number % 251).unwrap(); size].into();
                let answered = Arc::clone(answered);
                let request = control(sent.clone());
                let deadline = env.deadline(Duration::from_secs(30));
                let done = move |result| {
                    let Ok(Response::Control(found)) = result else { panic!("{result:?}") };
                    assert_eq!(found, sent);
                    answered.fetch_add(1, Ordering::Relaxed);
                };
                connection.submit(&request, deadline, Box::new(done));
            }
        };
    let threads: Vec<_> = (0..3)
        .map(|seed| {
            let (env, connection, answered) = (env.clone(), Arc::clone(&connection), Arc::clone(&answered));
            std::thread::spawn(move || submit(&env, &connection, &answered, seed))
        })
        .collect();
    {
        let (env, connection, answered) = (env.clone(), Arc::clone(&connection), Arc::clone(&answered));
        env.clone().spawn(async move { submit(&env, &connection, &answered, 3) });
    }
    let deadline = env.deadline(Duration::from_secs(30));
    while answered.load(Ordering::Relaxed) < 4 * REQUESTS {
        assert!(!deadline.passed() && connection.is_open(), "{connection:?}");
        env.sleep(Duration::from_millis(1)).await;
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(connection.waiting(), 0);
}

#[tokio::test]
async fn a_closed_connection_still_sends_what_was_queued() {
    let env = env();
    let limits = Limits::default();
    let transport = TcpTransport::new(&env, limits);
    let mut listener = transport.listen("127.0.0.1:0").await.unwrap();
    let address = listener.address();
    let (dialed, accepted) = tokio::join!(transport.dial(&address), listener.accept());
    let (dialed, mut accepted) = (dialed.unwrap(), accepted.unwrap());
    let tail = Bytes::from(vec![9; 6 << 20]);
    let frame = |id| crate::wire::Outgoing {
        version: 1,
        kind: crate::wire::Kind::ControlRequest,
        id,
        head: b"head",
        tail: &tail,
    };
    super::super::connection::send_hello(&*dialed.sender, &hello()).unwrap();
    (0..5).for_each(|id| dialed.sender.send(frame(id)).unwrap());
    dialed.sender.close();
    assert_eq!(dialed.sender.send(frame(9)).unwrap_err().kind(), ErrorKind::Closed);
    assert!(accepted.receiver.receive_hello().await.unwrap().is_some());
    let mut frames = Vec::new();
    while accepted.receiver.receive(&mut frames).await.unwrap() {}
    assert_eq!(frames.len(), 5);
    assert!(frames.iter().all(|frame| frame.body.len() == 4 + tail.len()));
}

#[tokio::test]
async fn a_dropped_duplex_ends_the_stream() {
    let env = env();
    let transport = TcpTransport::new(&env, Limits::default());
    let mut listener = transport.listen("127.0.0.1:0").await.unwrap();
    let address = listener.address();
    let (dialed, accepted) = tokio::join!(transport.dial(&address), listener.accept());
    drop(dialed.unwrap());
    assert_eq!(accepted.unwrap().receiver.receive_hello().await.unwrap(), None);
}
