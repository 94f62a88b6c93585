//! Where each mutant is hunted on the stage: the smallest cluster, and the odds, under which it does its harm soon.

use crate::stage::{Hunt, Odds, Scene};

/// The hunt for a mutant: rivals on three nodes, unless it takes more than that.
pub(super) fn hunt(name: &str) -> Hunt {
    let scene = scene(name);
    let odds = odds(name);
    Hunt { scene, odds }
}

fn scene(name: &str) -> Scene {
    let text = match name {
        "phase-2-twice" => "cluster 4 counts 3/2",
        "columns-twice" => "cluster 4 grid 2x2 rows/columns",
        "heads-counted" => "cluster 6 grid 2x3 columns/rows",
        "partial-promise" => "cluster 3 majority\npage 1",
        "trimmed-unflushed" | "claim-flushed" => "cluster 3 majority\ncache 0",
        "applied-before-durable" => "cluster 3 majority\ncache 0",
        _ => "cluster 3 majority",
    };
    text.parse().expect("the text above is a scene")
}

fn odds(name: &str) -> Odds {
    let duel = Odds::DUEL;
    let disks = Odds {
        crash: 12,
        hold: 10,
        ..duel
    };
    let catching_up = Odds {
        wake: 20,
        chatter: 50,
        moves: 60,
        ..duel
    };
    match name {
        "ballot-reused" | "forget-promise" | "forget-votes" | "lose-synced" => Odds { crash: 14, ..duel },
        "amnesia" | "earlier-lives-counted" => Odds { wipe: 10, ..duel },
        "promise-before-write"
        | "vote-before-write"
        | "own-vote-early"
        | "acknowledge-before-sync"
        | "sync-off-by-one"
        | "prepare-before-write" => disks,
        "answer-overtakes" => Odds {
            again: 30,
            wake: 5,
            ..disks
        },
        "duplicates-counted" | "promise-counted-twice" | "old-promise-counted" | "ballots-summed" => {
            Odds { again: 30, ..duel }
        }
        "two-values" => Odds { wake: 20, ..duel },
        "learned-outranked" | "learned-contradicted" | "overtaken-unnoticed" | "chosen-overwritten" => Odds {
            crash: 4,
            moves: 90,
            ..catching_up
        },
        "any-vote-blessed" | "votes-served" | "hole-skipped" | "decided-ignored" | "prefix-unreported"
        | "prefix-over-gaps" => catching_up,
        "apply-twice" | "skip-entry" => Odds {
            crash: 10,
            flush: 10,
            chatter: 60,
            ..duel
        },
        "trimmed-unflushed" | "claim-flushed" => Odds {
            crash: 5,
            flush: 12,
            wake: 10,
            chatter: 90,
            moves: 80,
            ..duel
        },
        "applied-before-durable" => Odds {
            flush: 12,
            chatter: 60,
            moves: 90,
            wake: 15,
            ..disks
        },
        "read-unconfirmed"
        | "read-locally"
        | "prefix-not-awaited"
        | "heads-counted"
        | "heartbeat-always-answered"
        | "round-before-read" => Odds {
            read: 15,
            chatter: 80,
            wake: 8,
            moves: 60,
            ..duel
        },
        "horizon-ignored" => Odds {
            read: 12,
            chatter: 60,
            wake: 8,
            crash: 3,
            moves: 60,
            ..duel
        },
        "read-before-applied" => Odds {
            read: 15,
            chatter: 80,
            stall: 8,
            moves: 60,
            ..duel
        },
        "forward-taken-twice"
        | "repeat-refused"
        | "earlier-process-refuses"
        | "repeat-applied"
        | "doubt-forgotten"
        | "doubt-refused"
        | "unknown-is-refused" => Odds {
            write: 25,
            again: 25,
            chatter: 60,
            crash: 6,
            wake: 6,
            moves: 70,
            ..duel
        },
        _ => duel,
    }
}

#[cfg(test)]
mod tests {
    use super::hunt;
    use crate::mutant::entries;

    #[test]
    fn on_no_stage_does_the_right_core_any_harm() {
        for entry in entries() {
            let hunt = hunt(entry.name);
            for seed in 0..100 {
                let harm = hunt.attempt(seed, None, None);
                assert!(
                    harm.is_none(),
                    "attempt {seed} of the hunt for {}:\n{}",
                    entry.name,
                    harm.map_or(String::new(), |scene| scene.to_string())
                );
            }
        }
    }
}
