//! What is encoded decodes to itself; what is not an encoding is an error, never a panic, and never half accepted.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use paxos::{
    Address, Ballot, Batch, Change, ClusterId, CodecError, Command, CommandId, Configurations, Echo, Envelope, Logged,
    Message, Moment, Objection, Pulse, Refusal, Release, Slot, SnapshotId, Time, Value, Vote, Waivers,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use quorum::{Configuration, Epoch, Incarnation, Member, NodeId, Proposal, Role};

fn slot() -> impl Strategy<Value = Slot> {
    any::<u64>().prop_map(Slot)
}

fn ballot() -> impl Strategy<Value = Ballot> {
    (any::<u64>(), any::<u64>()).prop_map(|(round, leader)| Ballot {
        round,
        leader: NodeId(leader),
    })
}

fn command() -> impl Strategy<Value = Command> {
    let payload = prop::collection::vec(any::<u8>(), 0..40);
    (any::<[u64; 3]>(), payload).prop_map(|([origin, boot, sequence], payload)| Command {
        id: CommandId {
            origin: NodeId(origin),
            boot,
            sequence,
        },
        payload: payload.into(),
    })
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    prop::collection::vec(command(), 0..6)
}

fn configuration() -> impl Strategy<Value = Configuration> {
    let system = prop::sample::select(vec!["majority", "counts 4/2", "grid 2x2 columns/rows", "zones 2x1/3x1"]);
    (1..100_u64, 1..=65536_u32, any::<u64>(), system).prop_filter_map("not valid", |(epoch, alpha, life, system)| {
        let members = (1..=4)
            .map(|node| Member {
                node: NodeId(node),
                incarnation: Incarnation(1 + life % 5),
                name: format!("n{node}"),
                region: format!("r{node}"),
                zone: format!("z{node}"),
                address: format!("127.0.0.1:{}", 7000 + node),
                client_url: String::new(),
                role: Role::Voter,
            })
            .collect();
        let system = system.parse().ok()?;
        let (epoch, members) = (Epoch(epoch), members);
        Configuration::new(Proposal {
            epoch,
            alpha,
            system,
            members,
        })
        .ok()
    })
}

fn change() -> impl Strategy<Value = Change> {
    (any::<[u64; 3]>(), configuration()).prop_map(|([origin, boot, sequence], configuration)| Change {
        id: CommandId {
            origin: NodeId(origin),
            boot,
            sequence,
        },
        configuration,
    })
}

fn objection() -> impl Strategy<Value = Objection> {
    let (number, counts) = (any::<u64>(), any::<[u8; 2]>());
    (0..8, number, counts).prop_map(|(kind, number, [caught_up, voters])| match kind {
        0 => Objection::Epoch { newest: Epoch(number) },
        1 => Objection::Pending { from: Slot(number) },
        2 => Objection::Alpha { alpha: number },
        3 => Objection::EarlierLife { node: NodeId(number) },
        4 => Objection::Unsettled { newest: Epoch(number) },
        5 => Objection::Behind { caught_up, voters },
        6 => Objection::OneDisk { node: NodeId(number) },
        _ => Objection::OneZone { node: NodeId(number) },
    })
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        1 => Just(Value::Noop),
        6 => commands().prop_map(|commands| Value::Commands(Batch::pack(&commands))),
        2 => change().prop_map(|change| Value::Reconfigure(Box::new(change))),
    ]
}

fn vote() -> impl Strategy<Value = Vote> {
    (slot(), ballot(), value()).prop_map(|(slot, ballot, value)| Vote { slot, ballot, value })
}

fn refusal() -> impl Strategy<Value = Refusal> {
    use Refusal::{NoLeader, NoQuorum, NoSpace, NotLeader, Overloaded, TooLarge};
    prop_oneof![
        6 => prop::sample::select(vec![NoLeader, NoQuorum, NotLeader, Overloaded, TooLarge, NoSpace]),
        2 => objection().prop_map(Refusal::Change),
    ]
}

