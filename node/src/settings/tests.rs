use super::*;
use crate::transport::identity::check_label;

const SAMPLE: &str = include_str!("../../../deploy/synod.toml");

fn layers(text: &str) -> Layers {
    Layers::new().with_text("synod.toml", PathBuf::from("/etc/synod"), text.to_owned())
}

fn faults(text: &str) -> Vec<String> {
    let faults = Settings::resolve(&layers(text)).expect_err("the settings are faulty");
    faults.0.iter().map(ToString::to_string).collect()
}

const MINIMAL: &str = r#"
cluster = "test"
node = "a"
data_dir = "data"
[certificates]
authority = "ca.pem"
certificate = "/abs/node.pem"
key = "node.key"
[[member]]
node = 1
name = "a"
region = "r"
address = "127.0.0.1:7401"
"#;

#[test]
fn the_annotated_sample_is_valid_and_spells_out_the_defaults() {
    let sample = Settings::resolve(&layers(SAMPLE)).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(sample.genesis.members().len(), 5);
    assert_eq!(sample.node, NodeId(1));
    let minimal = Settings::resolve(&layers(MINIMAL)).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(sample.timing, minimal.timing);
    assert_eq!(sample.limits, minimal.limits);
    assert_eq!(sample.log, minimal.log);
    assert_eq!(sample.compaction, minimal.compaction);
    assert_eq!(sample.reserve_bytes, minimal.reserve_bytes);
    assert_eq!(sample.canary, minimal.canary);
    assert_eq!(sample.reluctance, minimal.reluctance);
    assert_eq!(sample.genesis.alpha(), minimal.genesis.alpha());
    assert_eq!(sample.listen, minimal.listen);
}

#[test]
fn the_sample_documents_every_key() {
    let (_, problems) = layers(SAMPLE).merge();
    assert_eq!(problems, []);
    for key in keys::SCALARS.iter().chain(&["alpha", "system"]) {
        let last = key.rsplit('.').next().expect("split gives at least one part");
        assert!(
            SAMPLE
                .lines()
                .any(|line| line.trim_start_matches("# ").starts_with(&format!("{last} ="))),
            "{key}"
        );
    }
}

#[test]
fn paths_of_the_file_are_relative_to_its_folder_and_others_are_not() {
    let settings = Settings::resolve(&layers(MINIMAL).with_flag("data_dir", "elsewhere")).expect("valid");
    assert_eq!(settings.certificates.authority, PathBuf::from("/etc/synod/ca.pem"));
    assert_eq!(settings.certificates.certificate, PathBuf::from("/abs/node.pem"));
    assert_eq!(settings.data_dir, PathBuf::from("elsewhere"));
}

#[test]
fn flags_beat_the_environment_which_beats_the_file() {
    let text = MINIMAL.replace("data_dir = \"data\"", "data_dir = \"data\"\nreluctance = 1");
    let variables = [
        ("SYNOD_RELUCTANCE", "2"),
        ("SYNOD_LISTEN_CLIENTS", "127.0.0.1:1"),
        ("OTHER", "x"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let from_file = Settings::resolve(&layers(&text)).expect("valid");
    let from_environment = Settings::resolve(&layers(&text).with_environment(variables.clone())).expect("valid");
    let with_flag = layers(&text).with_environment(variables).with_flag("reluctance", "3");
    let from_flag = Settings::resolve(&with_flag).expect("valid");
    assert_eq!(
        [from_file.reluctance, from_environment.reluctance, from_flag.reluctance],
        [1, 2, 3]
    );
    assert_eq!(from_flag.listen.clients.port(), 1);
    assert_eq!(from_file.listen.clients.port(), 2379);
}

#[test]
fn all_faults_are_reported_at_once_with_key_and_line() {
    let text = r#"
cluster = "no spaces please"
node = 7
data_dir = "data"
heartbeat_interval = "1s"

[listen]
clients = "nowhere"
peer = "0.0.0.0:7400"

[timing]
election_timeout = 5

[limits]
max_txn_ops = 0
max_request_bytes = "64MiB"

[[member]]
node = 1
name = "a"
region = "r"
address = "127.0.0.1:7401"
"#;
    let label = check_label("the name", "no spaces please").expect_err("spaces are refused");
    let label = format!("synod.toml line 2: cluster is wrong: {label}");
    assert_eq!(
        faults(text),
        [
            "certificates.authority is missing; set it in the file, or as SYNOD_CERTIFICATES_AUTHORITY",
            "certificates.certificate is missing; set it in the file, or as SYNOD_CERTIFICATES_CERTIFICATE",
            "certificates.key is missing; set it in the file, or as SYNOD_CERTIFICATES_KEY",
            label.as_str(),
            "synod.toml line 3: node is \"7\", which is no member; the members are 1 (a)",
            "synod.toml line 5: heartbeat_interval is not a known key; did you mean timing.heartbeat_interval?",
            "synod.toml line 8: listen.clients \"nowhere\" is not an address such as 127.0.0.1:2379 or [::]:2379",
            "synod.toml line 9: listen.peer is not a known key; did you mean listen.peers?",
            "synod.toml line 12: timing.election_timeout is wrong: \"5\" is not a duration such as \"100ms\", \"1.5s\" or \"2m\"",
            "synod.toml line 15: limits.max_txn_ops \"0\" is not a whole number between 1 and 4294967295",
        ]
    );
}

#[test]
fn faults_between_keys_are_found_once_the_keys_themselves_are_sound() {
    let text = format!("{}\n{MINIMAL}", "sync_delay = \"0\"").replace(
        "[certificates]",
        "[timing]\nheartbeat_interval = \"900ms\"\n[limits]\nmax_request_bytes = \"60MiB\"\n[certificates]",
    );
    let found = faults(&text);
    assert!(
        found
            .iter()
            .any(|fault| fault.contains("timing.election_timeout is shorter than three heartbeats"))
    );
    assert!(
        found
            .iter()
            .any(|fault| fault.contains("limits.max_batch_bytes is 2097152 bytes")),
        "{found:?}"
    );
}

#[test]
fn members_are_checked_with_their_lines() {
    let broken = MINIMAL.replace("region = \"r\"\n", "regoin = \"r\"\nzone = \"z\"\n");
    assert_eq!(
        faults(&broken),
        [
            "synod.toml line 9: member.region is missing in [[member]] number 1",
            "synod.toml line 12: member.regoin is not a known key; did you mean region?",
        ]
    );
    let twice = format!("{MINIMAL}[[member]]\nnode = 1\nname = \"b\"\nregion = \"r\"\naddress = \"nope\"\n");
    let found = faults(&twice);
    assert!(
        found
            .iter()
            .any(|fault| fault.contains("line 10") && fault.contains("2 members have the node 1")),
        "{found:?}"
    );
    assert!(
        found
            .iter()
            .any(|fault| fault.contains("line 18") && fault.contains("host:port")),
        "{found:?}"
    );
}

#[test]
fn an_unsafe_quorum_system_is_refused_with_two_disjoint_quorums() {
    let second = "[[member]]\nnode = 2\nname = \"b\"\nregion = \"r\"\naddress = \"127.0.0.1:7402\"\n";
    let text = format!("system = \"counts 1/1\"\n{MINIMAL}{second}");
    let found = faults(&text);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].starts_with(
            "synod.toml line 1: system is wrong: phase 1 quorum {a (r)} and phase 2 quorum {b (r)} are disjoint"
        ),
        "{found:?}"
    );
    let text = format!("system = \"mojority\"\n{MINIMAL}");
    assert!(
        faults(&text)[0].starts_with("synod.toml line 1: system is wrong:"),
        "{:?}",
        faults(&text)
    );
}

