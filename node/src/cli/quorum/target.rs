//! Where an operator wants to go: a file, or a few words, filled up with what the cluster has already.

use config::{Map, Value};
use quorum::{Configuration, Epoch, Proposal};

use crate::settings::document;
use crate::settings::{Fault, genesis};

/// The keys of a configuration that a file may leave out: then they stay as they are.
const KEYS: [&str; 3] = ["system", "alpha", "member"];

/// The configuration that is to follow `now`: what the text says, and what `now` says where it says nothing.
///
/// Epochs and incarnations are not the operator's to count: the epoch is the next one, a member keeps the incarnation it has
/// unless a later one is given, and a member that is new begins in an incarnation that no earlier life of its number can
/// have had (A6).
///
/// # Errors
/// Every fault, with the line it is on.
pub(super) fn target(name: &str, text: &str, now: &Configuration) -> Result<Configuration, Vec<Fault>> {
    let (mut values, mut faults) = document::parse(name, text);
    let (present, _) = document::parse("the cluster", &as_toml(now));
    for key in KEYS {
        if let (None, Some(value)) = (values.get(key), present.get(key)) {
            values.insert(key.to_owned(), value.clone());
        }
    }
    // The file's own number is of no account, and a wrong one is no fault.
    values.remove("epoch");
    faults.extend(strangers(&values));
    match genesis::check(&values) {
        Ok(configuration) if faults.is_empty() => {
            following(configuration.proposal().clone(), now).map_err(|fault| vec![fault])
        }
        Ok(_) => Err(faults),
        Err(more) => {
            faults.extend(more);
            faults.sort();
            Err(faults)
        }
    }
}

fn strangers(values: &Map<String, Value>) -> Vec<Fault> {
    genesis::strangers(values)
}

/// The proposal as the one that follows `now`.
pub(in crate::cli) fn following(mut proposal: Proposal, now: &Configuration) -> Result<Configuration, Fault> {
    proposal.epoch = Epoch(now.epoch().0 + 1);
    for member in &mut proposal.members {
        let least = match now.member(member.node) {
            Some(present) => present.incarnation.0,
            None => proposal.epoch.0,
        };
        member.incarnation.0 = member.incarnation.0.max(least);
    }
    Configuration::new(proposal).map_err(|faults| Fault::new("", "", faults.to_string()))
}

/// A configuration as a file that [`target`] reads.
pub(in crate::cli) fn as_toml(configuration: &Configuration) -> String {
    toml::to_string(configuration.proposal()).expect("a configuration is plain data")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Configuration {
        let mut text = "epoch = 7\nalpha = 16\n".to_owned();
        for node in 1..=3 {
            text += &format!(
                "[[member]]\nnode = {node}\nname = \"n{node}\"\nregion = \"r{node}\"\naddress = \"h:{node}\"\nincarnation = {node}\n"
            );
        }
        Configuration::new(toml::from_str(&text).expect("a proposal")).expect("safe")
    }

    #[test]
    fn what_a_file_leaves_out_stays_as_it_is() {
        let now = now();
        let after = target("f", "system = \"counts 3/2\"\n", &now).expect("safe");
        assert_eq!((after.epoch(), after.alpha()), (Epoch(8), 16));
        assert_eq!(after.members(), now.members());
        assert_eq!(after.spec().to_string(), "counts 3/2");
        let named =
            target("f", "system = \"grid [n1 n2 n3] rows/columns\"", &now).expect("names of the cluster's members");
        assert_eq!(named.spec().to_string(), "grid [1 2 3] rows/columns");
    }

    #[test]
    fn numbers_of_lives_are_kept_and_new_members_get_one_that_was_never_used() {
        let now = now();
        let file = as_toml(&now).replace("incarnation = 3", "")
            + "[[members]]\nnode = 9\nname = \"n9\"\nregion = \"r1\"\naddress = \"h:9\"\n";
        let file = file.replace("[[members]]", "[[member]]");
        let after = target("f", &file, &now).expect("safe");
        let lives: Vec<u64> = after.members().iter().map(|member| member.incarnation.0).collect();
        assert_eq!(lives, [1, 2, 3, 8]);
    }

    #[test]
    fn faults_have_their_lines() {
        let faults = target("f", "\nsystem = \"counts 1/1\"\ncolour = 1\n", &now()).expect_err("unsafe");
        let texts: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(
            texts.iter().any(|text| text.starts_with("f line 2: system is wrong")),
            "{texts:?}"
        );
        assert!(
            texts
                .iter()
                .any(|text| text.contains("f line 3: colour is not a known key")),
            "{texts:?}"
        );
    }
}