/// Messages of phase 1 and phase 2, and what announces their outcome.
fn log_message() -> impl Strategy<Value = Message> {
    let votes = prop::collection::vec(vote(), 0..4);
    let promise = (ballot(), slot(), prop::option::of(slot()), votes, slot(), slot());
    prop_oneof![
        (ballot(), slot(), prop::option::of(release())).prop_map(|(ballot, from, release)| Message::Prepare {
            ballot,
            from,
            release
        }),
        promise.prop_map(|(ballot, from, to, votes, chosen, trimmed)| Message::Promise {
            ballot,
            from,
            to,
            votes,
            chosen,
            trimmed
        }),
        (ballot(), slot(), value(), slot()).prop_map(|(ballot, slot, value, chosen)| Message::Accept {
            ballot,
            slot,
            value,
            chosen
        }),
        (ballot(), slot()).prop_map(|(ballot, slot)| Message::Accepted { ballot, slot }),
        (ballot(), ballot()).prop_map(|(ballot, promised)| Message::Reject { ballot, promised }),
        (ballot(), slot()).prop_map(|(ballot, chosen)| Message::Decided { ballot, chosen }),
        (ballot(), slot()).prop_map(|(ballot, chosen)| Message::Commit { ballot, chosen }),
        (slot(), slot()).prop_map(|(from, to)| Message::Fetch { from, to }),
        (slot(), prop::collection::vec(value(), 0..4), slot()).prop_map(|(from, values, chosen)| Message::Chosen {
            from,
            values,
            chosen
        }),
        slot().prop_map(|trimmed| Message::Trimmed { trimmed }),
        snapshot_message(),
    ]
}

/// Messages about copies of the state.
fn snapshot_message() -> impl Strategy<Value = Message> {
    let snapshot = || (slot(), any::<u64>()).prop_map(|(slot, serial)| SnapshotId { slot, serial });
    let payload = prop::collection::vec(any::<u8>(), 0..64);
    let ask = (slot(), prop::option::of(snapshot()), any::<u64>(), any::<u64>());
    prop_oneof![
        ask.prop_map(|(least, snapshot, from, count)| Message::AskSnapshot {
            least,
            snapshot,
            from,
            count
        }),
        (snapshot(), any::<u64>(), any::<bool>(), payload).prop_map(|(snapshot, number, last, payload)| {
            Message::SnapshotPiece {
                snapshot,
                number,
                last,
                payload: payload.into(),
            }
        }),
        prop::option::of(snapshot()).prop_map(|snapshot| Message::SnapshotGone { snapshot }),
    ]
}

fn release() -> impl Strategy<Value = Release> {
    (ballot(), any::<u64>()).prop_map(|(ballot, round)| Release { ballot, round })
}

fn moment() -> impl Strategy<Value = Moment> {
    any::<[u64; 2]>().prop_map(|[boot, at]| Moment { boot, at: Time(at) })
}

fn pulse() -> impl Strategy<Value = Pulse> {
    let span = any::<u64>().prop_map(Duration::from_nanos);
    let confirmed = any::<Option<u64>>().prop_map(|nanos| nanos.map(Duration::from_nanos));
    (any::<u64>(), span, confirmed, prop::option::of(moment())).prop_map(|(sent, lease, confirmed, heard)| Pulse {
        sent: Time(sent),
        lease,
        confirmed,
        heard,
    })
}

fn echo() -> impl Strategy<Value = Echo> {
    (any::<u64>(), any::<bool>(), moment(), any::<Option<u32>>()).prop_map(|(sent, granted, heard, fit)| Echo {
        sent: Time(sent),
        granted,
        heard,
        fit,
    })
}

