//! The configurations that govern the log are part of the state: judged as the log says, kept, and handed on with it.

use paxos::{Change, ClusterId, CommandId, Configurations, Entry, Slot, Value};
use quorum::{Configuration, Epoch, Incarnation, Member, NodeId, Proposal, Role, SystemSpec};
use storage::machine::{Machine, is_governance};
use storage::snapshot::{MemorySink, Origin, Source, Staging};
use storage::tables::{MemoryTables, Step, TableBatch, Tables};

const ALPHA: u32 = 4;

fn configuration(epoch: u64, nodes: u64) -> Configuration {
    let member = |node| Member {
        node: NodeId(node),
        incarnation: Incarnation(1),
        name: format!("n{node}"),
        region: format!("r{node}"),
        zone: "z".to_owned(),
        address: format!("h:{node}"),
        client_url: String::new(),
        role: Role::Voter,
    };
    let proposal = Proposal {
        epoch: Epoch(epoch),
        alpha: ALPHA,
        system: SystemSpec::Majority,
        members: (1..=nodes).map(member).collect(),
    };
    Configuration::new(proposal).expect("safe")
}

fn change(slot: u64, epoch: u64, nodes: u64) -> Entry {
    let id = CommandId {
        origin: NodeId(1),
        boot: 1,
        sequence: slot,
    };
    let configuration = configuration(epoch, nodes);
    Entry {
        slot: Slot(slot),
        value: Value::Reconfigure(Box::new(Change { id, configuration })),
    }
}

fn noop(slot: u64) -> Entry {
    Entry {
        slot: Slot(slot),
        value: Value::Noop,
    }
}

fn machine(tables: MemoryTables) -> Machine<MemoryTables> {
    let mut machine = Machine::open(tables, 1 << 10).expect("sound tables");
    machine.found(configuration(1, 3));
    machine
}

/// A machine opened on what another one has written.
fn reopened(machine: &Machine<MemoryTables>) -> Machine<MemoryTables> {
    let tables = MemoryTables::new();
    let mut batch = tables.batch(0);
    let copy = &mut |key: &[u8], value: &[u8]| {
        batch.put(key, value);
        Step::Next
    };
    machine.tables().scan(b"", None, copy).expect("memory");
    tables.write(batch).expect("memory");
    self::machine(tables)
}

fn apply(machine: &mut Machine<MemoryTables>, entries: &[Entry]) {
    machine.apply(entries, |_| false, |_, _| {}).expect("memory");
}

fn known(configurations: &Configurations) -> Vec<(u64, u64)> {
    let entries = configurations.entries().iter();
    entries.map(|(from, it)| (from.0, it.epoch().0)).collect()
}

/// Epoch 2 in slot 2; epoch 2 once more, and epoch 3 too early, which are void; epoch 3 when epoch 2 is in force.
fn log() -> Vec<Entry> {
    vec![
        noop(1),
        change(2, 2, 4),
        change(3, 2, 5),
        change(4, 3, 5),
        noop(5),
        change(6, 3, 5),
        noop(7),
    ]
}

#[test]
fn a_change_takes_effect_if_the_log_before_it_says_so_however_the_log_is_cut() {
    let mut digests = Vec::new();
    for batch in 1..=log().len() {
        let mut machine = machine(MemoryTables::new());
        assert_eq!(machine.configurations(), None);
        for entries in log().chunks(batch) {
            apply(&mut machine, entries);
            // Closed and opened again between any two batches.
            let reopened = reopened(&machine);
            assert_eq!(reopened.configurations(), machine.configurations());
            machine = reopened;
        }
        let configurations = machine.configurations().expect("there were changes");
        assert_eq!(known(configurations), [(6, 2), (10, 3)]);
        assert_eq!(configurations.newest(), &configuration(3, 5));
        digests.push(machine.progress().digest);
    }
    digests.dedup();
    assert_eq!(digests.len(), 1);
}

#[test]
fn nodes_that_judge_a_change_differently_have_different_digests() {
    let (mut one, mut other) = (machine(MemoryTables::new()), machine(MemoryTables::new()));
    other.found(configuration(2, 3));
    apply(&mut one, &[change(1, 2, 4)]);
    apply(&mut other, &[change(1, 2, 4)]);
    assert_eq!(other.configurations(), None, "it follows epoch 1, not epoch 2");
    assert_ne!(one.progress().digest, other.progress().digest);
}

#[test]
fn a_copy_of_the_state_brings_the_configurations_along() {
    let mut machine = machine(MemoryTables::new());
    apply(&mut machine, &log());
    let origin = Origin {
        cluster: "test".to_owned(),
        cluster_id: ClusterId(7),
        epoch: Epoch(1),
    };
    let mut source = Source::new(machine.tables().freeze(), origin, 1, 1 << 10).expect("memory");
    assert_eq!(source.header().origin.epoch, Epoch(2), "that of slot 7");
    let mut staging = Staging::new(ClusterId(7), Slot(7), MemorySink::new());
    let mut number = 0;
    while let Some(piece) = source.piece(number).expect("memory") {
        staging.take(&piece.payload).expect("whole");
        number += 1;
    }
    let (tables, _) = staging.finish().expect("whole");
    let copy = self::machine(tables);
    assert_eq!(copy.configurations(), machine.configurations());
    assert!(is_governance(b"c") && !is_governance(b"k"));
}

#[test]
fn configurations_that_do_not_read_are_damage() {
    let tables = MemoryTables::new();
    let mut batch = tables.batch(0);
    batch.put(b"c", b"rubbish");
    tables.write(batch).expect("memory");
    let error = Machine::open(tables, 1 << 10).err().expect("refused").to_string();
    assert!(error.contains("the configurations cannot be read"), "{error}");
}
