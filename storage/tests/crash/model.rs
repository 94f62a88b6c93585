//! What the parent knows: everything that was acknowledged, over all lives of the child.

use std::collections::{BTreeMap, HashMap};

/// How many recent slots are compared over lives; older ones are trimmed by then.
const SLOTS: usize = 400_000;

/// What must be there.
#[derive(Debug, Default)]
pub(crate) struct Model {
    keys: HashMap<String, Key>,
    /// Unanswered puts of the present life: key and value.
    puts: HashMap<u64, (String, String)>,
    told: HashMap<String, String>,
    /// The highest ballot that was spoken of.
    promised: u64,
    /// What was voted for in which ballot and slot.
    votes: BTreeMap<(u64, u64), u64>,
    /// The state's digest after each slot, as far as it was seen.
    digests: BTreeMap<u64, u64>,
    flushed: u64,
    pub(crate) acknowledged: u64,
    pub(crate) votes_released: u64,
    pub(crate) lives_told: u64,
    /// Copies of the state that were built.
    pub(crate) staged: u64,
    /// Starts with such a copy in place of the state.
    pub(crate) installed: u64,
    /// The slot of the last one.
    installed_slot: u64,
}

/// What is known of one key.
#[derive(Debug, Default)]
struct Key {
    /// The last value that must be there, unless a later one is.
    certain: Option<String>,
    /// Values that were put after that and never answered, oldest first.
    doubtful: Vec<String>,
}

impl Model {
    /// A new life begins: nothing of the last one will be answered any more.
    pub(crate) fn begin(&mut self) {
        self.puts.clear();
        self.told.clear();
    }

    /// Takes a line of the child.
    ///
    /// # Errors
    /// What contradicts what was acknowledged before.
    pub(crate) fn hear(&mut self, line: &str) -> Result<(), String> {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |text: &str| text.parse::<u64>().map_err(|_| format!("\"{line}\" is not understood"));
        match words.as_slice() {
            ["open", promised, applied, found] => self.opened(number(promised)?, number(applied)?, number(found)?),
            ["installed", slot] => {
                let slot = number(slot)?;
                if slot < self.installed_slot {
                    return Err(format!(
                        "a state of slot {} was installed, and is gone",
                        self.installed_slot
                    ));
                }
                self.installed += u64::from(slot > self.installed_slot);
                self.installed_slot = slot;
                Ok(())
            }
            ["staged", _] => {
                self.staged += 1;
                Ok(())
            }
            ["promise", round] => {
                self.promised = self.promised.max(number(round)?);
                Ok(())
            }
            ["vote", round, slot, hash] => self.voted(number(round)?, number(slot)?, number(hash)?),
            ["put", request, key, value] => {
                let put = ((*key).to_owned(), (*value).to_owned());
                self.keys.entry(put.0.clone()).or_default().doubtful.push(put.1.clone());
                self.puts.insert(number(request)?, put);
                Ok(())
            }
            ["ack", request] => self.acknowledged(number(request)?),
            ["applied", slot, digest] => self.applied(number(slot)?, number(digest)?),
            ["flushed", slot] => {
                self.flushed = self.flushed.max(number(slot)?);
                Ok(())
            }
            ["kv", key, value] => {
                self.told.insert((*key).to_owned(), (*value).to_owned());
                Ok(())
            }
            ["told"] => self.compare(),
            _ => Ok(()),
        }
    }

    fn opened(&mut self, promised: u64, applied: u64, found: u64) -> Result<(), String> {
        if promised < self.promised {
            return Err(format!(
                "a promise went back: ballot {} was promised or voted in, and the journal knows of {promised}",
                self.promised
            ));
        }
        if applied < self.flushed {
            return Err(format!(
                "slot {} was acknowledged as flushed, and {applied} is there",
                self.flushed
            ));
        }
        let last = self.digests.last_key_value().map_or(0, |(slot, _)| *slot);
        if found < last {
            return Err(format!(
                "slot {last} was applied and acknowledged, and the log ends at {found}"
            ));
        }
        Ok(())
    }

    fn voted(&mut self, round: u64, slot: u64, hash: u64) -> Result<(), String> {
        self.promised = self.promised.max(round);
        self.votes_released += 1;
        if let Some(other) = self.votes.insert((round, slot), hash)
            && other != hash
        {
            return Err(format!(
                "two values in slot {slot} of ballot {round}: after a promise went back"
            ));
        }
        while self.votes.len() > SLOTS {
            self.votes.pop_first();
        }
        Ok(())
    }

    fn acknowledged(&mut self, request: u64) -> Result<(), String> {
        let Some((key, value)) = self.puts.remove(&request) else {
            return Err(format!("request {request} was acknowledged, and nobody made it"));
        };
        self.acknowledged += 1;
        let key = self.keys.entry(key).or_default();
        // Puts of one client are done in order.
        if let Some(at) = key.doubtful.iter().position(|doubtful| *doubtful == value) {
            key.doubtful.drain(..=at);
        }
        key.certain = Some(value);
        Ok(())
    }

    fn applied(&mut self, slot: u64, digest: u64) -> Result<(), String> {
        if let Some(other) = self.digests.insert(slot, digest)
            && other != digest
        {
            return Err(format!(
                "slot {slot} was acknowledged with another state: digest {other}, now {digest}"
            ));
        }
        while self.digests.len() > SLOTS {
            self.digests.pop_first();
        }
        Ok(())
    }

    /// The child has told all it has, with its past repeated.
    fn compare(&mut self) -> Result<(), String> {
        self.lives_told += 1;
        for (name, key) in &mut self.keys {
            let found = self.told.get(name).cloned();
            if found != key.certain && !found.as_ref().is_some_and(|value| key.doubtful.contains(value)) {
                return Err(format!(
                    "key {name} was acknowledged as {:?}, and {found:?} is there ({} more were put and not answered)",
                    key.certain,
                    key.doubtful.len()
                ));
            }
            key.certain = found;
            key.doubtful.clear();
        }
        if let Some(name) = self.told.keys().find(|name| !self.keys.contains_key(*name)) {
            return Err(format!("key {name} is there, and nobody put it"));
        }
        Ok(())
    }
}

#[test]
fn the_model_notices_what_is_lost() {
    let heard = |lines: &[&str]| {
        let mut model = Model::default();
        lines.iter().try_for_each(|line| {
            if line.starts_with("open") {
                model.begin();
            }
            model.hear(line)
        })
    };
    let life = [
        "open 0 0 0",
        "vote 1 1 77",
        "put 1 5 a",
        "put 2 5 b",
        "ack 1",
        "applied 1 9",
    ];
    let then = |more: &[&'static str]| heard(&[&life[..], more].concat());
    assert_eq!(then(&["open 1 0 1", "applied 1 9", "kv 5 a", "told"]), Ok(()));
    assert_eq!(then(&["open 1 0 1", "applied 1 9", "kv 5 b", "told"]), Ok(()));
    for lies in [
        &["open 0 0 1"][..],
        &["open 1 0 0"],
        &["open 1 0 1", "told"],
        &["open 1 0 1", "kv 5 c", "told"],
        &["open 1 0 1", "kv 5 a", "kv 6 x", "told"],
        &["open 1 0 1", "vote 1 1 78"],
        &["open 1 0 1", "applied 1 8"],
        &["open 1 0 1", "ack 1"],
    ] {
        assert!(then(lies).is_err(), "{lies:?}");
    }
}
