//! Everything that can happen, up to a bound: two or three real replicas, and every order in which messages arrive or do
//! not, timers fire, writes become durable, and nodes crash.
//!
//! A seed of the simulator takes one path through a large cluster; this takes all paths through a small one. Nodes are the
//! real `Replica` with a disk and a journal. At each state any message may arrive, next or never (so loss needs no bound of
//! its own), a bounded number of them twice; a node may stand for election, again and against another; its oldest write may
//! become durable, long after it was made; it may crash, lose what was not durable, and start again. Each step is judged:
//! agreement by votes that were ever durable, and the rules that lead to it (I1 to I10 of the test plan, as `Property`).
//!
//! # What makes it finite, and what that costs
//!
//! - Spans are zero and clocks stand still, so every timer is due at any moment and may fire or not. Nothing is lost for
//!   safety, which never depends on time. Leaders are found ailing (E3) at their first tick.
//! - A canvass (E1) and its answers are one step. A node never stands with an answer that is older than its candidacy.
//! - Heartbeats and rejections are lost, unless [`Bounds::courtesies`]. Forwarded commands and reads are left out:
//!   each leader has commands of its own, one for every slot that is left when it begins to lead.
//! - Of changes there is one: the first node goes, and the last takes its place. Who begins to lead is asked for it if it does not
//!   know it yet, accepts every risk, and does not wait for those who are behind (R5, R7).
//! - The state machine keeps nothing over a crash, and nothing is trimmed: snapshots and trimming are not explored.
//! - A node that can crash no more (the bound on crashes is used up) syncs at once: what its journal would hold back, the
//!   network can hold back as well, messages to itself included.
//! - Messages that are dead are taken away: a reply to a ballot that its receiver has left for a higher one, or when it may
//!   stand no more; a request of a ballot below a durable promise. Only if the node does nothing with it when tried, and
//!   because no used ballot is begun again and promises grow, which is judged itself (L1, I5).
//!
//! States are told apart by 128-bit fingerprints. What a node does with an input is computed once for each pair of both,
//! and so is what the judge says to it.
//!
//! | room | what is there |
//! |---|---|
//! | `bounds` | how far it goes |
//! | `node` | a replica with its surroundings, and what can be seen of it |
//! | `judge` | what must hold |
//! | `world` | a state, and what may happen in it |
//! | `rules` | what follows, from tables |
//! | `search` | breadth first through all of them |
//! | `hunt` | which small instance kills which mutant |
//! | `reached` | what must have been possible, or nothing was shown |
//! | `story` | a path as lines |
//! | `fingerprint` | numbers for states |

mod bounds;
mod fingerprint;
mod hunt;
mod judge;
mod node;
mod reached;
mod rules;
mod search;
mod story;
mod world;

pub use bounds::Bounds;
pub use hunt::{Hunted, hunt, instances};
pub use reached::Reach;
pub use search::{Ending, Exploration, explore};
