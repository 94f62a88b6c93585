//! I18, membership: a life of a disk that no configuration knows promises nothing and votes for nothing, and no other node
//! asks it to (A6, A8).

use paxos::{Address, Message, Record, Write};
use quorum::Configuration;

use crate::checker::{Verdict, ensure};

/// A process asks for a write.
pub(crate) fn on_write(configuration: &Configuration, who: Address, write: &Write) -> Verdict {
    let votes = |record: &Record| matches!(record, Record::Promised(_) | Record::Voted { .. });
    ensure!(
        !write.records.iter().any(votes) || is_member(configuration, who),
        Membership,
        "{who:?} is no member, but records {:?}",
        write.records
    );
    Ok(())
}

/// A message leaves a node.
pub(crate) fn on_send(configuration: &Configuration, from: Address, to: Address, message: &Message) -> Verdict {
    let votes = matches!(
        message,
        Message::Prepare { .. }
            | Message::Promise { .. }
            | Message::Accept { .. }
            | Message::Accepted { .. }
            | Message::HeartbeatAck { .. }
    );
    ensure!(
        !votes || (is_member(configuration, from) && is_member(configuration, to)),
        Membership,
        "{from:?} sends {to:?}, who are not both members: {message:?}"
    );
    Ok(())
}

fn is_member(configuration: &Configuration, who: Address) -> bool {
    configuration.index_of(who.node, who.incarnation).is_some()
}