#[test]
fn dial_overrides_name_nodes_that_are_members_or_may_become_so() {
    let sound = format!("{MINIMAL}[[dial]]\nnode = 1\naddress = \"127.0.0.1:9\"\n");
    let settings = Settings::resolve(&layers(&sound)).expect("valid");
    assert_eq!(settings.dial, BTreeMap::from([(NodeId(1), "127.0.0.1:9".to_owned())]));
    let later = sound.replace("[[dial]]\nnode = 1", "[[dial]]\nnode = 2");
    let settings = Settings::resolve(&layers(&later)).expect("valid");
    assert_eq!(settings.dial, BTreeMap::from([(NodeId(2), "127.0.0.1:9".to_owned())]));
    let nobody = sound.replace("[[dial]]\nnode = 1", "[[dial]]\nnode = 0");
    assert_eq!(
        faults(&nobody),
        ["synod.toml line 15: dial.node is not the number of a node"]
    );
}

#[test]
fn unknown_variables_are_faults_but_service_links_are_not() {
    let variables = [
        ("SYNOD_LISTEN_CLIENT", "127.0.0.1:1"),
        ("SYNOD_SERVICE_HOST", "10.0.0.1"),
        ("SYNOD_BOOTSTRAP", "true"),
        ("SYNOD_PORT", "tcp://x"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let found = Settings::resolve(&layers(MINIMAL).with_environment(variables)).expect_err("faulty");
    let found: Vec<String> = found.0.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        ["the environment: SYNOD_LISTEN_CLIENT is not a known variable; did you mean SYNOD_LISTEN_CLIENTS?"]
    );
}

#[test]
fn clusters_of_different_names_have_different_numbers() {
    let one = Settings::resolve(&layers(MINIMAL)).expect("valid");
    let other = Settings::resolve(&layers(&MINIMAL.replace("\"test\"", "\"prod\""))).expect("valid");
    assert_ne!(one.cluster_id(), other.cluster_id());
}

#[test]
fn what_is_kept_is_read_as_the_mode_says() {
    let keep = |text: &str| {
        let text = format!("{MINIMAL}\n[compaction]\n{text}");
        Settings::resolve(&layers(&text)).map(|settings| settings.compaction.keep)
    };
    assert_eq!(keep(""), Ok(Keep::Everything));
    assert_eq!(keep("mode = \"revisions\"\nkeep = 5"), Ok(Keep::Revisions(5)));
    assert_eq!(
        keep("mode = \"age\"\nkeep = \"90s\""),
        Ok(Keep::Age(Duration::from_secs(90)))
    );
    for (text, complaint) in [
        ("mode = \"size\"", "is none of"),
        ("mode = \"age\"\nkeep = 5", "is not a duration"),
        ("mode = \"revisions\"\nkeep = \"1h\"", "is not a whole number"),
        ("mode = \"revisions\"\nkeep = 0", "is not a whole number between 1"),
        ("interval = \"10ms\"", "is shorter than a second"),
    ] {
        let faults = keep(text).expect_err(text).to_string();
        assert!(faults.contains(complaint), "{faults}");
    }
}
