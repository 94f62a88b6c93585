//! The parent: starts the child, kills it, listens, compares; again and again.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Read as _, Seek as _};
use std::ops::AddAssign;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use storage::step::Step;

use crate::faulty_disk::FaultyDisk;
use crate::lone::{BOOT, FOLDER, STAGE, STEP};
use crate::model::Model;

/// Where the child keeps its data.
pub(crate) enum Place {
    /// A plain folder: what a killed process wrote is there, synced or not.
    Folder(PathBuf),
    /// A disk that forgets what was not synced whenever the child dies.
    Disk(FaultyDisk),
}

/// How a child dies.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kill {
    /// Killed at a random moment: while it starts, early, or in full run.
    AtMoment,
    /// By itself, at a named step.
    AtStep,
    /// The power of its disk is cut after a random number of changes.
    PowerCut,
}

/// What the cycles have seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) cycles: u64,
    pub(crate) kills: BTreeMap<String, u64>,
    pub(crate) acknowledged: u64,
    pub(crate) votes: u64,
    pub(crate) compared: u64,
    /// Starts with a state that had been staged.
    pub(crate) installed: u64,
    pub(crate) dropped_writes: u64,
    pub(crate) dropped_bytes: u64,
    pub(crate) torn: u64,
    pub(crate) dropped_names: u64,
}

impl AddAssign for Report {
    fn add_assign(&mut self, other: Report) {
        self.cycles += other.cycles;
        for (kind, count) in other.kills {
            *self.kills.entry(kind).or_default() += count;
        }
        self.acknowledged += other.acknowledged;
        self.votes += other.votes;
        self.compared += other.compared;
        self.installed += other.installed;
        self.dropped_writes += other.dropped_writes;
        self.dropped_bytes += other.dropped_bytes;
        self.torn += other.torn;
        self.dropped_names += other.dropped_names;
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} cycles, {} puts acknowledged and {} votes released, {} states installed; lost: 0, contradictions: 0 (compared \
             in {} lives)",
            self.cycles, self.acknowledged, self.votes, self.installed, self.compared
        )?;
        if self.dropped_writes + self.torn + self.dropped_names > 0 {
            writeln!(
                f,
                "forgotten by the disk: {} writes of {} bytes, {} torn, {} names",
                self.dropped_writes, self.dropped_bytes, self.torn, self.dropped_names
            )?;
        }
        write!(f, "deaths:")?;
        for (kind, count) in &self.kills {
            write!(f, " {kind} {count}")?;
        }
        Ok(())
    }
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// A child that runs, and what it says.
struct Life {
    child: Child,
    lines: Receiver<String>,
    /// Its standard error, which tells why it ended if it did so without a word.
    grumbles: File,
}

impl Life {
    /// Why a child that should live does not, or is silent.
    fn obituary(&mut self) -> String {
        let fate = match self.child.try_wait() {
            Ok(Some(status)) => format!("the child ended ({status}) before it was killed"),
            Ok(None) => format!("the child lives and has said nothing for {} s", LONG.as_secs()),
            Err(error) => error.to_string(),
        };
        let mut said = String::new();
        let read = self
            .grumbles
            .rewind()
            .and_then(|()| self.grumbles.read_to_string(&mut said));
        format!("{fate}. On its standard error: {said:?} {read:?}")
    }
}

/// Lives and deaths of one store.
pub(crate) struct Cycles {
    place: Place,
    random: Random,
    kills: Vec<Kill>,
    model: Model,
    report: Report,
    /// Children so far.
    lives: u64,
}

/// SIGABRT: what a child that dies at a step does to itself.
const ABORT: i32 = 6;

/// How long the parent waits for something that may never come, such as a rare step, before it kills.
const PATIENCE: Duration = Duration::from_secs(4);

/// How long it waits for what must come, on a machine that has much else to do.
const LONG: Duration = Duration::from_secs(300);

/// After so many cycles a new store takes the place of the old one: what a state has collected makes every life longer.
const RENEW: u64 = 100;

/// What a step belongs to.
#[derive(PartialEq, Eq)]
enum Work {
    Making,
    Running,
    Staging,
    Installing,
}

fn work(step: Step) -> Work {
    match step {
        Step::Made | Step::StateNamed | Step::JournalNamed => Work::Making,
        Step::RowsWritten | Step::Built | Step::BuiltSynced | Step::Staged => Work::Staging,
        Step::Exchange | Step::Exchanged | Step::Installed => Work::Installing,
        _ => Work::Running,
    }
}

impl Cycles {
    pub(crate) fn new(place: Place, seed: u64, kills: Vec<Kill>) -> Cycles {
        Cycles {
            place,
            random: Random(seed),
            kills,
            model: Model::default(),
            report: Report::default(),
            lives: 0,
        }
    }

