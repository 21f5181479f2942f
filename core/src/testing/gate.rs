//! The network between the nodes of a test cluster, so that it can be cut: a transport around another one that fails
//! dials between nodes that are apart, and ends the connections between them. Only the side that dials is looked at:
//! a connection has one, and both directions go through it. Clients have no gate and reach everyone.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::base::env::BoxFuture;
use crate::base::error::{Error, ErrorKind, Result};

use crate::wire::{Duplex, Frame, FrameReceiver, FrameSender, Listener, Outgoing, Transport};

/// Who is apart from whom: the network that the gates of one cluster share.
#[derive(Clone, Debug)]
pub(super) struct Switchboard(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// The number of each node's group.
    groups: watch::Sender<Vec<usize>>,
    /// Who listens where.
    addresses: Mutex<BTreeMap<String, usize>>,
}

impl Switchboard {
    /// A network of so many nodes that all reach each other.
    pub(super) fn new(size: usize) -> Self {
        let groups = watch::Sender::new(vec![0; size]);
        Self(Arc::new(Shared { groups, addresses: Mutex::default() }))
    }

    /// Puts the nodes into groups; those that none names form one more together.
    ///
    /// # Errors
    /// `InvalidArgument` for an index that is out of range or is named twice.
    pub(super) fn partition(&self, groups: &[Vec<usize>]) -> Result<()> {
        let size = self.0.groups.borrow().len();
        let mut placed = vec![None; size];
        for (group, members) in groups.iter().enumerate() {
            for index in members {
                let place = placed
                    .get_mut(*index)
                    .ok_or_else(|| Error::invalid(format!("there is no node {index} of {size}")))?;
                if place.replace(group + 1).is_some() {
                    return Err(Error::invalid(format!("node {index} is named twice")));
                }
            }
        }
        self.0.groups.send_replace(placed.into_iter().map(Option::unwrap_or_default).collect());
        Ok(())
    }

    /// Lets all reach each other again.
    pub(super) fn heal(&self) {
        self.0.groups.send_modify(|groups| groups.fill(0));
    }

    /// A node's way to the network.
    pub(super) fn gate(&self, index: usize, transport: Arc<dyn Transport>) -> Arc<dyn Transport> {
        Arc::new(Gate { board: self.clone(), index, transport })
    }

    fn listens(&self, address: String, index: usize) {
        self.0.addresses.lock().insert(address, index);
    }

    /// The wire to an address, if a node of this network listens there.
    fn wire(&self, from: usize, address: &str) -> Option<Wire> {
        let to = self.0.addresses.lock().get(address).copied()?;
        Some(Wire { from, to, groups: self.0.groups.subscribe() })
    }
}

/// What may be cut between two nodes.
#[derive(Clone, Debug)]
struct Wire {
    from: usize,
    to: usize,
    groups: watch::Receiver<Vec<usize>>,
}

impl Wire {
    fn cut(&self) -> bool {
        let groups = self.groups.borrow();
        groups.get(self.from) != groups.get(self.to)
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error::new(kind, format!("the network between nodes {} and {} is cut", self.from, self.to))
    }

    /// Waits until it is cut; for ever, once the network is gone.
    async fn until_cut(&mut self) {
        while !self.cut() {
            if self.groups.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[derive(Debug)]
struct Gate {
    board: Switchboard,
    index: usize,
    transport: Arc<dyn Transport>,
}

impl Transport for Gate {
    fn dial<'a>(&'a self, address: &'a str) -> BoxFuture<'a, Result<Duplex>> {
        Box::pin(async move {
            let Some(wire) = self.board.wire(self.index, address) else {
                return self.transport.dial(address).await;
            };
            if wire.cut() {
                return Err(wire.error(ErrorKind::Io));
            }
            let Duplex { sender, receiver, remote } = self.transport.dial(address).await?;
            let sender = Arc::new(GatedSender { wire: wire.clone(), sender });
            let receiver = Box::new(GatedReceiver { wire, receiver });
            Ok(Duplex { sender, receiver, remote })
        })
    }

    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let listener = self.transport.listen(address).await?;
            self.board.listens(listener.address(), self.index);
            Ok(listener)
        })
    }
}

#[derive(Debug)]
struct GatedSender {
    wire: Wire,
    sender: Arc<dyn FrameSender>,
}

impl FrameSender for GatedSender {
    fn send(&self, frame: Outgoing<'_>) -> Result<()> {
        if self.wire.cut() {
            return Err(self.wire.error(ErrorKind::Closed));
        }
        self.sender.send(frame)
    }

    fn close(&self) {
        self.sender.close();
    }
}

#[derive(Debug)]
struct GatedReceiver {
    wire: Wire,
    receiver: Box<dyn FrameReceiver>,
}

impl FrameReceiver for GatedReceiver {
    fn receive_hello(&mut self) -> BoxFuture<'_, Result<Option<Frame>>> {
        Box::pin(async move {
            let wire = self.wire.clone();
            tokio::select! {
                biased;
                () = self.wire.until_cut() => Err(wire.error(ErrorKind::Io)),
                received = self.receiver.receive_hello() => received,
            }
        })
    }

    fn receive<'a>(&'a mut self, into: &'a mut Vec<Frame>) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let wire = self.wire.clone();
            tokio::select! {
                biased;
                () = self.wire.until_cut() => Err(wire.error(ErrorKind::Io)),
                received = self.receiver.receive(into) => received,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apart(board: &Switchboard, one: usize, other: usize) -> bool {
        Wire { from: one, to: other, groups: board.0.groups.subscribe() }.cut()
    }

    #[test]
    fn nodes_that_no_group_names_stay_together() {
        let board = Switchboard::new(4);
        board.partition(&[vec![1]]).unwrap();
        assert!(apart(&board, 0, 1) && apart(&board, 1, 2));
        assert!(!apart(&board, 0, 2) && !apart(&board, 2, 3));
        board.partition(&[vec![0, 1], vec![2, 3]]).unwrap();
        assert!(!apart(&board, 0, 1) && apart(&board, 0, 2));
        board.heal();
        assert!(!apart(&board, 0, 2));
    }

    #[test]
    fn bad_groups_change_nothing() {
        let board = Switchboard::new(3);
        board.partition(&[vec![0]]).unwrap();
        for bad in [&[vec![3]][..], &[vec![1, 1]], &[vec![1], vec![2, 1]]] {
            assert_eq!(board.partition(bad).unwrap_err().kind(), ErrorKind::InvalidArgument, "{bad:?}");
            assert!(apart(&board, 0, 1) && !apart(&board, 1, 2));
        }
    }
}
