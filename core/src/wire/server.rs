//! The serving side: accepts connections up to a limit, exchanges hellos within a deadline, starts each connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::connection::{Connection, Handler, send_hello};
use super::frame::{Kind, Outgoing};
use super::hello::{Hello, VERSION_NONE};
use super::limits::Limits;
use super::response::Response;
use super::transport::{Duplex, FrameSender, Listener};
use crate::base::env::Env;
use crate::base::error::{Error, ErrorKind, Result};

/// How long accepting pauses after an error: it is mostly a lack of descriptors, which passes.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections on tasks of the environment until it stops. Each answers its requests through the handler.
pub fn serve(env: &Env, mut listener: Box<dyn Listener>, handler: Arc<dyn Handler>, limits: Limits) {
    let serving = env.clone();
    env.spawn(async move {
        let open = Arc::new(AtomicU32::new(0));
        loop {
            let Ok(duplex) = listener.accept().await else {
                serving.sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let place = Place(Arc::clone(&open));
            if open.fetch_add(1, Ordering::Relaxed) >= limits.connections_max {
                let text = format!("{} connections are open", limits.connections_max);
                refuse(&*duplex.sender, Error::new(ErrorKind::Overloaded, text));
                continue;
            }
            let (env, handler) = (serving.clone(), Arc::clone(&handler));
            serving.spawn(async move {
                let greeted = env.deadline(limits.handshake).limit(greet(duplex, &*handler));
                // Who does not manage a hello in time is dropped without a word.
                if let Ok(Ok((duplex, theirs, version))) = greeted.await {
                    let connection = Connection::start(&env, duplex, theirs, version, Some(handler), limits);
                    connection.closed().await;
                }
                drop(place);
            });
        }
    });
}

/// One of the connections that may be open.
struct Place(Arc<AtomicU32>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The accepting side's hello: hear who they are, let the handler judge, say who we are.
async fn greet(mut duplex: Duplex, handler: &dyn Handler) -> Result<(Duplex, Hello, u8)> {
    let frame = duplex.receiver.receive_hello().await?;
    let Some(frame) = frame.filter(|frame| frame.kind == Kind::Hello) else {
        return Err(Error::corrupt("the first frame is no hello"));
    };
    let theirs = Hello::decode(frame.body)?;
    let greeted = handler.greet(&theirs).and_then(|ours| Ok((ours.versions.agree(theirs.versions)?, ours)));
    match greeted {
        Ok((version, ours)) => {
            send_hello(&*duplex.sender, &ours)?;
            Ok((duplex, theirs, version))
        }
        Err(error) => {
            refuse(&*duplex.sender, error.clone());
            Err(error)
        }
    }
}

/// Says why, and closes.
fn refuse(sender: &dyn FrameSender, error: Error) {
    let response = Response::Failed(error);
    let mut head = Vec::new();
    let tail = response.encode(&mut head);
    // It is being closed; whether the reason still arrives changes nothing here.
    let _unsent =
        sender.send(Outgoing { version: VERSION_NONE, kind: response.kind(), id: 0, head: &head, tail });
    sender.close();
}
