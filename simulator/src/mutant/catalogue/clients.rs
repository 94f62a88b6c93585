//! What clients are told.

use super::Expected::Killed;
use super::{Chapter, Entry};
use crate::checker::Property::OneEffect;

pub(super) const CLIENTS: Chapter = Chapter {
    title: "What clients are told",
    introduction: "A request ends as done, as refused, which means certainly not done, or as unknown. Commands travel from the node that \
took them to the leader, messages come twice, and leaders change: in each corner something is done twice, or is done after it was refused.",
    entries: &[
        Entry {
            name: "forward-taken-twice",
            title: "A forwarded command, taken twice",
            change: "A leader takes every `Forward` that arrives, also one that the network delivers a second time.",
            outcome: "The command is proposed in two slots.",
            expected: Killed(OneEffect),
        },
        Entry {
            name: "repeat-refused",
            title: "A repeated forward, refused",
            change: "A leader that has taken a `Forward` refuses its repetition.",
            outcome: "The node that sent it believes the refusal, which is about the repetition only, and sends the command to the next \
leader.",
            expected: Killed(OneEffect),
        },
        Entry {
            name: "earlier-process-refuses",
            title: "A refusal in the name of an earlier process",
            change: "A restarted leader refuses what was forwarded to it under a ballot of its earlier process.",
            outcome: "That process may have proposed it; the restarted one does not know. It may only keep silent.",
            expected: Killed(OneEffect),
        },
        Entry {
            name: "doubt-retried",
            title: "In doubt, and tried again",
            change: "When the leader changes, commands whose fate is unknown are put to the new leader.",
            outcome: "The old proposal was not in the new leader's quorum, and a later leader brings it back: now it is in the log twice. \
A client may repeat such a command when commands carry a session and a number; a node may not.",
            expected: Killed(OneEffect),
        },
        Entry {
            name: "doubt-refused",
            title: "In doubt, and refused",
            change: "When the leader changes, commands whose fate is unknown are refused.",
            outcome: "That the new leader does not know a command does not mean that no later one will find it.",
            expected: Killed(OneEffect),
        },
        Entry {
            name: "unknown-is-refused",
            title: "Unknown, told as refused",
            change: "The node's edge answers its clients \"refused\" where the core said \"unknown\".",
            outcome: "The same lie, told one layer further out.",
            expected: Killed(OneEffect),
        },
    ],
};
