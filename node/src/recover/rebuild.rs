//! The best state, with every slot applied that can be had, in a file.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use paxos::{ClusterId, Entry, Slot, Value};
use storage::Survivor;
use storage::journal::Identity;
use storage::machine::Machine;
use storage::snapshot::{Origin, PIECE_BYTES, RocksSink, RocksSinkOptions, Source, Staging};
use storage::tables::{RocksTables, StateSettings, Tables};

use super::decide::{Contradiction, Fate, decide};
use super::{Governing, Report, Wreck, witnesses};
use crate::archive::{Encoder, Facts, read};

/// Slots that are applied at once.
const AT_ONCE: usize = 64;

/// Writes the file, and tells the report what became of each slot.
pub(super) fn rebuild(
    wreck: &Wreck<'_>,
    survivors: &[Survivor],
    governing: &mut Governing,
    to: &Path,
    report: &mut Report,
) -> Result<Facts, String> {
    let building = beside(to, ".recovering");
    let named = |error: std::io::Error| format!("{}: {error}", building.display());
    if building.exists() {
        fs::remove_dir_all(&building).map_err(named)?;
    }
    fs::create_dir_all(&building).map_err(named)?;
    let written = copy_best(wreck, survivors, governing, &building, report).and_then(|tables| {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", building.display());
        let mut machine = Machine::open(tables, 1 << 20).map_err(|error| failed(&error))?;
        machine.found(wreck.genesis.clone());
        apply_rest(survivors, governing, &mut machine, report)?;
        machine.flusher().flush().map_err(|error| failed(&error))?;
        save(origin(wreck, governing), machine.tables(), to)
    });
    fs::remove_dir_all(&building).map_err(named)?;
    written
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

fn origin(wreck: &Wreck<'_>, governing: &Governing) -> Origin {
    Origin {
        cluster: wreck.cluster.to_owned(),
        cluster_id: ClusterId(wreck.cluster_id),
        epoch: governing.newest().epoch(),
    }
}

/// A copy of the state that has come furthest; an empty one if no disk has a whole state.
fn copy_best(
    wreck: &Wreck<'_>,
    survivors: &[Survivor],
    governing: &Governing,
    building: &Path,
    report: &mut Report,
) -> Result<RocksTables, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", building.display());
    let best = survivors.iter().max_by_key(|survivor| survivor.applied());
    let best = best.ok_or("no data folder was named")?;
    let identity: &Identity = best.identity();
    let place = building.join("incoming/state");
    let settings = StateSettings::default();
    let Some(mut source) = best.source(origin(wreck, governing)).map_err(|error| failed(&error))? else {
        report.without_state();
        fs::create_dir_all(&place).map_err(|error| failed(&error))?;
        return RocksTables::open(&place, true, settings).map_err(|error| failed(&error));
    };
    report.state_of(identity.node, best.applied());
    let options = RocksSinkOptions::new(settings);
    let sink = RocksSink::begin(building, identity, &options).map_err(|error| failed(&error))?;
    let mut staging = Staging::new(ClusterId(wreck.cluster_id), best.applied(), sink);
    let mut number = 0;
    while let Some(piece) = source.piece(number).map_err(|error| failed(&error))? {
        staging.take(&piece.payload).map_err(|error| failed(&error))?;
        number += 1;
    }
    staging.finish().map_err(|error| failed(&error))?;
    RocksTables::open(&place, false, settings).map_err(|error| failed(&error))
}

/// Every slot behind the state, up to the last of which any disk knows anything.
fn apply_rest(
    survivors: &[Survivor],
    governing: &mut Governing,
    machine: &mut Machine<RocksTables>,
    report: &mut Report,
) -> Result<(), String> {
    let last = survivors.iter().map(Survivor::last).max().unwrap_or_default();
    let mut slot = machine.progress().applied.next();
    let mut batch = Vec::with_capacity(AT_ONCE);
    while slot <= last {
        let configuration = governing.of(slot);
        let witnesses = witnesses(configuration, survivors, slot);
        let fate = decide(configuration, &witnesses).map_err(|Contradiction| {
            format!(
                "the disks contradict each other about slot {slot}: one of them is not what it says it is. Leave out the folder \
                 that you trust least: {witnesses:?}"
            )
        })?;
        report.slot(slot, &fate);
        let value = match fate {
            Fate::Chosen(value) | Fate::Adopted { value, .. } => value,
            Fate::Lost | Fate::Unknown => Value::Noop,
        };
        // R2: later slots may be governed by it.
        let change = matches!(value, Value::Reconfigure(_));
        batch.push(Entry { slot, value });
        if batch.len() == AT_ONCE || slot == last || change {
            machine
                .apply(&batch, |_| false, |_, _| {})
                .map_err(|error| error.to_string())?;
            batch.clear();
        }
        if change && let Some(configurations) = machine.configurations() {
            governing.learn(configurations);
        }
        slot = slot.next();
    }
    assert!(
        machine.progress().applied == last.max(Slot(slot.0 - 1)),
        "every slot up to {last} was to be applied, and {} is",
        machine.progress().applied
    );
    Ok(())
}

/// As `synod snapshot save` writes it: under its name only when all of it is checked and durable.
fn save(origin: Origin, tables: &RocksTables, to: &Path) -> Result<Facts, String> {
    let part = beside(to, ".part");
    let named = |error: std::io::Error| format!("{}: {error}", part.display());
    let mut source =
        Source::new(tables.freeze(), origin, tables.rows(), PIECE_BYTES).map_err(|error| error.to_string())?;
    let mut file = File::create(&part).map_err(named)?;
    let (mut encoder, mut number) = (Encoder::default(), 0);
    while let Some(piece) = source.piece(number).map_err(|error| error.to_string())? {
        file.write_all(&encoder.piece(&piece.payload)).map_err(named)?;
        number += 1;
    }
    file.write_all(&encoder.finish()).map_err(named)?;
    file.sync_all().map_err(named)?;
    let facts = read(&part, &mut |_| Ok(()))?;
    fs::rename(&part, to).map_err(named)?;
    let folder = to.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))
        .and_then(|folder| folder.sync_all())
        .map_err(named)?;
    Ok(facts)
}