    pub(crate) fn report(&self) -> Report {
        let (so_far, model) = (&self.report, &self.model);
        Report {
            acknowledged: so_far.acknowledged + model.acknowledged,
            votes: so_far.votes + model.votes_released,
            compared: so_far.compared + model.lives_told,
            installed: so_far.installed + model.installed,
            ..so_far.clone()
        }
    }

    /// Number of the next child; no other has it.
    fn boot(&mut self) -> u64 {
        self.lives += 1;
        self.lives
    }

    /// So many lives and deaths, and a last life that tells what is there.
    ///
    /// # Errors
    /// The first contradiction.
    pub(crate) fn run(&mut self, cycles: u64) -> Result<(), String> {
        for cycle in 0..cycles {
            if cycle > 0 && cycle % RENEW == 0 {
                self.compare()?;
                self.renew();
            }
            let kill = self.kills[usize::try_from(cycle).expect("few") % self.kills.len()];
            self.model.begin();
            let death = match kill {
                Kill::AtMoment => self.die_at_moment(),
                Kill::AtStep => self.die_at_step(),
                Kill::PowerCut => self.die_by_power_cut(),
            };
            let death = death.map_err(|what| format!("cycle {cycle}, {kill:?}: {what}"))?;
            *self.report.kills.entry(death).or_default() += 1;
            self.report.cycles += 1;
            self.forget();
            if cycle % 100 == 99 {
                println!("{}", self.report());
            }
        }
        self.compare()
    }

    /// A new store, of which nothing is known.
    fn renew(&mut self) {
        self.report = self.report();
        self.model = Model::default();
        std::fs::remove_dir_all(self.folder().join("store")).expect("it is there");
    }

    /// A last life, which tells what is there.
    fn compare(&mut self) -> Result<(), String> {
        self.model.begin();
        let compared = self.model.lives_told;
        let mut life = self.start(None, false);
        while self.model.lives_told == compared {
            if !self.listen(&life, LONG)? {
                return Err(format!(
                    "the last life, before it told what is there: {}",
                    life.obituary()
                ));
            }
        }
        self.end(&mut life).map(|_| ())
    }

    fn die_at_moment(&mut self) -> Result<String, String> {
        let stage = self.random.below(4) == 0;
        let mut life = self.start(None, stage);
        let lines = match self.random.below(3) {
            0 => {
                let moment = Duration::from_micros(self.random.below(60_000));
                std::thread::sleep(moment);
                0
            }
            1 => self.random.below(20),
            // Some thousand puts: what comes behind them is more of the same.
            _ => self.random.below(8_000),
        };
        for _ in 0..lines {
            if !self.listen(&life, LONG)? {
                return Err(life.obituary());
            }
        }
        self.end(&mut life)?;
        Ok(if lines == 0 {
            "at-start".to_owned()
        } else {
            "in-full-run".to_owned()
        })
    }

    /// Each step of a store that was made; rare ones at their first occasions.
    fn die_at_step(&mut self) -> Result<String, String> {
        let steps: Vec<Step> = Step::ALL
            .into_iter()
            .filter(|step| work(*step) != Work::Making)
            .collect();
        let step = steps[usize::try_from(self.random.below(steps.len() as u64)).expect("few")];
        let occasion = 1 + match step {
            Step::Commit | Step::Synced | Step::Released | Step::Persisted => self.soon_or_late(),
            Step::Apply | Step::TableWrite | Step::TableWritten => self.soon_or_late(),
            Step::Flush | Step::Flushed => self.random.below(8),
            _ => 0,
        };
        if work(step) == Work::Installing {
            self.stage()?;
        }
        self.die_at(step, occasion)
    }

    fn soon_or_late(&mut self) -> u64 {
        let few = self.random.below(2) == 0;
        self.random.below(if few { 4 } else { 100 })
    }

    pub(crate) fn die_at(&mut self, step: Step, occasion: u64) -> Result<String, String> {
        let mut life = self.start(Some(format!("{step:?} {occasion}")), work(step) == Work::Staging);
        let begun = Instant::now();
        // A store that is made meets all steps of that.
        let patience = if work(step) == Work::Making { LONG } else { PATIENCE };
        while begun.elapsed() < patience && self.listen(&life, patience)? {}
        let aborted = self.end(&mut life)?.signal() == Some(ABORT);
        Ok(if aborted {
            format!("{step:?}")
        } else {
            "in-full-run".to_owned()
        })
    }

