//! What clients ask, in words of the etcd v3 API, and what they are told.

use std::time::Duration;

use node::proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use node::proto::etcdserverpb::kv_client::KvClient;
use node::proto::etcdserverpb::request_op::Request as Step;
use node::proto::etcdserverpb::response_op::Response as Answer;
use node::proto::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RangeResponse, RequestOp, ResponseHeader, TxnRequest,
};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

/// How long a client waits for an answer before it gives the operation up as unknown.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1500);
/// How long it waits for a connection.
const CONNECT: Duration = Duration::from_millis(300);

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Ask {
    /// Reads a key; `stale`: as the node has it, without asking others.
    Get { key: String, stale: bool },
    /// Reads several keys at one revision.
    GetAll(Vec<String>),
    /// Writes.
    Put { key: String, values: Vec<u64> },
    /// Writes if the comparison holds.
    PutIf { key: String, is: If, values: Vec<u64> },
    /// Removes.
    Delete(String),
}

/// What a key must be like for a write.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum If {
    Version(i64),
    Value(u64),
    Modified(i64),
}

/// What a key holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The numbers of the writes that it shows: one for a register, all for a list.
    pub(crate) values: Vec<u64>,
    pub(crate) version: i64,
    /// The revision of the last write.
    pub(crate) modified: i64,
}

/// An answer, and the store's revision as its header says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Told {
    pub(crate) revision: i64,
    pub(crate) said: Said,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    Found(Vec<Option<Entry>>),
    Put,
    Compared(bool),
    Deleted(bool),
}

/// How an operation ended for its client.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Done(Told),
    /// Certainly not done.
    Refused(String),
    /// Done, or not done, or still to be done.
    Unknown(String),
}

/// A client's connection to one node.
pub(crate) struct Link {
    pub(crate) node: u64,
    client: KvClient<Channel>,
}

impl Link {
    /// Connects, unless nobody listens there.
    pub(crate) async fn open(node: u64, port: u16) -> Option<Link> {
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).ok()?;
        let connected = tokio::time::timeout(CONNECT, endpoint.connect_timeout(CONNECT).connect()).await;
        Some(Link {
            node,
            client: KvClient::new(connected.ok()?.ok()?),
        })
    }

    /// Asks, and waits for the answer as long as a client does.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> Outcome {
        // The node is told the deadline, and this end keeps it too: a paused node keeps none.
        match tokio::time::timeout(PATIENCE * 11 / 10, self.send(ask)).await {
            Ok(Ok(told)) => Outcome::Done(told),
            Ok(Err(status)) => outcome(&status),
            Err(_) => Outcome::Unknown("no answer".to_owned()),
        }
    }

    async fn send(&mut self, ask: &Ask) -> Result<Told, Status> {
        match ask {
            Ask::Get { key, stale } => {
                let answer = self.client.range(timed(range(key, *stale))).await?.into_inner();
                let found = vec![entry(&answer)];
                told(answer.header, Said::Found(found))
            }
            Ask::GetAll(keys) => {
                let success = keys.iter().map(|key| step(Step::RequestRange(range(key, false))));
                let txn = TxnRequest {
                    success: success.collect(),
                    ..TxnRequest::default()
                };
                let answer = self.client.txn(timed(txn)).await?.into_inner();
                let found = answer.responses.iter().map(|one| match &one.response {
                    Some(Answer::ResponseRange(range)) => Ok(entry(range)),
                    other => Err(Status::internal(format!("a range was answered with {other:?}"))),
                });
                told(answer.header, Said::Found(found.collect::<Result<_, _>>()?))
            }
            Ask::Put { key, values } => {
                let answer = self.client.put(timed(put(key, values))).await?.into_inner();
                told(answer.header, Said::Put)
            }
            Ask::PutIf { key, is, values } => {
                let txn = TxnRequest {
                    compare: vec![compare(key, *is)],
                    success: vec![step(Step::RequestPut(put(key, values)))],
                    ..TxnRequest::default()
                };
                let answer = self.client.txn(timed(txn)).await?.into_inner();
                told(answer.header, Said::Compared(answer.succeeded))
            }
            Ask::Delete(key) => {
                let request = DeleteRangeRequest {
                    key: key.clone().into(),
                    ..DeleteRangeRequest::default()
                };
                let answer = self.client.delete_range(timed(request)).await?.into_inner();
                told(answer.header, Said::Deleted(answer.deleted > 0))
            }
        }
    }

    /// All keys as the node itself has them.
    pub(crate) async fn everything(&mut self) -> Result<Vec<(String, Entry)>, Status> {
        let request = RangeRequest {
            key: vec![0].into(),
            range_end: vec![0].into(),
            serializable: true,
            ..RangeRequest::default()
        };
        let mut client = self.client.clone().max_decoding_message_size(1 << 30);
        let answer = client.range(request).await?.into_inner();
        let all = answer.kvs.iter().map(|kv| {
            let entry = Entry {
                values: numbers(&kv.value),
                version: kv.version,
                modified: kv.mod_revision,
            };
            (String::from_utf8_lossy(&kv.key).into_owned(), entry)
        });
        Ok(all.collect())
    }
}

