//! Redis from Debian: a primary with two replicas, where a put is a SET and a WAIT for one of them, and one server alone
//! that fsyncs its log for each write. Each connection writes what it may have in flight and reads the replies in order.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::load::{Lane, Measured, PAUSE, Shape, key, observe};
use crate::process::{Server, free_port};
use crate::{Operation, VALUE};

/// How long replicas may take to attach.
const START: Duration = Duration::from_secs(20);

/// Three servers, of which the first is the primary; none if redis-server is not installed.
pub(crate) fn start_replicated(runtime: &tokio::runtime::Runtime, directory: &Path) -> Option<Vec<Server>> {
    let primary = start(directory, &["--appendonly", "no"])?;
    let port = primary.address.rsplit(':').next().unwrap().to_owned();
    let replica = || start(directory, &["--appendonly", "no", "--replicaof", "127.0.0.1", &port]);
    let servers = vec![primary, replica()?, replica()?];
    runtime.block_on(attached(servers.first().unwrap().address.parse().unwrap()));
    Some(servers)
}

/// One server that fsyncs each write.
pub(crate) fn start_synced(directory: &Path) -> Option<Vec<Server>> {
    Some(vec![start(directory, &["--appendonly", "yes", "--appendfsync", "always"])?])
}

fn start(directory: &Path, settings: &[&str]) -> Option<Server> {
    let port = free_port().to_string();
    // Each has a directory of its own: replicas write the primary's first snapshot there.
    let own = directory.join(&port);
    std::fs::create_dir_all(&own).unwrap();
    let mut command = Command::new("redis-server");
    command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--loglevel", "warning"]);
    command.args(settings).arg("--dir").arg(own);
    Server::start_peer(&command, &format!("127.0.0.1:{port}"))
}

/// Waits until both replicas follow: WAIT says how many have what was written before it.
async fn attached(address: SocketAddr) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).await.unwrap();
    while began.elapsed() < START {
        stream.write_all(b"SET first write\r\nWAIT 2 500\r\n").await.unwrap();
        let mut reply = Vec::new();
        while reply.iter().filter(|byte| **byte == b'\n').count() < 2 {
            assert!(stream.read_buf(&mut reply).await.unwrap() > 0, "redis ended");
        }
        if reply.ends_with(b":2\r\n") {
            return;
        }
    }
    panic!("no two replicas within {START:?}");
}

/// Runs the load against the first server. A put waits for one replica if there are replicas.
pub(crate) async fn run(
    servers: &[Server],
    operation: Operation,
    shape: Shape,
    seconds: Duration,
    cpu_us: impl Fn() -> f64,
) -> Measured {
    let address: SocketAddr = servers.first().unwrap().address.parse().unwrap();
    let wait = servers.len() > 1;
    let mut lanes = Vec::new();
    for number in 0..shape.connections {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let lane = Arc::new(Lane::default());
        lanes.push(Arc::clone(&lane));
        let caller = Caller { number, lane, operation, wait, sent: 0, flying: VecDeque::new() };
        drop(tokio::spawn(caller.run(stream, shape.depth)));
    }
    observe(&lanes, seconds, cpu_us).await
}

/// One connection.
struct Caller {
    number: usize,
    lane: Arc<Lane>,
    operation: Operation,
    wait: bool,
    sent: u64,
    flying: VecDeque<Instant>,
}

impl Caller {
    async fn run(mut self, mut stream: TcpStream, depth: usize) {
        let mut out = Vec::new();
        let mut replies = Vec::new();
        // A SET that waits has two replies; an operation ends with the last of them.
        let replies_each = if self.operation == Operation::Put && self.wait { 2 } else { 1 };
        let mut seen = 0;
        while !self.lane.stopped() {
            while self.flying.len() < depth {
                self.append(&mut out);
            }
            let written = stream.write_all(&out).await;
            out.clear();
            let read = stream.read_buf(&mut replies).await;
            if !matches!((written, read), (Ok(()), Ok(1..))) {
                self.lane.failed("the connection ended");
                return tokio::time::sleep(PAUSE).await;
            }
            let mut from = 0;
            while let Some(length) = reply_length(replies.get(from..).unwrap_or_default()) {
                let reply = replies.get(from..from + length).unwrap_or_default();
                if reply.starts_with(b"-") || reply == b":0\r\n" {
                    self.lane.failed(&String::from_utf8_lossy(reply));
                }
                from += length;
                seen += 1;
                if seen % replies_each == 0 {
                    self.lane.succeeded(self.flying.pop_front().expect("a reply follows its request"));
                }
            }
            drop(replies.drain(..from));
        }
    }

    fn append(&mut self, out: &mut Vec<u8>) {
        let key = key(self.number, self.sent);
        self.sent += 1;
        self.flying.push_back(Instant::now());
        if self.operation != Operation::Put {
            return command(out, &[b"GET", key.as_bytes()]);
        }
        command(out, &[b"SET", key.as_bytes(), &VALUE]);
        if self.wait {
            command(out, &[b"WAIT", b"1", b"0"]);
        }
    }
}

fn command(out: &mut Vec<u8>, words: &[&[u8]]) {
    out.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
    for word in words {
        out.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        out.extend_from_slice(word);
        out.extend_from_slice(b"\r\n");
    }
}

/// Bytes of the first reply, if it is whole: a line, or a line that announces so many bytes.
fn reply_length(replies: &[u8]) -> Option<usize> {
    let line = replies.iter().position(|byte| *byte == b'\n')? + 1;
    let text = std::str::from_utf8(replies.get(..line)?).unwrap().trim_end();
    let announced = text.strip_prefix('$').map_or(-1, |length| length.parse::<i64>().unwrap());
    let length = usize::try_from(announced).map_or(line, |bytes| line + bytes + 2);
    (length <= replies.len()).then_some(length)
}
