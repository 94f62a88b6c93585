//! Members and quorum system as written in a file: a [`quorum::Proposal`] whose faults know their lines.

use std::collections::BTreeMap;

use config::{Map, Value, ValueKind};
use quorum::{Configuration, Member, NodeId, Place, Proposal};

use super::document::plain;
use super::fault::Fault;
use super::join::Joining;
use super::keys::{self, Keys, nearest, unknown};

/// Keys of a `[[member]]` table; the first ones must be there.
const MEMBER_KEYS: [&str; 8] = [
    "node",
    "name",
    "region",
    "address",
    "zone",
    "client_url",
    "incarnation",
    "role",
];
const MEMBER_REQUIRED: usize = 4;
/// Keys of a `[[dial]]` table; both must be there.
const DIAL_KEYS: [&str; 2] = ["node", "address"];

/// Takes the genesis keys and checks them; `None` if there are faults, which are noted.
pub(super) fn read(keys: &mut Keys) -> Option<Configuration> {
    let taken = ["epoch", "alpha", "system", "member"].map(|key| (key, keys.whole(key)));
    let values = taken
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect();
    match check(&values) {
        Ok(configuration) => Some(configuration),
        Err(faults) => {
            for fault in faults {
                keys.fault_at(&fault.origin, &fault.key, fault.reason);
            }
            None
        }
    }
}

/// The first configuration: of the settings, or of what a node that joins was told. If both say one they must agree.
pub(super) fn read_beside(keys: &mut Keys, join: Option<&Joining>) -> Option<Configuration> {
    let Some(join) = join else { return read(keys) };
    let taken = ["epoch", "alpha", "system", "member"].map(|key| (key, keys.whole(key)));
    let values: Map<String, Value> = taken
        .into_iter()
        .filter_map(|(key, value)| Some((key.to_owned(), value?)))
        .collect();
    if let Some(members) = values.get("member")
        && check(&values).ok().as_ref() != Some(&join.genesis)
    {
        let reason = "are not those that the cluster began with, which the document of `join` names; leave them out";
        keys.fault_at(members.origin().unwrap_or(""), "member", reason);
    }
    Some(join.genesis.clone())
}

/// Checks the values of `epoch`, `alpha`, `system` and `member`.
///
/// # Errors
/// Every fault, with the line it is on.
pub(crate) fn check(values: &Map<String, Value>) -> Result<Configuration, Vec<Fault>> {
    let origin = |key: &str| values.get(key).and_then(Value::origin).unwrap_or("").to_owned();
    let mut faults = Vec::new();
    let members = match values.get("member").map(|value| &value.kind) {
        Some(ValueKind::Array(members)) => members.as_slice(),
        Some(_) => {
            return Err(vec![Fault::new(
                &origin("member"),
                "member",
                "is not a list of [[member]] tables",
            )]);
        }
        None => {
            return Err(vec![Fault::new(
                "",
                "member",
                "is missing; write a [[member]] table for each node",
            )]);
        }
    };
    for (position, member) in members.iter().enumerate() {
        faults.extend(faults_of_table(
            "member",
            position,
            member,
            &MEMBER_KEYS,
            MEMBER_REQUIRED,
        ));
        if faults.is_empty()
            && let Err(error) = plain(member).try_into::<Member>()
        {
            let origin = place_in(member, error.message()).unwrap_or_else(|| member.origin().unwrap_or("").to_owned());
            faults.push(Fault::new(
                &origin,
                &format!("member {}", position + 1),
                one_line(error.message()),
            ));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let table = ["epoch", "alpha", "system", "member"]
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), numeric(key, plain(values.get(key)?)))))
        .collect();
    let proposal: Proposal = toml::Value::Table(table).try_into().map_err(|error: toml::de::Error| {
        // The members are sound, so it is one of the others; the message names what it expected.
        let key = ["system", "alpha", "epoch"]
            .into_iter()
            .find(|key| error.to_string().contains(key))
            .unwrap_or("system");
        vec![Fault::new(
            &origin(key),
            key,
            format!("is wrong: {}", one_line(error.message())),
        )]
    })?;
    Configuration::new(proposal).map_err(|found| {
        let located = found.iter().map(|fault| {
            let (origin, key) = match fault.places().first() {
                Some(Place::Member { position, key }) => (origin_in(&members[*position], key), (*key).to_owned()),
                Some(Place::Key(key)) => (origin(key), (*key).to_owned()),
                None => (String::new(), String::new()),
            };
            Fault::new(&origin, &key, format!("is wrong: {fault}"))
        });
        located.collect()
    })
}

