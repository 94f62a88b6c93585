//! Leases and hand-overs.

use super::Expected::{Killed, Survives};
use super::{Chapter, Entry};
use crate::checker::Property::{RealTime, Stale};

pub(super) const LEASES: Chapter = Chapter {
    title: "Leases",
    introduction: "A leader that is granted leases need not ask for each read: those who granted them elect nobody else for a while. \
Here, and only here, clocks matter, and only for what a read sees.",
    entries: &[
        Entry {
            name: "lease-from-receipt",
            title: "Counted from the answer",
            change: "A leader counts its lease from when the grant arrives, not from when it asked.",
            outcome: "The grant was under way for long, and the acceptor counts from when it gave it.",
            expected: Killed(RealTime),
        },
        Entry {
            name: "lease-by-heads",
            title: "A majority of grants",
            change: "A lease holds when more than half of the nodes have granted it, whatever the quorum system is.",
            outcome: "Of five with quorums of 2 and 4, the two who granted nothing elect a leader. It takes a phase-2 quorum to meet every \
rival's phase-1 quorum.",
            expected: Killed(RealTime),
        },
        Entry {
            name: "grant-ignored",
            title: "A grant that binds nobody",
            change: "An acceptor that has granted a lease promises higher ballots as before.",
            outcome: "The holder does not ask, because nobody else can be elected; and somebody is.",
            expected: Killed(RealTime),
        },
        Entry {
            name: "grant-forgotten",
            title: "A grant that a restart forgets",
            change: "A restarted acceptor promises at once.",
            outcome: "It was one of those on whom the lease rests. It need not remember to whom it granted what: it is enough to wait as \
long as any grant may last. The restart, the rival's patience and the end of the rival's own grant must all fall within one lease, so this mutant \
is hunted in runs with long leases where leaders are cut off and others restarted, and little else happens.",
            expected: Killed(RealTime),
        },
        Entry {
            name: "drift-ignored",
            title: "Clocks that run alike",
            change: "A holder counts the whole of its lease, without allowing for clocks that run at different rates.",
            outcome: "Its own clock is slow and that of an acceptor fast, and the grant is over before the lease.",
            expected: Killed(RealTime),
        },
        Entry {
            name: "wall-clock",
            title: "The wall clock",
            change: "Nodes read a clock that is set back now and then.",
            outcome: "For the holder time stands still, or runs twice, and the lease lasts on.",
            expected: Killed(RealTime),
        },
        Entry {
            name: "clock-read-early",
            title: "What time was it?",
            change: "A process that was frozen takes the reads that arrived meanwhile by the time that it had read before.",
            outcome: "The lease held then. The read arrived later, and another leads by now. The clock must be read after the read has \
arrived, and must run through any pause.",
            expected: Killed(RealTime),
        },
        Entry {
            name: "read-served-late",
            title: "Allowed now, served later",
            change: "A read that is allowed under a lease is served a good while later, when the lease may have passed.",
            outcome: "The lease was looked at after the read had arrived, and the state that is read later is no older than it was then. \
The read takes its place in the order of things at that moment.",
            expected: Survives(&[]),
        },
        Entry {
            name: "lease-kept",
            title: "Handed over, and read on",
            change: "A leader that hands over goes on serving reads under the leases that its successor may pass over.",
            outcome: "The successor shows the acceptors that those leases are given back; and they are not.",
            expected: Killed(RealTime),
        },
        Entry {
            name: "release-for-ever",
            title: "Once given back, always given back",
            change: "An acceptor that is shown that leases were given back takes that to mean all leases of that ballot, later ones as well.",
            outcome: "The hand-over had come to nothing, the leader went on and was granted leases again. Then the successor hears of its call.",
            expected: Killed(RealTime),
        },
        Entry {
            name: "fresh-from-arrival",
            title: "As new as the news",
            change: "A node takes its state for as new as the arrival of the heartbeat that told it what is chosen.",
            outcome: "The heartbeat was under way for a while, and its leader had been deposed when it left. What counts is a moment of \
which the leader knows that a phase-2 quorum still followed it, told in terms of the receiver's own clock.",
            expected: Killed(Stale),
        },
        Entry {
            name: "lease-of-old-configuration",
            title: "The old members alone",
            change: "A lease holds when a phase-2 quorum of the configuration of the next slot has granted it, whatever governs the slots \
after it.",
            outcome: "As long as members and quorums never change, that is the same. While a change is under way, a node that knows all slots of the old \
configuration as chosen is elected by the new members alone. This is not to say that it is safe: it takes a leader that came later, has promises of both \
configurations, and still works on the old slots while that node has overtaken it, all within one lease. Random faults have not met it yet.",
            expected: Survives(&[]),
        },
    ],
};
