//! The serving process: echoes control requests, and coordinates puts and gets over three plain maps.

use std::io::BufRead;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use ringkeep::base::Result;
use ringkeep::base::env::{BoxFuture, Env};
use ringkeep::base::error::{Error, ErrorKind};
use ringkeep::base::ids::Time;
use ringkeep::wire::{
    Change, Connection, Handler, Hello, Limits, Request, Response, TcpTransport, Transport, serve,
};
use tokio::sync::oneshot;

use crate::{DOT, ROUTE};

#[expect(clippy::disallowed_types, reason = "the floor is a plain hash map; nothing iterates it")]
type Map = std::collections::HashMap<Bytes, Bytes>;

struct Node {
    env: Env,
    map: Mutex<Map>,
    peers: Mutex<Vec<Arc<Connection>>>,
}

/// Listens, prints the address, reads everyone's addresses, serves until standard input ends.
pub(crate) fn run(threads: usize) {
    let runtime = crate::runtime(threads);
    let env = Env::system(runtime.handle().clone()).unwrap();
    let limits = Limits::default();
    let transport = TcpTransport::new(&env, limits);
    let map = Mutex::new(Map::new());
    let node = Arc::new(Node { env: env.clone(), map, peers: Mutex::default() });
    let listener = runtime.block_on(transport.listen("127.0.0.1:0")).unwrap();
    let own = listener.address();
    serve(&env, listener, Arc::clone(&node) as Arc<dyn Handler>, limits);
    println!("{own}");
    let mut lines = std::io::stdin().lock().lines();
    let addresses = lines.next().unwrap().unwrap();
    for address in addresses.split(' ').filter(|address| *address != own) {
        let deadline = env.deadline(Duration::from_secs(5));
        let dialed = Connection::dial(&env, &transport, address, Hello::client(1), None, limits, deadline);
        let dialed = runtime.block_on(dialed).unwrap();
        node.peers.lock().push(dialed);
    }
    println!("ready");
    let _end = lines.next();
}

impl Node {
    /// Asks both peers; the first answer completes the quorum of two of three. One may refuse: a starved peer falls behind
    /// the other without bound, until its connection takes no more. If both do, the sender is dropped unused.
    fn ask(&self, request: &Request) -> oneshot::Receiver<Response> {
        let (sender, receiver) = oneshot::channel();
        let sender = Arc::new(Mutex::new(Some(sender)));
        let deadline = self.env.deadline(Duration::from_secs(5));
        for peer in &*self.peers.lock() {
            let sender = Arc::clone(&sender);
            peer.submit(
                request,
                deadline,
                Box::new(move |result| {
                    let Ok(response) = result else { return };
                    if let Some(sender) = sender.lock().take() {
                        let _gone = sender.send(response);
                    }
                }),
            );
        }
        receiver
    }
}

impl Handler for Node {
    fn handle(&self, _peer: &Arc<Connection>, request: Request) -> BoxFuture<'static, Response> {
        let now = Time(1);
        match request {
            Request::Write { key, change, .. } => {
                let Change::Value(value) = change else {
                    return Box::pin(async { Response::Control(Bytes::new()) });
                };
                // Copied, so that the map holds the value and not the read buffer that it came in.
                let record = Bytes::copy_from_slice(&value);
                self.map.lock().insert(Bytes::copy_from_slice(&key), record.clone());
                let answer = self.ask(&Request::Apply { route: ROUTE, key, captured: now, record });
                Box::pin(async move {
                    match answer.await {
                        Ok(_) => {
                            Response::Written { dot: DOT, clock: Bytes::new(), owners: 2, fallbacks: 0, now }
                        }
                        Err(_) => alone(),
                    }
                })
            }
            Request::Read { key, .. } => {
                let record = self.map.lock().get(&key).cloned();
                let answer = self.ask(&Request::Fetch { route: ROUTE, key, full: true });
                Box::pin(async move {
                    match answer.await {
                        Ok(_) => Response::Record { record, now },
                        Err(_) => alone(),
                    }
                })
            }
            Request::Apply { key, record, .. } => {
                self.map.lock().insert(Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&record));
                Box::pin(std::future::ready(Response::Applied { winner: DOT, now }))
            }
            Request::Fetch { key, .. } => {
                let record = self.map.lock().get(&key).cloned();
                Box::pin(std::future::ready(Response::Record { record, now }))
            }
            Request::Control(bytes) => Box::pin(std::future::ready(Response::Control(bytes))),
            _ => Box::pin(std::future::ready(Response::Control(Bytes::new()))),
        }
    }

    fn greet(&self, _theirs: &Hello) -> Result<Hello> {
        Ok(Hello::client(1))
    }
}

/// What is answered when neither peer did.
fn alone() -> Response {
    Response::Failed(Error::new(ErrorKind::QuorumUnavailable, "neither peer answered"))
}