/// Faults of a file's other keys: whatever is neither part of the configuration nor of a node's settings.
pub(crate) fn strangers(values: &Map<String, Value>) -> Vec<Fault> {
    keys::strangers(values.clone())
}

/// Where to dial peers instead of at their addresses. A peer may be one that joins later.
pub(super) fn read_dial(keys: &mut Keys) -> BTreeMap<NodeId, String> {
    let mut dial = BTreeMap::new();
    let Some(value) = keys.whole("dial") else { return dial };
    let ValueKind::Array(entries) = &value.kind else {
        keys.fault_at(value.origin().unwrap_or(""), "dial", "is not a list of [[dial]] tables");
        return dial;
    };
    for (position, entry) in entries.iter().enumerate() {
        let faults = faults_of_table("dial", position, entry, &DIAL_KEYS, DIAL_KEYS.len());
        let faulty = !faults.is_empty();
        for fault in faults {
            keys.fault_at(&fault.origin, &fault.key, fault.reason);
        }
        let ValueKind::Table(table) = &entry.kind else { continue };
        if faulty {
            continue;
        }
        let node = table["node"].clone().into_uint().ok().map(NodeId);
        let Some(node) = node.filter(|node| node.0 > 0) else {
            keys.fault_at(&origin_in(entry, "node"), "dial.node", "is not the number of a node");
            continue;
        };
        let address = table["address"].clone().into_string().unwrap_or_default();
        match address.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                if dial.insert(node, address).is_some() {
                    keys.fault_at(
                        &origin_in(entry, "node"),
                        "dial.node",
                        format!("names node {node} a second time"),
                    );
                }
            }
            _ => {
                let reason = format!("\"{address}\" is not of the form host:port");
                keys.fault_at(&origin_in(entry, "address"), "dial.address", reason);
            }
        }
    }
    dial
}

/// Which member `node` names, by number or by name.
pub(super) fn this_node(keys: &mut Keys, node: Option<String>, genesis: Option<&Configuration>) -> Option<NodeId> {
    let (node, genesis) = (node?, genesis?);
    let found = match node.parse::<u64>() {
        Ok(number) => genesis.member(NodeId(number)),
        Err(_) => genesis.members().iter().find(|member| member.name == node),
    };
    if found.is_none() {
        let members: Vec<String> = genesis
            .members()
            .iter()
            .map(|member| format!("{} ({})", member.node, member.name))
            .collect();
        keys.fault(
            "node",
            &format!(
                "is \"{node}\", which is no member; the members are {}",
                members.join(", ")
            ),
        );
    }
    found.map(|member| member.node)
}

/// What is missing in a table of a list, and what does not belong there.
fn faults_of_table(list: &str, position: usize, entry: &Value, known: &[&str], required: usize) -> Vec<Fault> {
    let origin = entry.origin().unwrap_or("");
    let ValueKind::Table(table) = &entry.kind else {
        return vec![Fault::new(origin, list, "is not a table")];
    };
    let missing = known[..required]
        .iter()
        .filter(|key| !table.contains_key(**key))
        .map(|key| {
            let which = position + 1;
            Fault::new(
                origin,
                &format!("{list}.{key}"),
                format!("is missing in [[{list}]] number {which}"),
            )
        });
    let strange = table
        .iter()
        .filter(|(key, _)| !known.contains(&key.as_str()))
        .map(|(key, value)| {
            let reason = unknown("key", nearest(key, known));
            Fault::new(value.origin().unwrap_or(origin), &format!("{list}.{key}"), reason)
        });
    missing.chain(strange).collect()
}

fn origin_in(entry: &Value, key: &str) -> String {
    let inner = match &entry.kind {
        ValueKind::Table(table) => table.get(key).and_then(Value::origin),
        _ => None,
    };
    inner.or(entry.origin()).unwrap_or("").to_owned()
}

/// The place of the key that serde's message names, if it names one.
fn place_in(entry: &Value, message: &str) -> Option<String> {
    let key = MEMBER_KEYS.iter().find(|key| message.contains(*key))?;
    Some(origin_in(entry, key))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What comes from a variable or flag is text; two keys want numbers.
fn numeric(key: &str, value: toml::Value) -> toml::Value {
    match (key, &value) {
        ("alpha" | "epoch", toml::Value::String(text)) => {
            text.trim().parse().map_or(value.clone(), toml::Value::Integer)
        }
        _ => value,
    }
}
