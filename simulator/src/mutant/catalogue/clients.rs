//! What clients are told.

use super::Expected::Killed;
use super::{Chapter, Entry};
use crate::checker::Property::{Applied, OneEffect};

pub(super) const CLIENTS: Chapter = Chapter {
    title: "What clients are told",
    introduction: "A request ends as done, as refused, which means certainly not done, or as unknown. Commands travel from the node that \
took them to the leader, messages come twice, and leaders change: in each corner something is done twice, or is done after it was refused. Commands are numbered, and each takes effect once however often it is chosen.",
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
            name: "repeat-applied",
            title: "Chosen twice, and done twice",
            change: "State machines do not look whether they have done a command before.",
            outcome: "A command whose fate was in doubt is put to the next leader. The old proposal was not in that leader's quorum, and a \
later one brings it back: now the command is in the log twice, which is what its number is for.",
            expected: Killed(Applied),
        },
        Entry {
            name: "earlier-process-applied",
            title: "A session from the past",
            change: "A command of an earlier process of its node begins a session anew.",
            outcome: "What that process had done was forgotten when the next one was heard of. A repetition that comes late is done as if it \
were new.",
            expected: Killed(Applied),
        },
        Entry {
            name: "doubt-forgotten",
            title: "In doubt once, and refused later",
            change: "A command that is put to a second leader counts as one that no leader has seen yet.",
            outcome: "The second leader refuses it, or nobody leads until its time is up, and its client is told that it was certainly not \
done. The first leader's proposal may still be found.",
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
