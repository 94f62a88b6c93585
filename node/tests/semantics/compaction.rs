//! Steps that forget history. They come last: what is read before them is there in full.

use node::proto::etcdserverpb::maintenance_client::MaintenanceClient;
use node::proto::etcdserverpb::{CompactionRequest, DefragmentRequest, HashKvRequest, RangeRequest};
use tonic::transport::Channel;

use crate::steps::{Script, delete, key, op, put, show_header, span, txn};

fn at(range: RangeRequest, revision: i64) -> RangeRequest {
    RangeRequest { revision, ..range }
}

impl Script {
    async fn compact(&mut self, name: &str, revision: i64, physical: bool) {
        let answer = self.kv.compact(CompactionRequest { revision, physical }).await;
        let answer = answer.map(|answer| show_header(&answer.into_inner().header));
        self.note(name, answer);
    }

    /// The hash itself is another one in every implementation.
    async fn hash(&mut self, name: &str, channel: &Channel, revision: i64) {
        let answer = MaintenanceClient::new(channel.clone())
            .hash_kv(HashKvRequest { revision })
            .await;
        let answer = answer.map(|answer| {
            let answer = answer.into_inner();
            format!(
                "{}compacted at {}",
                show_header(&answer.header),
                answer.compact_revision
            )
        });
        self.note(name, answer);
    }

    pub(crate) async fn compactions(&mut self, channel: Channel) {
        self.hash("the hash of a store that was never compacted", &channel, 0)
            .await;
        self.compact("compacted in the future", 1000, false).await;
        self.compact("compacted below zero", -1, false).await;
        self.compact("compacted at zero", 0, false).await;
        self.compact("compacted at zero again", 0, false).await;
        self.put("c, first", put("c", "1")).await;
        self.put("c, second", put("c", "2")).await;
        self.delete("c, deleted", delete("c", "")).await;
        self.put("d, first", put("d", "1")).await;
        self.put("d, second", put("d", "2")).await;
        self.range("before it is compacted", at(span("c", "e"), 44)).await;
        self.compact("compacted", 46, false).await;
        self.range("below what is kept", at(span("c", "e"), 45)).await;
        self.range("one key below what is kept", at(key("d"), 45)).await;
        let count = RangeRequest {
            count_only: true,
            ..at(span("c", "e"), 45)
        };
        self.range("counted below what is kept", count).await;
        self.range("at what is kept", at(span("c", "e"), 46)).await;
        self.range("above what is kept", at(span("c", "e"), 47)).await;
        self.range("now, after compaction", span("c", "e")).await;
        self.range("at revision -5", at(span("c", "e"), -5)).await;
        self.range("at revision 1", at(key("never"), 1)).await;
        let reads = |revision| txn(vec![], vec![op(at(key("d"), revision))], vec![]);
        self.txn("a transaction that reads below what is kept", reads(45)).await;
        self.txn("a transaction that reads at what is kept", reads(46)).await;
        self.txn("a transaction that reads at revision -5", reads(-5)).await;
        let writes = |revision| txn(vec![], vec![op(put("e", "1")), op(at(key("d"), revision))], vec![]);
        self.txn("a transaction that writes and reads below what is kept", writes(45))
            .await;
        self.txn("a transaction that writes and reads at what is kept", writes(46))
            .await;
        self.compact("compacted there again", 46, false).await;
        self.compact("compacted below", 40, false).await;
        self.compact("compacted in the future again", 49, false).await;
        self.hash("the hash of a compacted store", &channel, 0).await;
        self.hash("the hash below what is kept", &channel, 45).await;
        self.hash("the hash of the past", &channel, 47).await;
        self.hash("the hash of the future", &channel, 49).await;
        self.compact("compacted at the last revision, and swept", 48, true)
            .await;
        self.range("what is left after compaction", span("c", "f")).await;
        self.range("the last revision but one", at(span("c", "f"), 47)).await;
        self.put("c begins anew", put("c", "3")).await;
        self.range("as a new key", key("c")).await;
        let defragmented = MaintenanceClient::new(channel).defragment(DefragmentRequest {}).await;
        self.note(
            "a defragmentation",
            defragmented.map(|answer| show_header(&answer.into_inner().header)),
        );
    }
}
