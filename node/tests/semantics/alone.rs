//! The client API over the real state machine, with every command applied as soon as it is proposed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use node::api::{self, Api, Identity, Store, Unread};
use node::clock::Clock;
use node::metrics::ApiMetrics;
use node::requests::{self, Desk};
use node::status::{ConfigurationStatus, NodeStatus};
use paxos::{Batch, Command, CommandId, Entry, Input, Outcome, RequestId, Slot, Value};
use quorum::{Epoch, Incarnation, Member, NodeId, Proposal, Role, SystemSpec};
use storage::machine::{Hash, Limits, Machine, Range, RangeReply, ReadError, Reader, Revision, Txn, TxnReply};
use storage::snapshot::{Origin, PIECE_BYTES, Source};
use storage::tables::MemoryTables;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A node that agrees with itself.
pub(crate) struct Node {
    pub(crate) endpoint: String,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
}

impl Node {
    pub(crate) async fn start() -> Node {
        let machine = Machine::open(MemoryTables::new(), 1 << 20).expect("memory does not fail");
        let reader = machine.reader();
        let member = Member {
            node: NodeId(1),
            incarnation: Incarnation(1),
            name: "a".to_owned(),
            region: "here".to_owned(),
            zone: "here".to_owned(),
            address: "127.0.0.1:7400".to_owned(),
            client_url: String::new(),
            role: Role::Voter,
        };
        let configuration = Proposal {
            epoch: Epoch(1),
            alpha: 1,
            system: SystemSpec::Majority,
            members: vec![member],
        };
        let status = NodeStatus {
            node: 1,
            leader: Some(1),
            healthy: true,
            configurations: vec![ConfigurationStatus {
                from_slot: 1,
                configuration,
            }],
            ..NodeStatus::default()
        };
        let (requests, desk) = requests::open(Clock::start(), 1024, status);
        tokio::spawn(serve(desk, machine));
        let identity = Identity { cluster: 7, member: 1 };
        let metrics = ApiMetrics::new(&prometheus::Registry::new());
        let patience = Duration::from_secs(7);
        let api = Api::new(
            requests,
            Arc::new(State(reader)),
            identity,
            Limits::default(),
            patience,
            metrics,
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has ports");
        let endpoint = format!("http://{}", listener.local_addr().expect("it is bound"));
        let (stop, stopped) = watch::channel(false);
        let server = tokio::spawn(api::serve(api, listener, stopped));
        Node { endpoint, stop, server }
    }

    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.server.await.expect("the server ends");
    }
}

async fn serve(mut desk: Desk, mut machine: Machine<MemoryTables>) {
    let mut slot = Slot::ZERO;
    while let Some(input) = desk.inputs.recv().await {
        match input {
            Input::Propose { id, payload, .. } => {
                slot = slot.next();
                let id = CommandId {
                    origin: NodeId(1),
                    boot: 1,
                    sequence: id.0,
                };
                let value = Value::Commands(Batch::pack([&Command { id, payload }]));
                let answer = |id: CommandId, applied| desk.waiters.applied(RequestId(id.sequence), applied);
                machine
                    .apply(&[Entry { slot, value }], |_| true, answer)
                    .expect("memory does not fail");
            }
            Input::Read { id, .. } => desk.waiters.outcome(id, Outcome::Read(slot)),
            other => panic!("the API sent {other:?}"),
        }
    }
}

struct State(Reader<MemoryTables>);

fn unread(error: ReadError) -> Unread {
    match error {
        ReadError::Refused(error) => Unread::Refused(error),
        ReadError::Failed(error) => panic!("memory does not fail: {error}"),
    }
}

impl Store for State {
    fn revision(&self) -> Revision {
        self.0.revision()
    }

    fn is_whole(&self, _: Slot) -> bool {
        true
    }

    fn range(&self, range: &Range) -> Result<(RangeReply, Revision), Unread> {
        self.0.range(range).map_err(unread)
    }

    fn read_txn(&self, txn: &Txn) -> Result<(TxnReply, Revision), Unread> {
        self.0.txn(txn).map_err(unread)
    }

    /// Nothing is swept here, and nobody is made to wait for it.
    fn swept(&self) -> watch::Receiver<i64> {
        watch::channel(i64::MAX).1
    }

    fn hash(&self, revision: i64) -> Result<Hash, Unread> {
        self.0.hash(revision).map_err(unread)
    }

    fn snapshot(&self, origin: Origin, take: &mut dyn FnMut(Revision, Bytes) -> bool) -> Result<(), Unread> {
        let sound = |error| -> ! { panic!("the state cannot be read: {error}") };
        let frozen = self.0.freeze();
        let mut source = Source::new(frozen, origin, self.0.rows(), PIECE_BYTES).unwrap_or_else(|error| sound(error));
        let revision = source.header().progress.revision;
        let mut number = 0;
        while let Some(piece) = source.piece(number).unwrap_or_else(|error| sound(error)) {
            if !take(revision, piece.payload) {
                break;
            }
            number += 1;
        }
        Ok(())
    }

    fn reclaim(&self) -> Result<(), Unread> {
        Ok(())
    }
}
