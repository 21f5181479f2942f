//! Torn, damaged and hostile input: one clear error, nothing allocated for it, and no other connection touched.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::golden::frame;
use super::{control, dial, echo, env, hello, samples, serve_echo};
use crate::base::env::Env;
use crate::base::error::ErrorKind;
use crate::wire::{
    FrameDecoder, HEADER_BYTES, HELLO_BYTES_MAX, Hello, Kind, Limits, Request, Response, TcpTransport,
};

fn echo_frame(id: u64, bytes: &'static [u8]) -> Vec<u8> {
    frame(Kind::ControlRequest, id, |_| Bytes::from_static(bytes))
}

fn hello_frame(hello: &Hello) -> Vec<u8> {
    frame(Kind::Hello, 0, |head| {
        hello.encode(head);
        Bytes::new()
    })
}

#[test]
fn a_frame_torn_at_any_byte_waits_for_the_rest() {
    let whole = echo_frame(3, b"a body");
    for cut in 0..whole.len() {
        let mut buffer = BytesMut::from(&whole[..cut]);
        let mut decoder = FrameDecoder::new(1 << 20);
        assert_eq!(decoder.decode(&mut buffer).unwrap(), None, "{cut}");
        buffer.extend_from_slice(&whole[cut..]);
        assert_eq!(decoder.decode(&mut buffer).unwrap().unwrap().body, &b"a body"[..]);
        assert!(buffer.is_empty());
    }
}

#[test]
fn a_changed_byte_at_any_place_is_noticed() {
    let whole = echo_frame(3, b"a body");
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            // A longer length asks for more; everything else is an error.
            let found = FrameDecoder::new(1 << 10).decode(&mut BytesMut::from(&bytes[..]));
            assert!(matches!(found, Err(_) | Ok(None)), "byte {at} with {flip:#x}");
            assert!(found.is_err() || (4..8).contains(&at), "byte {at} with {flip:#x}");
        }
    }
}

#[test]
fn a_hostile_length_is_refused_before_room_is_made() {
    for length in [1_005_u32, 1 << 20, u32::MAX] {
        let mut bytes = echo_frame(1, b"");
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        let mut buffer = BytesMut::from(&bytes[..]);
        let error = FrameDecoder::new(1_024).decode(&mut buffer).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corruption);
        assert!(buffer.capacity() < 1_024, "{}", buffer.capacity());
    }
}

#[test]
fn a_page_with_a_hostile_count_makes_no_room_for_it() {
    let mut body = vec![0; 9];
    body.extend_from_slice(&u32::MAX.to_le_bytes());
    body.extend_from_slice(&[0; 100]);
    let error = Response::decode(Kind::PageReply, body.into()).unwrap_err();
    assert!(error.message().contains("4294967295 items"), "{error}");
}

#[test]
fn keys_values_and_times_over_their_limits_are_refused() {
    let encode = |request: &Request| {
        let mut head = Vec::new();
        let tail = request.encode(&mut head).clone();
        Bytes::from([&head[..], &tail[..]].concat())
    };
    for (_, request) in samples::requests() {
        let mut request = request;
        let broken = match &mut request {
            Request::Apply { captured, .. } => {
                captured.0 = 1 << 63;
                true
            }
            Request::Fetch { key, .. } | Request::Read { key, .. } | Request::Scan { after: key, .. } => {
                *key = vec![0; 4_097].into();
                true
            }
            Request::Page { after, .. } => {
                *after = vec![0; 4_101].into();
                true
            }
            Request::Write { change: crate::wire::Change::Value(value), .. } => {
                *value = vec![0; (8 << 20) + 1].into();
                true
            }
            Request::Write { .. } | Request::Control(_) => false,
        };
        assert_eq!(
            Request::decode(request.kind(), encode(&request)).is_err(),
            broken,
            "{:?}",
            request.kind()
        );
    }
}

async fn read_to_end(socket: &mut TcpStream) -> usize {
    let mut bytes = Vec::new();
    // A reset is an end as well.
    tokio::io::AsyncReadExt::read_to_end(socket, &mut bytes).await.unwrap_or_default()
}

/// Shakes hands by hand, and leaves the socket after the server's hello.
async fn greeted(address: &str) -> TcpStream {
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&hello_frame(&hello())).await.unwrap();
    let mut header = [0; HEADER_BYTES];
    socket.read_exact(&mut header).await.unwrap();
    let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
    socket.read_exact(&mut vec![0; length]).await.unwrap();
    socket
}

async fn server(env: &Env) -> (TcpTransport, String, Limits) {
    let limits = Limits { frame_bytes_max: 1 << 20, ..Limits::default() };
    let transport = TcpTransport::new(env, limits);
    let address = serve_echo(env, &transport, "127.0.0.1:0", limits).await;
    (transport, address, limits)
}