    /// A life that leaves a copy of its state to be installed.
    fn stage(&mut self) -> Result<(), String> {
        let staged = self.model.staged;
        let mut life = self.start(None, true);
        while self.model.staged == staged {
            if !self.listen(&life, LONG)? {
                return Err(format!("before it had staged its state: {}", life.obituary()));
            }
        }
        self.end(&mut life)?;
        self.forget();
        self.model.begin();
        Ok(())
    }

    fn die_by_power_cut(&mut self) -> Result<String, String> {
        let changes = match self.random.below(3) {
            0 => self.random.below(60),
            1 => self.random.below(600),
            _ => self.random.below(6000),
        };
        let stage = self.random.below(4) == 0;
        self.die_after(changes, stage)
    }

    /// The power of the disk is gone after so many changes.
    pub(crate) fn die_after(&mut self, changes: u64, stage: bool) -> Result<String, String> {
        self.disk().order(&format!("cut {changes}"));
        let mut life = self.start(None, stage);
        while self.listen_cut(&life)? {}
        self.end(&mut life)?;
        Ok("power-cut".to_owned())
    }

    pub(crate) fn disk(&mut self) -> &mut FaultyDisk {
        match &mut self.place {
            Place::Disk(disk) => disk,
            Place::Folder(_) => panic!("only a disk of this kind has a power cord"),
        }
    }

    /// The disk forgets, in one of its ways, and has power again.
    pub(crate) fn forget(&mut self) {
        let everything = self.random.below(2) == 0;
        let Place::Disk(disk) = &mut self.place else { return };
        if self.kills.contains(&Kill::PowerCut) {
            disk.order("heal");
        }
        let way = if everything {
            "all".to_owned()
        } else {
            format!("tail {}", self.lives)
        };
        let losses = disk.order(&format!("forget {way}"));
        let count = |name| FaultyDisk::count(&losses, name);
        self.report.dropped_writes += count("writes");
        self.report.dropped_bytes += count("bytes");
        self.report.torn += count("torn");
        self.report.dropped_names += count("names");
    }

    fn folder(&self) -> PathBuf {
        match &self.place {
            Place::Folder(folder) => folder.clone(),
            Place::Disk(disk) => disk.folder().to_owned(),
        }
    }

    fn start(&mut self, step: Option<String>, stage: bool) -> Life {
        let boot = self.boot();
        let folder = self.folder();
        std::fs::create_dir_all(&folder).expect("a folder");
        let grumbles = tempfile::tempfile().expect("a file");
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        command
            .args(["--exact", "child", "--nocapture"])
            .env(FOLDER, folder)
            .env(BOOT, boot.to_string())
            .stdout(Stdio::piped())
            .stderr(grumbles.try_clone().expect("a second handle"));
        if let Some(step) = step {
            command.env(STEP, step);
        }
        if stage {
            command.env(STAGE, "1");
        }
        let mut child = command.spawn().expect("the child starts");
        let stdout = child.stdout.take().expect("it is piped");
        let (sender, lines) = sync_channel(1 << 16);
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = String::new();
            // What has no end was cut off by the kill: the child has not said it.
            while stdout.read_line(&mut line).is_ok_and(|bytes| bytes > 0) && line.ends_with('\n') {
                if sender.send(line.trim_end().to_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        Life { child, lines, grumbles }
    }

    /// Hears the next line; false if there will be none, or none came for long.
    fn listen(&mut self, life: &Life, patience: Duration) -> Result<bool, String> {
        match life.lines.recv_timeout(patience) {
            Ok(line) => {
                if let Some(reason) = line.strip_prefix("ended ") {
                    return Err(format!("the store was refused, or failed: {reason}"));
                }
                self.model.hear(&line).map(|()| true)
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Ok(false),
        }
    }

    /// The same while the power may be gone: then a child may end by itself.
    fn listen_cut(&mut self, life: &Life) -> Result<bool, String> {
        match life.lines.recv_timeout(PATIENCE) {
            Ok(line) if line.starts_with("ended ") => {
                let cut = FaultyDisk::count(&self.disk().order("count"), "cut") == 1;
                if cut {
                    Ok(false)
                } else {
                    Err(format!("with power on: {line}"))
                }
            }
            Ok(line) => self.model.hear(&line).map(|()| true),
            Err(_) => Ok(false),
        }
    }

    /// Kills the child if it lives, and hears what it said before.
    fn end(&mut self, life: &mut Life) -> Result<ExitStatus, String> {
        // It may have ended by itself.
        let _ = life.child.kill();
        let status = life.child.wait().expect("it ended");
        while let Ok(line) = life.lines.recv() {
            if !line.starts_with("ended ") {
                self.model.hear(&line)?;
            }
        }
        Ok(status)
    }
}