/// Messages around leadership, clients' commands and reads.
fn other_message() -> impl Strategy<Value = Message> {
    let heartbeat = (
        ballot(),
        any::<u64>(),
        slot(),
        slot(),
        slot(),
        any::<bool>(),
        any::<u64>(),
        pulse(),
    );
    let sequences = prop::collection::vec(any::<u64>(), 0..6);
    let index = prop_oneof![slot().prop_map(Ok), refusal().prop_map(Err)];
    prop_oneof![
        (any::<u64>(), slot()).prop_map(|(attempt, chosen)| Message::Canvass { attempt, chosen }),
        (any::<u64>(), any::<bool>(), ballot(), slot()).prop_map(|(attempt, granted, promised, chosen)| {
            Message::CanvassReply {
                attempt,
                granted,
                promised,
                chosen,
            }
        }),
        heartbeat.prop_map(
            |(ballot, round, chosen, horizon, everywhere, healthy, oldest, pulse)| Message::Heartbeat {
                ballot,
                round,
                chosen,
                horizon,
                everywhere,
                healthy,
                oldest: Epoch(oldest),
                pulse
            }
        ),
        (ballot(), any::<u64>(), slot(), slot(), slot(), echo()).prop_map(
            |(ballot, round, chosen, flushed, kept, echo)| {
                Message::HeartbeatAck {
                    ballot,
                    round,
                    chosen,
                    flushed,
                    kept,
                    echo,
                }
            }
        ),
        (ballot(), any::<u64>(), change(), any::<[bool; 3]>()).prop_map(
            |(ballot, number, change, [behind, one_disk, one_zone])| Message::ForwardChange {
                ballot,
                number,
                change,
                waivers: Waivers {
                    behind,
                    one_disk,
                    one_zone
                }
            }
        ),
        any::<u64>().prop_map(|epoch| Message::Retired { epoch: Epoch(epoch) }),
        (release(), slot()).prop_map(|(release, chosen)| Message::HandOver { release, chosen }),
        (ballot(), any::<u64>(), commands()).prop_map(|(ballot, number, commands)| Message::Forward {
            ballot,
            number,
            commands
        }),
        (ballot(), any::<u64>(), refusal(), sequences).prop_map(|(ballot, boot, reason, sequences)| {
            Message::ForwardRefused {
                ballot,
                boot,
                reason,
                sequences,
            }
        }),
        any::<[u64; 2]>().prop_map(|[boot, batch]| Message::ReadIndex { boot, batch }),
        (any::<[u64; 2]>(), index).prop_map(|([boot, batch], result)| Message::ReadIndexReply { boot, batch, result }),
    ]
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let address = |[node, incarnation]: [u64; 2]| Address {
        node: NodeId(node),
        incarnation: Incarnation(incarnation),
    };
    let ends = any::<[[u64; 2]; 3]>();
    (ends, prop_oneof![log_message(), other_message()]).prop_map(move |([from, to, [cluster, epoch]], message)| {
        Envelope {
            cluster: ClusterId(cluster),
            from: address(from),
            to: address(to),
            epoch: Epoch(epoch),
            message,
        }
    })
}

fn logged() -> impl Strategy<Value = Logged> {
    prop_oneof![
        (ballot(), value()).prop_map(|(ballot, value)| Logged::Voted(ballot, value)),
        value().prop_map(Logged::Learned),
    ]
}

fn extended(bytes: &Bytes, more: &[u8]) -> Bytes {
    let mut long = BytesMut::from(&bytes[..]);
    long.put_slice(more);
    long.freeze()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_envelope_survives_the_wire(envelope in envelope()) {
        prop_assert_eq!(Envelope::decode(envelope.encode()), Ok(envelope));
    }

    #[test]
    fn a_journal_entry_survives_the_disk(logged in logged()) {
        prop_assert_eq!(Logged::decode(logged.encode()), Ok(logged));
    }

    #[test]
    fn a_batch_survives_and_keeps_its_order(commands in commands()) {
        let batch = Batch::pack(&commands);
        prop_assert_eq!(batch.len(), commands.len());
        prop_assert_eq!(batch.as_bytes().len(), commands.iter().map(Command::encoded_len).sum::<usize>());
        let again = Batch::from_bytes(batch.as_bytes().clone()).expect("what was packed is whole");
        prop_assert_eq!(&again, &batch);
        prop_assert_eq!(again.iter().collect::<Vec<_>>(), commands);
    }

    #[test]
    fn nothing_that_is_cut_off_decodes(envelope in envelope(), logged in logged(), at in any::<prop::sample::Index>()) {
        let (wire, disk) = (envelope.encode(), logged.encode());
        prop_assert!(Envelope::decode(wire.slice(..at.index(wire.len()))).is_err());
        prop_assert!(Logged::decode(disk.slice(..at.index(disk.len()))).is_err());
    }

    #[test]
    fn nothing_with_something_behind_it_decodes(
        envelope in envelope(),
        logged in logged(),
        more in prop::collection::vec(any::<u8>(), 1..40),
    ) {
        prop_assert_eq!(Envelope::decode(extended(&envelope.encode(), &more)), Err(CodecError::Long));
        prop_assert_eq!(Logged::decode(extended(&logged.encode(), &more)), Err(CodecError::Long));
    }

    #[test]
    fn a_cut_batch_is_whole_only_between_commands(commands in commands(), at in any::<prop::sample::Index>()) {
        let batch = Batch::pack(&commands);
        let at = at.index(batch.as_bytes().len() + 1);
        let ends: Vec<usize> = (0..=commands.len())
            .map(|count| commands[..count].iter().map(Command::encoded_len).sum())
            .collect();
        let cut = Batch::from_bytes(batch.as_bytes().slice(..at));
        prop_assert_eq!(cut.is_ok(), ends.contains(&at));
    }

    #[test]
    fn bytes_of_any_kind_are_judged_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = Bytes::from(bytes);
        // Whatever is accepted was an encoding: it encodes to the same bytes.
        if let Ok(envelope) = Envelope::decode(bytes.clone()) {
            prop_assert_eq!(envelope.encode(), bytes.clone());
        }
        if let Ok(logged) = Logged::decode(bytes.clone()) {
            prop_assert_eq!(logged.encode(), bytes.clone());
        }
        if let Ok(batch) = Batch::from_bytes(bytes.clone()) {
            prop_assert_eq!(batch.iter().map(|command| command.encoded_len()).sum::<usize>(), bytes.len());
        }
    }

    #[test]
    fn a_flipped_byte_is_an_error_or_another_message(
        envelope in envelope(),
        at in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
    ) {
        let mut bytes = BytesMut::from(&envelope.encode()[..]);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert_ne!(Envelope::decode(bytes.freeze()), Ok(envelope));
    }
}