#[tokio::test]
async fn a_bad_frame_closes_its_connection_and_no_other() {
    let env = env();
    let (transport, address, limits) = server(&env).await;
    let bystander = dial(&env, &transport, &address, limits).await;
    let mut bad_crc = echo_frame(1, b"hello");
    *bad_crc.last_mut().unwrap() ^= 1;
    let mut too_long = echo_frame(1, b"");
    too_long[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut unknown = echo_frame(1, b"");
    unknown[9] = 0x77;
    let bad_body = frame(Kind::Fetch, 1, |_| Bytes::from_static(b"short"));
    let bad_version = frame(Kind::Hello, 1, |_| Bytes::new());
    for bad in [bad_crc, too_long, unknown, bad_body, bad_version] {
        let mut socket = greeted(&address).await;
        socket.write_all(&echo_frame(1, b"good")).await.unwrap();
        let mut answer = vec![0; HEADER_BYTES + 4];
        socket.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer[HEADER_BYTES..], b"good");
        socket.write_all(&bad).await.unwrap();
        assert_eq!(read_to_end(&mut socket).await, 0, "closed without another byte");
        echo(&env, &bystander, Bytes::from_static(b"untouched")).await;
    }
}

#[tokio::test]
async fn whole_frames_before_a_bad_one_are_answered() {
    let env = env();
    let (_, address, _) = server(&env).await;
    let mut socket = greeted(&address).await;
    let mut bad = echo_frame(2, b"bad");
    bad[HEADER_BYTES] ^= 1;
    socket.write_all(&[echo_frame(1, b"good"), bad].concat()).await.unwrap();
    assert_eq!(read_to_end(&mut socket).await, HEADER_BYTES + 4);
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_frame_is_closed() {
    let env = env();
    let (_, address, _) = server(&env).await;
    let whole = echo_frame(1, b"hello");
    for cut in 1..whole.len() {
        let mut socket = greeted(&address).await;
        socket.write_all(&whole[..cut]).await.unwrap();
        socket.shutdown().await.unwrap();
        assert_eq!(read_to_end(&mut socket).await, 0, "{cut}");
    }
}

#[tokio::test]
async fn nothing_but_a_small_hello_is_taken_first() {
    let env = env();
    let (transport, address, limits) = server(&env).await;
    let not_hello = echo_frame(1, b"hello");
    let large = frame(Kind::Hello, 0, |head| {
        head.resize(HELLO_BYTES_MAX, 0);
        Bytes::new()
    });
    let foreign = frame(Kind::Hello, 0, |_| Bytes::from_static(b"GET / HTTP/1.1"));
    for first in [not_hello, large, foreign, b"GET / HTTP/1.1\r\nHost: ringkeep.example\r\n\r\n".to_vec()] {
        let mut socket = TcpStream::connect(&address).await.unwrap();
        socket.write_all(&first).await.unwrap();
        assert_eq!(read_to_end(&mut socket).await, 0);
    }
    let connection = dial(&env, &transport, &address, limits).await;
    echo(&env, &connection, Bytes::from_static(b"still serving")).await;
}

#[tokio::test]
async fn who_says_no_hello_is_dropped_at_the_deadline() {
    let env = env();
    let limits = Limits { handshake: Duration::from_millis(50), ..Limits::default() };
    let transport = TcpTransport::new(&env, limits);
    let address = serve_echo(&env, &transport, "127.0.0.1:0", limits).await;
    let mut silent = TcpStream::connect(&address).await.unwrap();
    assert_eq!(read_to_end(&mut silent).await, 0);
}

#[tokio::test]
async fn a_message_over_the_frame_limit_is_refused_before_it_is_sent() {
    let env = env();
    let (transport, address, limits) = server(&env).await;
    let connection = dial(&env, &transport, &address, limits).await;
    let long = control(vec![0; 1 << 20]);
    let error = connection.call(&long, env.deadline(Duration::from_secs(5))).await.unwrap_err();
    assert_eq!((error.kind(), error.maybe_applied()), (ErrorKind::InvalidArgument, false));
    echo(&env, &connection, Bytes::from_static(b"still open")).await;
}

#[tokio::test]
async fn a_peer_that_reads_nothing_is_overloaded_not_buffered_for_ever() {
    let env = env();
    let limits = Limits { peer_bytes_in_flight_max: 1 << 20, ..Limits::default() };
    let transport = TcpTransport::new(&env, limits);
    // Shakes hands, then reads nothing.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (connection, socket) = tokio::join!(dial(&env, &transport, &address, limits), async {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.write_all(&hello_frame(&hello())).await.unwrap();
        socket
    });
    let mut refused = 0;
    for _ in 0..200 {
        let (sender, mut receiver) = tokio::sync::oneshot::channel();
        let request = control(vec![0; 256 << 10]);
        let deadline = env.deadline(Duration::from_millis(500));
        connection.submit(&request, deadline, Box::new(|result| sender.send(result).unwrap()));
        tokio::task::yield_now().await;
        if let Ok(Err(error)) = receiver.try_recv() {
            assert_eq!((error.kind(), error.maybe_applied()), (ErrorKind::Overloaded, false));
            refused += 1;
        }
    }
    assert!(refused > 100, "{refused}");
    drop(socket);
}