/// What an error says about the operation. Only what the node promises to mean "not done" counts as refused.
fn outcome(status: &Status) -> Outcome {
    const NOT_DONE: [&str; 4] = [
        "etcdserver: no leader",
        "etcdserver: no quorum",
        "etcdserver: leader changed",
        "etcdserver: mvcc: database space exceeded",
    ];
    let text = status.message();
    let refused = match status.code() {
        Code::InvalidArgument | Code::FailedPrecondition | Code::Unimplemented => true,
        Code::ResourceExhausted => text == "etcdserver: too many requests" || NOT_DONE.contains(&text),
        Code::Unavailable => NOT_DONE.contains(&text),
        _ => false,
    };
    let text = format!("{:?}: {text}", status.code());
    if refused {
        Outcome::Refused(text)
    } else {
        Outcome::Unknown(text)
    }
}

fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

fn told(header: Option<ResponseHeader>, said: Said) -> Result<Told, Status> {
    let header = header.ok_or_else(|| Status::internal("an answer without a header"))?;
    Ok(Told {
        revision: header.revision,
        said,
    })
}

fn range(key: &str, stale: bool) -> RangeRequest {
    RangeRequest {
        key: key.to_owned().into(),
        serializable: stale,
        ..RangeRequest::default()
    }
}

fn put(key: &str, values: &[u64]) -> PutRequest {
    PutRequest {
        key: key.to_owned().into(),
        value: text(values).into(),
        ..PutRequest::default()
    }
}

fn step(request: Step) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn compare(key: &str, is: If) -> Compare {
    let (target, operand) = match is {
        If::Version(version) => (CompareTarget::Version, TargetUnion::Version(version)),
        If::Value(value) => (CompareTarget::Value, TargetUnion::Value(text(&[value]).into())),
        If::Modified(revision) => (CompareTarget::Mod, TargetUnion::ModRevision(revision)),
    };
    Compare {
        result: CompareResult::Equal.into(),
        target: target.into(),
        key: key.to_owned().into(),
        target_union: Some(operand),
        ..Compare::default()
    }
}

fn entry(answer: &RangeResponse) -> Option<Entry> {
    answer.kvs.first().map(|kv| Entry {
        values: numbers(&kv.value),
        version: kv.version,
        modified: kv.mod_revision,
    })
}

fn text(values: &[u64]) -> String {
    let words: Vec<String> = values.iter().map(u64::to_string).collect();
    words.join(",")
}

/// The numbers in a value; 0, which no client writes, for what is none.
fn numbers(value: &[u8]) -> Vec<u64> {
    let text = String::from_utf8_lossy(value);
    text.split(',').map(|word| word.parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_node_promises_is_taken_as_not_done() {
        let refused = |status: Status| matches!(outcome(&status), Outcome::Refused(_));
        assert!(refused(Status::unavailable("etcdserver: no leader")));
        assert!(refused(Status::resource_exhausted("etcdserver: too many requests")));
        for text in [
            "etcdserver: request timed out",
            "etcdserver: request timed out, possibly due to previous leader failure",
            "etcdserver: server stopped",
            "transport error",
        ] {
            assert!(!refused(Status::unavailable(text)), "{text}");
        }
        assert!(!refused(Status::cancelled("Timeout expired")));
    }

    #[test]
    fn a_list_is_what_was_written() {
        assert_eq!(numbers(text(&[3, 1, 2]).as_bytes()), [3, 1, 2]);
        assert_eq!(numbers(b"what"), [0]);
    }
}