/// Inside a value as well: a configuration must fill the bytes that are announced for it.
#[test]
fn a_configuration_with_something_behind_it_is_refused() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let configuration = configuration().new_tree(&mut runner).expect("some are valid").current();
    let id = CommandId {
        origin: NodeId(1),
        boot: 2,
        sequence: 3,
    };
    let change = Change { id, configuration };
    let whole = Logged::Learned(Value::Reconfigure(Box::new(change))).encode();
    // Two tags, then who asked, then the length, then the configuration.
    let length = u32::from_le_bytes(whole[26..30].try_into().expect("four bytes"));
    let mut long = BytesMut::from(&whole[..26]);
    long.put_u32_le(length + 1);
    long.put_slice(&whole[30..]);
    long.put_u8(0);
    assert_eq!(Logged::decode(long.freeze()), Err(CodecError::Long));
}

/// What state and journal keep of the configurations decodes to itself, and nothing else passes for it.
#[test]
fn configurations_that_do_not_follow_each_other_are_refused() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let first = configuration().new_tree(&mut runner).expect("some are valid").current();
    let renumbered = |epoch: u64| {
        let proposal = Proposal {
            epoch: Epoch(epoch),
            ..first.proposal().clone()
        };
        Configuration::new(proposal).expect("only its number differs")
    };
    let (epoch, alpha) = (first.epoch().0, first.alpha());
    let id = CommandId {
        origin: NodeId(1),
        boot: 2,
        sequence: 3,
    };
    let mut both = Configurations::new(first.clone());
    let change = Change {
        id,
        configuration: renumbered(epoch + 1),
    };
    assert_eq!(both.take(Slot(5), &change), Ok(Slot(5 + alpha)));
    assert_eq!(Configurations::decode(both.encode()), Ok(both.clone()));
    let strange = [
        vec![],
        vec![(Slot(1), renumbered(epoch)), (Slot(9), renumbered(epoch + 2))],
        vec![(Slot(9), renumbered(epoch)), (Slot(9), renumbered(epoch + 1))],
    ];
    for entries in strange {
        assert_eq!(Configurations::from_entries(entries), None);
    }
    for cut in 0..both.encode().len() {
        assert!(
            Configurations::decode(both.encode().slice(..cut)).is_err(),
            "{cut} bytes"
        );
    }
}

/// A length that lies must not make the decoder reserve what it announces.
#[test]
fn a_list_longer_than_its_bytes_is_refused_at_once() {
    let mut bytes = BytesMut::new();
    bytes.put_bytes(0, 6 * 8);
    bytes.put_u8(17);
    bytes.put_u64_le(1);
    bytes.put_u32_le(u32::MAX);
    assert_eq!(Envelope::decode(bytes.freeze()), Err(CodecError::Short));
}
