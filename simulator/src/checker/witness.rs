//! The witness: what is answered is what the chosen log gives, played to a naive second key-value store up to the slot that
//! the answer rests on (X2; the sequential half of linearizability, [`real_time`](super::real_time) is the other).

use paxos::Slot;
use storage::machine::Applied;

use crate::checker::{Verdict, ensure};
use crate::reference::Reference;
use crate::workload::{Found, OpId, Query};

/// A client is told what its write did.
pub(crate) fn on_done(op: OpId, told: &Applied, reply: Option<&Applied>) -> Verdict {
    ensure!(
        reply == Some(told),
        Witness,
        "write {} is answered with {told:?}, but the log gives {reply:?}",
        op.0
    );
    Ok(())
}

/// A read in the state after `slot` is served.
pub(crate) fn on_read(reference: &Reference, op: OpId, query: &Query, slot: Slot, found: &Found) -> Verdict {
    let expected = reference.read(slot, query);
    ensure!(
        *found == expected,
        Witness,
        "read {} of {query:?} after slot {slot} found {found:?}, but the log gives {expected:?}",
        op.0
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use paxos::CommandId;
    use quorum::NodeId;
    use storage::machine::{Command, Put, Range, Revision};

    use super::*;

    fn put(key: &'static str) -> Command {
        Command::Put(Put {
            key: key.into(),
            value: "v".into(),
            prev_kv: true,
            ..Put::default()
        })
    }

    #[test]
    fn an_answer_that_is_not_the_logs_is_noticed() {
        let mut reference = Reference::new();
        let id = |sequence| CommandId {
            origin: NodeId(1),
            boot: 1,
            sequence,
        };
        let first = reference.apply(Slot(1), id(1), &put("a").encode()).expect("a command");
        let again = reference.apply(Slot(2), id(1), &put("a").encode());
        assert_eq!(again, None, "X1");
        let second = reference.apply(Slot(2), id(2), &put("a").encode()).expect("a command");
        assert_eq!((first.revision, second.revision), (Revision(2), Revision(3)));
        assert!(on_done(OpId(1), &first, Some(&first)).is_ok());
        assert!(on_done(OpId(1), &first, Some(&second)).is_err());
        let get = Query::Range(Range {
            key: "a".into(),
            ..Range::default()
        });
        let stale = reference.read(Slot(1), &get);
        assert!(on_read(&reference, OpId(3), &get, Slot(1), &stale).is_ok());
        assert!(on_read(&reference, OpId(3), &get, Slot(2), &stale).is_err());
    }
}
