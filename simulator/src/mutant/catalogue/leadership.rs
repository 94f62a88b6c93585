//! Who leads, and how quickly.

use super::Expected::{Stuck, Survives};
use super::{Chapter, Entry};
use crate::checker::Property::Bounds;

const QUIET: &str =
    "Nothing wrong is ever said: rules with an E decide only who leads when. Golden scripts of the core hold this one.";

pub(super) const LEADERSHIP: Chapter = Chapter {
    title: "Who leads when",
    introduction: "These rules cannot be broken unsafely, and that is worth showing: with each of them gone, every safety checker is \
content with millions of events. What suffers is quiet and speed. The first two are about other rules; one of them leaves a member behind, the other does no harm. Further on one leaves everybody behind. Four more things that look like mistakes \
need no mutant, because the real protocol does them: a promise may be given twice to the same ballot, a torn tail that was never acknowledged \
may be cut off, phase 1 is done once for all slots, and quorums of the same phase need not meet.",
    entries: &[
        Entry {
            name: "reject-ignored",
            title: "A refusal that nobody heeds",
            change: "A leader or candidate takes no notice of rejections.",
            outcome: "Nothing wrong is said. But a node that stood in vain has promised its own ballot, refuses the leader's messages from then on, and \
is not let stand again by those who hear that leader. A leader that heeds the refusal takes a higher ballot, and all follow.",
            expected: Stuck,
        },
        Entry {
            name: "thrifty",
            title: "Only as many as it takes",
            change: "A leader sends an `Accept` to one phase-2 quorum first, and to the others only when that does not answer.",
            outcome: "This is safe, and saves messages; the price is a delay whenever one of the chosen few is slow. Sending to all is a \
choice for the sake of the slowest round trips.",
            expected: Survives(&[]),
        },
        Entry {
            name: "canvass-skipped",
            title: "Standing without asking",
            change: "A node that misses its leader stands at once.",
            outcome: QUIET,
            expected: Survives(&[]),
        },
        Entry {
            name: "canvass-granted",
            title: "Letting everybody stand",
            change: "A node that hears a working leader encourages others to stand against it.",
            outcome: QUIET,
            expected: Survives(&[]),
        },
        Entry {
            name: "canvass-untold",
            title: "Asked, and no wiser",
            change: "Who asks whether others miss the leader too does not say how much is chosen, nor does who answers.",
            outcome: "While nobody leads, nobody says it either. Two voters stood below the slot in which their new configuration was chosen; of the \
old one, in which they believed, too few were left to elect anybody; and a learner beside them had all of it.",
            expected: Stuck,
        },
        Entry {
            name: "no-back-off",
            title: "No patience, no chance",
            change: "A candidate that is refused stands again at once, and nobody waits for a random time.",
            outcome: "Duels last longer, but they end: the canvass between two candidacies and the differences between links and disks are \
chance enough, so that in the simulated cluster even this mutant comes to rest. The random wait makes that quick, and does not leave it to \
luck.",
            expected: Survives(&[]),
        },
        Entry {
            name: "ailing-unnoticed",
            title: "A leader that does not know that nobody answers",
            change: "A leader that hears no phase-2 quorum goes on taking commands.",
            outcome: QUIET,
            expected: Survives(&[]),
        },
        Entry {
            name: "ailing-followed",
            title: "Followers that wait for a leader that can do nothing",
            change: "A follower goes on waiting for a leader that says that it hears no phase-2 quorum.",
            outcome: QUIET,
            expected: Survives(&[]),
        },
        Entry {
            name: "space-ignored",
            title: "Writing on a full disk",
            change: "A node that was told that its disk has no room goes on as before.",
            outcome: "Its next write fails, and its process ends, again and again; and it cannot even forget what it could do without, which \
would make room.",
            expected: Survives(&[Bounds]),
        },
    ],
};
