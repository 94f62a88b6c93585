//! I18, membership: a life of a disk that no configuration knows promises nothing and votes for nothing, and no other node
//! asks it to (A6, A8).

use paxos::{Address, Message, Record, Write};

use crate::checker::{Verdict, ensure};
use crate::ledger::Ledger;

/// A process asks for a write.
pub(crate) fn on_write(ledger: &Ledger, who: Address, write: &Write) -> Verdict {
    let votes = |record: &Record| matches!(record, Record::Promised(_) | Record::Voted { .. });
    ensure!(
        !write.records.iter().any(votes) || ledger.knows(who),
        Membership,
        "{who:?} is no member, but records {:?}",
        write.records
    );
    Ok(())
}

/// A message leaves a node.
pub(crate) fn on_send(ledger: &Ledger, from: Address, to: Address, message: &Message) -> Verdict {
    let votes = matches!(
        message,
        Message::Prepare { .. }
            | Message::Promise { .. }
            | Message::Accept { .. }
            | Message::Accepted { .. }
            | Message::HeartbeatAck { .. }
            | Message::HandOver { .. }
    );
    ensure!(
        !votes || (ledger.knows(from) && ledger.knows(to)),
        Membership,
        "{from:?} sends {to:?}, who are not both members: {message:?}"
    );
    Ok(())
}
