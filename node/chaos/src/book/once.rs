//! Exactly once: what became of every append, counted in the list that is read last.

use std::collections::HashMap;

use super::violation::Violation;

const ONCE: &str = "appends happen once";

/// How an append ended.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Done,
    Refused,
    Unknown,
}

/// An acknowledged append is there once, a refused one never, an unknown one at most once, and nothing else is there.
pub(crate) fn judge(key: &str, appends: &HashMap<u64, Fate>, list: &[u64]) -> Vec<Violation> {
    let mut counts: HashMap<u64, usize> = HashMap::new();
    for element in list {
        *counts.entry(*element).or_default() += 1;
    }
    let mut wrong = Vec::new();
    for (element, fate) in appends {
        let count = counts.remove(element).unwrap_or(0);
        let text = match (fate, count) {
            (Fate::Done, 1) | (Fate::Refused, 0) | (Fate::Unknown, 0 | 1) => continue,
            (Fate::Done, 0) => "acknowledged, and lost".to_owned(),
            (Fate::Refused, _) => "refused as certainly not done, and there".to_owned(),
            (_, count) => format!("there {count} times"),
        };
        wrong.push(Violation::new(
            ONCE,
            format!("{key}: the append of {element} was {text}"),
        ));
    }
    for element in counts.keys() {
        wrong.push(Violation::new(
            ONCE,
            format!("{key}: holds {element}, which nobody appended"),
        ));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_doubled_refused_and_invented_appends_are_found() {
        let appends = HashMap::from([(1, Fate::Done), (2, Fate::Refused), (3, Fate::Unknown)]);
        for fine in [&[1][..], &[1, 3], &[3, 1]] {
            assert_eq!(judge("k", &appends, fine), []);
        }
        for (list, text) in [
            (&[3][..], "the append of 1 was acknowledged, and lost"),
            (&[1, 1], "the append of 1 was there 2 times"),
            (&[1, 3, 3], "the append of 3 was there 2 times"),
            (&[1, 2], "the append of 2 was refused"),
            (&[1, 7], "holds 7, which nobody appended"),
        ] {
            let wrong = judge("k", &appends, list);
            assert!(wrong.len() == 1 && wrong[0].text.contains(text), "{wrong:?}");
        }
    }
}
