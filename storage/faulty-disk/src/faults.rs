//! What goes wrong, when, and for which files.

use std::time::Duration;

/// What a process does with a file system, as far as it can be made to fail.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Reading a file.
    Read,
    /// Writing a file, or changing its size.
    Write,
    /// Syncing a file or a folder.
    Sync,
    /// Making, renaming or removing a name.
    Name,
}

impl Deed {
    /// What the orders call it.
    pub(crate) fn named(name: &str) -> Option<Deed> {
        Some(match name {
            "read" => Deed::Read,
            "write" => Deed::Write,
            "sync" => Deed::Sync,
            "name" => Deed::Name,
            _ => return None,
        })
    }
}

/// What happens instead of, or before, what should.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It fails with this number of an error.
    Fail(i32),
    /// It takes so much longer.
    Delay(Duration),
    /// It says that it is done and does nothing.
    Lie,
}

/// A fault that waits for its occasion.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// What must be done.
    pub(crate) deed: Deed,
    /// What the path must contain: parts in this order, with `*` between them; empty is any.
    pub(crate) path: String,
    /// How many occasions go by before.
    pub(crate) skip: u64,
    /// How often it strikes.
    pub(crate) times: u64,
    /// What happens.
    pub(crate) effect: Effect,
}

/// Everything that is to go wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<Rule>,
    /// How many more changes the disk takes before its power is cut.
    countdown: Option<u64>,
    cut: bool,
    /// How often a rule has struck.
    pub(crate) struck: u64,
    /// Changes that the disk has taken or refused.
    pub(crate) changes: u64,
}

/// The error of a disk without power: EIO.
pub(crate) const NO_POWER: i32 = 5;

impl Faults {
    pub(crate) fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// The power is cut after so many more changes: all that comes then fails, also reading.
    pub(crate) fn cut_after(&mut self, changes: u64) {
        self.countdown = Some(changes);
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.cut
    }

    /// Whether anything takes longer.
    pub(crate) fn delays(&self) -> bool {
        self.rules.iter().any(|rule| matches!(rule.effect, Effect::Delay(_)))
    }

    /// Nothing goes wrong any more.
    pub(crate) fn heal(&mut self) {
        self.rules.clear();
        self.countdown = None;
        self.cut = false;
    }

    /// What goes wrong with this deed, if something does.
    pub(crate) fn meet(&mut self, deed: Deed, path: &str) -> Option<Effect> {
        if deed != Deed::Read {
            self.changes += 1;
            if let Some(left) = &mut self.countdown {
                if *left == 0 {
                    self.cut = true;
                }
                *left = left.saturating_sub(1);
            }
        }
        if self.cut {
            return Some(Effect::Fail(NO_POWER));
        }
        for rule in &mut self.rules {
            if rule.deed != deed || !matches(&rule.path, path) {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
            } else if rule.times > 0 {
                rule.times -= 1;
                self.struck += 1;
                return Some(rule.effect);
            }
        }
        None
    }
}

/// Whether the parts of a pattern are in the path, one behind the other.
fn matches(pattern: &str, path: &str) -> bool {
    let mut rest = path;
    pattern.split('*').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_parts_in_order() {
        for (pattern, path, matching) in [
            ("", "x", true),
            ("journal/0*.log", "data/journal/000012.log", true),
            ("journal/0*.log", "data/journal/000012.sst", false),
            ("journal/0*.log", "data/journal/LOG", false),
            (".log*journal", "journal/0.log", false),
        ] {
            assert_eq!(matches(pattern, path), matching, "{pattern} {path}");
        }
    }

    #[test]
    fn a_rule_strikes_as_often_as_it_says_and_only_its_files() {
        let mut faults = Faults::default();
        faults.add(Rule {
            deed: Deed::Sync,
            path: "journal/".to_owned(),
            skip: 1,
            times: 2,
            effect: Effect::Lie,
        });
        let mut meet = |path| faults.meet(Deed::Sync, path);
        assert_eq!(meet("state/1.sst"), None);
        let met: Vec<bool> = (0..5).map(|_| meet("journal/1.log").is_some()).collect();
        assert_eq!(met, [false, true, true, false, false]);
        assert_eq!(faults.struck, 2);
    }

    #[test]
    fn without_power_nothing_works_until_it_is_back() {
        let mut faults = Faults::default();
        faults.cut_after(2);
        let met =
            [Deed::Write, Deed::Read, Deed::Sync, Deed::Name, Deed::Read].map(|deed| faults.meet(deed, "x").is_some());
        assert_eq!(met, [false, false, false, true, true]);
        faults.heal();
        assert_eq!(faults.meet(Deed::Write, "x"), None);
    }
}
