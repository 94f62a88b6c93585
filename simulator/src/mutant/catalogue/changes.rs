//! Changes of members and quorum system.

use super::Expected::{Killed, Stuck, Survives};
use super::{Chapter, Entry};
use crate::checker::Property::{Configurations, Evidence};

pub(super) const CHANGES: Chapter = Chapter {
    title: "Changing who decides",
    introduction: "A new configuration, members and quorums together, is a value like any other: it is chosen in a slot `r` and governs the slots \
from `r + α` on. So for every slot there is one configuration that never changes, and whoever may propose in it knows which. The quorums of the old one and \
of the new one need have nothing in common.",
    entries: &[
        Entry {
            name: "in-force-at-once",
            title: "From the next slot on",
            change: "A configuration governs the slots from the one on that follows its own.",
            outcome: "Slots up to `r + α` are under way already, under the old configuration: some are chosen by its quorums, and are now counted anew \
by others.",
            expected: Killed(Configurations),
        },
        Entry {
            name: "in-force-when-voted",
            title: "Proposed is not chosen",
            change: "An acceptor that votes for a change takes it for made.",
            outcome: "Another leader may get another value chosen in that slot. Then some count by a configuration that never was.",
            expected: Killed(Configurations),
        },
        Entry {
            name: "pending-ignored",
            title: "Two changes at a time",
            change: "A change is made though another one is chosen and not in force yet.",
            outcome: "More than two configurations would govern the window, and the promises of a leader would have to hold for each. Everybody counts on at \
most two, and forgets the third.",
            expected: Killed(Configurations),
        },
        Entry {
            name: "change-judged-locally",
            title: "Void here, made there",
            change: "A node that has not heard yet that an old configuration is retired takes the next change for void.",
            outcome: "Others have heard. Whether a change is made must follow from the log before it and from nothing else, or nodes come to \
different answers about the same value.",
            expected: Killed(Configurations),
        },
        Entry {
            name: "newcomers-unasked",
            title: "Promises of the old members for the new",
            change: "A leader goes on in the slots of a new configuration without a phase 1 with its members.",
            outcome: "An earlier leader may have gone as far, and the new members may have voted for its values. Nobody of the old configuration knows.",
            expected: Killed(Evidence),
        },
        Entry {
            name: "newcomers-left-alone",
            title: "Waiting to be promised",
            change: "A leader waits for the promises of a new configuration's members, and does not ask for them.",
            outcome: "It has heartbeats answered and leads, with a log that ends where the new configuration begins.",
            expected: Stuck,
        },
        Entry {
            name: "window-unfilled",
            title: "A change that waits for commands",
            change: "A leader does not fill the slots between a change and its configuration.",
            outcome: "When nobody writes, the old configuration stays in force for ever, and with it the machines that were to be switched off.",
            expected: Stuck,
        },
        Entry {
            name: "learner-counted",
            title: "A learner's vote",
            change: "A learner, who copies the log and has no vote, counts in quorums like a voter.",
            outcome: "Too few voters hold the value: a rival's phase-1 quorum needs none of them.",
            expected: Killed(Configurations),
        },
        Entry {
            name: "behind-accepted",
            title: "Into force with empty hands",
            change: "A change is proposed whether or not a phase-2 quorum of its members has caught up.",
            outcome: "Nothing is lost: the log waits until they have. To refuse is to spare those who write the waiting.",
            expected: Survives(&[]),
        },
        Entry {
            name: "retired-when-chosen",
            title: "Dismissed too early",
            change: "The old members are told that they may stop as soon as the new configuration is chosen.",
            outcome: "The slots before the new configuration are theirs to choose, and part of what is chosen may be on their disks alone.",
            expected: Killed(Configurations),
        },
        Entry {
            name: "retired-unkept",
            title: "Known, but not kept",
            change: "The old members are told that they may stop when a phase-2 quorum of the new ones knows all of their slots, in memory.",
            outcome: "Those lose their power. Their disks say which values they voted for, but not which were chosen, and who could tell is gone.",
            expected: Killed(Configurations),
        },
        Entry {
            name: "frail-accepted",
            title: "All eggs in one basket",
            change: "A change is proposed though one disk or one zone would hold a phase-2 quorum, and nobody has said that this is accepted.",
            outcome: "The protocol is as right as before; it is the disk that may be lost. In the simulated cluster no disk is spoilt that an \
acknowledged write may rest on alone, so nothing is lost there. The script `a_change_that_could_lose_data_is_refused` holds the rule.",
            expected: Survives(&[]),
        },
        Entry {
            name: "left-out-leads",
            title: "A leader who is no member",
            change: "A leader that has no vote in the configuration in force leads on.",
            outcome: "That is safe: it counts the votes of others. But it is about to be switched off, and then everybody has to wait for an election.",
            expected: Survives(&[]),
        },
    ],
};
