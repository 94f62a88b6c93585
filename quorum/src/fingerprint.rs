//! A stable hash of a configuration: nodes that disagree on it must not work together.

use crate::Proposal;
use core::fmt::{self, Write};

/// FNV-1a, 64 bits. Not cryptographic: it guards against mistakes, not against forgery.
struct Fnv(u64);

impl Fnv {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(Fnv::PRIME);
        }
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    /// Length first, so that neighbouring texts cannot trade characters.
    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes(text.as_bytes());
    }
}

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}

/// The hash of everything in the proposal, whose members must be in canonical order.
///
/// The value is part of what nodes compare over the wire: changing what goes in here, or in which order, is a change of
/// format.
pub(crate) fn fingerprint(proposal: &Proposal) -> u64 {
    let mut hash = Fnv(Fnv::OFFSET);
    hash.number(proposal.epoch.0);
    hash.number(u64::from(proposal.alpha));
    hash.number(proposal.members.len() as u64);
    for member in &proposal.members {
        hash.number(member.node.0);
        hash.number(member.incarnation.0);
        for text in [
            &member.name,
            &member.region,
            &member.zone,
            &member.address,
            &member.client_url,
        ] {
            hash.text(text);
        }
        write!(hash, "{}", member.role).expect("hashing does not fail");
    }
    write!(hash, " {}", proposal.system).expect("hashing does not fail");
    hash.0
}
