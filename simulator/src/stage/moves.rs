//! What can happen on the stage, one line of text each.

use std::fmt;
use std::str::FromStr;

use quorum::NodeSet;

use super::words::{name, names};
use crate::seat::Seat;

/// A step of a scene.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Move {
    /// A node loses patience, asks some peers whether they miss the leader too, and stands if they are enough.
    Stand(Actor, Company),
    /// A client of a node writes the next value: x, y, z and so on.
    Write(Actor),
    /// A client of a node reads.
    Read(Actor),
    /// A message arrives; `again`: a copy of it stays under way.
    Deliver {
        /// Who sent it.
        from: Actor,
        /// Who gets it.
        to: Actor,
        /// Kind, ballot and slot.
        what: String,
        /// Whether it will be there a second time.
        again: bool,
    },
    /// Something happens to one node.
    Turn(Turn, Actor),
}

/// Something that happens to one node.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// Its disk finishes nothing from now on.
    Hold,
    /// Its disk finishes all that waits, and goes on.
    Sync,
    /// Its process dies with everything that is not on the disk.
    Crash,
    /// It starts again from its disk.
    Restart,
    /// It gets a new disk, and so another incarnation.
    Wipe,
    /// Time passes there until it has something to do.
    Wake,
    /// Its state machine applies nothing from now on.
    Stall,
    /// Its state machine applies all that waits, and goes on.
    Go,
    /// Its state machine makes durable what it has applied.
    Flush,
}

impl Turn {
    const ALL: [(Turn, &'static str); 9] = [
        (Turn::Hold, "hold"),
        (Turn::Sync, "sync"),
        (Turn::Crash, "crash"),
        (Turn::Restart, "restart"),
        (Turn::Wipe, "wipe"),
        (Turn::Wake, "wake"),
        (Turn::Stall, "stall"),
        (Turn::Go, "go"),
        (Turn::Flush, "flush"),
    ];

    fn word(self) -> &'static str {
        Turn::ALL
            .iter()
            .find(|(turn, _)| *turn == self)
            .map_or("?", |(_, word)| word)
    }
}

/// A node on the stage: A, B, C …
#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) struct Actor(pub(crate) Seat);

/// Some nodes.
#[derive(Copy, Clone, PartialEq, Eq)]
pub(crate) struct Company(pub(crate) NodeSet);

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name(self.0))
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Company {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&names(self.0))
    }
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Move::Stand(who, asked) => {
                write!(f, "stand {who}")?;
                asked.0.iter().try_for_each(|seat| write!(f, " {}", name(Seat(seat))))
            }
            Move::Write(who) => write!(f, "write {who}"),
            Move::Read(who) => write!(f, "read {who}"),
            Move::Deliver { from, to, what, again } => {
                let again = if *again { "again " } else { "" };
                write!(f, "{from}>{to} {again}{what}")
            }
            Move::Turn(turn, who) => write!(f, "{} {who}", turn.word()),
        }
    }
}

fn actor(word: &str) -> Result<Actor, String> {
    match word.as_bytes() {
        [letter @ b'A'..=b'G'] => Ok(Actor(Seat(letter - b'A'))),
        _ => Err(format!("{word:?} is no node")),
    }
}

impl FromStr for Move {
    type Err = String;

    fn from_str(line: &str) -> Result<Move, String> {
        let (first, rest) = line.split_once(' ').ok_or_else(|| format!("{line:?} is no move"))?;
        if let Some((from, to)) = first.split_once('>') {
            let what = rest.strip_prefix("again ");
            return Ok(Move::Deliver {
                from: actor(from)?,
                to: actor(to)?,
                what: what.unwrap_or(rest).to_owned(),
                again: what.is_some(),
            });
        }
        let mut words = rest.split(' ').map(actor);
        let who = words.next().unwrap_or_else(|| Err("a node is missing".to_owned()))?;
        match first {
            "stand" => {
                let asked: Result<Vec<Actor>, String> = words.collect();
                let asked = asked?.into_iter().map(|actor| actor.0.0).collect();
                Ok(Move::Stand(who, Company(asked)))
            }
            "write" => Ok(Move::Write(who)),
            "read" => Ok(Move::Read(who)),
            word => {
                let turn = Turn::ALL.iter().find(|(_, known)| *known == word);
                turn.map(|(turn, _)| Move::Turn(*turn, who))
                    .ok_or_else(|| format!("{word:?} is no move"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_the_same() {
        for line in [
            "stand A B C",
            "write B",
            "A>C accept 1.A s1",
            "C>A again promise 2.C",
            "crash A",
            "flush B",
        ] {
            assert_eq!(line.parse::<Move>().map(|there| there.to_string()).as_deref(), Ok(line));
        }
        for line in ["", "stand", "stand Z", "dance A", "A> promise", "crash"] {
            assert!(line.parse::<Move>().is_err(), "{line:?}");
        }
    }
}
