//! The promises of `wire`, and what the tests of its parts share: handlers, hosts, deadlines.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{Connection, Handler, Hello, Limits, Request, Response, Role, Transport, serve};
use crate::base::env::{BoxFuture, Deadline, Env, SystemClock};
use crate::base::error::{Error, ErrorKind, Result};
use crate::base::ids::ClusterId;

mod connection;
mod golden;
mod hostile;
mod memory;
mod roundtrip;
mod samples;
mod tcp;

const CLUSTER: ClusterId = ClusterId([7; 16]);

/// An environment on the runtime at hand.
fn env() -> Env {
    Env::new(tokio::runtime::Handle::current(), Arc::new(SystemClock), 1, String::new())
}

fn hello() -> Hello {
    Hello { cluster: Some(CLUSTER), ..Hello::client(1) }
}

fn soon(env: &Env) -> Deadline {
    env.deadline(Duration::from_secs(10))
}

fn control(text: impl Into<Bytes>) -> Request {
    Request::Control(text.into())
}

/// Answers control requests with their own bytes; `wait:MS:…` only after that time, `never` never, `panic` not at all.
#[derive(Default)]
struct Echo {
    env: Mutex<Option<Env>>,
}

impl Echo {
    fn new(env: &Env) -> Arc<Self> {
        Arc::new(Self { env: Mutex::new(Some(env.clone())) })
    }
}

impl Handler for Echo {
    fn handle(&self, _peer: &Arc<Connection>, request: Request) -> BoxFuture<'static, Response> {
        let Request::Control(bytes) = request else {
            return Box::pin(async { Response::Failed(Error::invalid("only control here")) });
        };
        let env = self.env.lock().clone().unwrap();
        Box::pin(async move {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some(rest) = text.strip_prefix("wait:") {
                let ms = rest.split(':').next().unwrap().parse().unwrap();
                env.sleep(Duration::from_millis(ms)).await;
            } else if text == "never" {
                std::future::pending::<()>().await;
            } else if text == "panic" {
                tokio::task::yield_now().await;
                panic!("as asked");
            }
            Response::Control(bytes)
        })
    }

    fn greet(&self, theirs: &Hello) -> Result<Hello> {
        if theirs.cluster != Some(CLUSTER) {
            return Err(Error::new(ErrorKind::Unauthorized, "another cluster"));
        }
        Ok(Hello { role: Role::Member, ..hello() })
    }
}

/// Serves echoes at this address; the address with its port.
async fn serve_echo(env: &Env, transport: &dyn Transport, address: &str, limits: Limits) -> String {
    let listener = transport.listen(address).await.unwrap();
    let address = listener.address();
    serve(env, listener, Echo::new(env), limits);
    address
}

async fn dial(env: &Env, transport: &dyn Transport, address: &str, limits: Limits) -> Arc<Connection> {
    Connection::dial(env, transport, address, hello(), None, limits, soon(env)).await.unwrap()
}

async fn echo(env: &Env, connection: &Connection, bytes: Bytes) {
    match connection.call(&control(bytes.clone()), soon(env)).await.unwrap() {
        Response::Control(found) => assert_eq!(found, bytes),
        other => panic!("{other:?}"),
    }
}
