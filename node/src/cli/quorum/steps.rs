//! The way from one configuration to another: asked for, watched, and told step by step.
//!
//! Nothing is kept here that would be lost with the process. Where a change stands is what the nodes say; whoever starts the
//! same command again goes on from there.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use quorum::{Configuration, Member, Proposal, Role};
use serde_json::{Value, json};

use super::live::{Endpoints, Live};
use super::target::following;
use crate::cli::Format;
use crate::cli::get::{Operator, post};
use crate::http::reconfigure::{Risk, Said, Wish};
use crate::status::NodeStatus;

/// How often the nodes are asked.
const POLL: Duration = Duration::from_millis(150);
/// How much longer than the node itself an asker waits for its answer.
const ANSWER: Duration = Duration::from_secs(15);
/// How long a wish whose answer was lost is looked for before it is repeated.
const SETTLING: Duration = Duration::from_secs(3);

/// How to go.
pub(in crate::cli) struct Way<'a> {
    /// Whom to ask.
    pub(in crate::cli) whom: &'a Endpoints,
    /// Who asks.
    pub(in crate::cli) operator: &'a Operator,
    /// What is accepted.
    pub(in crate::cli) accept: &'a [Risk],
    /// How long to wait in all, before giving up with the change as it then is.
    pub(in crate::cli) patience: Duration,
    /// How to tell.
    pub(in crate::cli) output: Format,
}

/// What has been told already.
struct Told {
    output: Format,
    bar: ProgressBar,
    chosen: Option<u64>,
    in_force: bool,
    last_wait: String,
}

/// What to do next.
enum Next {
    /// Ask for this configuration.
    Ask(Configuration),
    /// Wait for that.
    Wait(String),
}

impl Told {
    fn new(output: Format) -> Told {
        let bar = if output == Format::Table && std::io::stderr().is_terminal() {
            ProgressBar::new_spinner()
        } else {
            ProgressBar::hidden()
        };
        bar.enable_steady_tick(POLL);
        Told {
            output,
            bar,
            chosen: None,
            in_force: false,
            last_wait: String::new(),
        }
    }

    /// A step is done.
    fn step(&self, step: &str, facts: Value, words: &str) {
        self.bar.suspend(|| {
            match self.output {
                Format::Table => println!("  {words}"),
                Format::Json => {
                    let mut line = json!({ "step": step, "text": words });
                    if let (Some(line), Value::Object(facts)) = (line.as_object_mut(), facts) {
                        line.extend(facts);
                    }
                    println!("{line}");
                }
            }
            // Whoever reads along through a pipe reads now.
            let _ = std::io::stdout().flush();
        });
    }

    /// Something is waited for.
    fn waiting(&mut self, what: &str) {
        self.bar.set_message(what.to_owned());
        let kind = |text: &str| text.split(|c: char| c.is_ascii_digit()).next().unwrap_or("").to_owned();
        // Without a terminal, once for each thing that is waited for, not for each number.
        if self.bar.is_hidden() && kind(what) != kind(&self.last_wait) {
            self.step("waiting", json!({}), what);
        }
        what.clone_into(&mut self.last_wait);
    }
}

impl Way<'_> {
    /// Goes from `before` to members and quorum system of `goal`, and returns when the configuration before is retired.
    ///
    /// The error is a sentence that says what is done and what is not.
    pub(in crate::cli) fn go(&self, before: &Configuration, goal: &Configuration) -> Result<(), String> {
        let begun = Instant::now();
        let mut told = Told::new(self.output);
        let mut expected = before.clone();
        // What was asked for last: it may turn out to be chosen long after its answer was lost.
        let mut asked: Option<Configuration> = None;
        loop {
            if begun.elapsed() > self.patience {
                return Err(format!(
                    "no end within {:?}; the change stays as it is, and the same command goes on from there (now: {})",
                    self.patience, told.last_wait
                ));
            }
            match Live::ask(self.whom) {
                Err(reason) => told.waiting(&reason),
                Ok(live) if live.newest().epoch() < expected.epoch() => {
                    told.waiting("the nodes asked have yet to hear of it")
                }
                Ok(live) if asked.as_ref() == Some(live.newest()) => {
                    expected = live.newest().clone();
                    asked = None;
                    continue;
                }
                Ok(live) if live.newest() != &expected => {
                    return Err(format!(
                        "somebody else has changed the configuration meanwhile: it is now epoch {} ({})",
                        live.newest().epoch(),
                        live.newest().spec()
                    ));
                }
                Ok(live) if is_same(live.newest(), goal) => {
                    if self.watch(&live, &mut told) {
                        tell_who_left(&told, before, live.newest());
                        return Ok(());
                    }
                }
                Ok(live) if is_changing(&live) => {
                    self.watch(&live, &mut told);
                }
                Ok(live) => match next(&live, goal)? {
                    Next::Wait(what) => told.waiting(&what),
                    Next::Ask(configuration) => {
                        asked = Some(configuration.clone());
                        if self.ask(&live, &configuration, &mut told)? {
                            expected = configuration;
                        }
                        continue;
                    }
                },
            }
            std::thread::sleep(POLL);
        }
    }

    /// Asks for a configuration. Whether it may be chosen; else it is to be tried again.
    fn ask(&self, live: &Live, configuration: &Configuration, told: &mut Told) -> Result<bool, String> {
        let leader = live.leader().map(|status| status.node);
        let leads = |status: &NodeStatus| Some(status.node) == leader;
        let whom = live
            .nodes
            .iter()
            .find(|(_, status)| leads(status))
            .or(live.nodes.first());
        let (endpoint, _) = whom.ok_or("nobody answers")?;
        let wish = Wish {
            configuration: configuration.proposal().clone(),
            accept: self.accept.to_vec(),
        };
        let wish = serde_json::to_string(&wish).map_err(|error| error.to_string())?;
        let answer = match post(endpoint, "/v1/reconfigure", &wish, self.operator, ANSWER) {
            Ok((_, body)) => {
                serde_json::from_str::<Said>(&body).map_err(|_| format!("{endpoint} answers: {}", body.trim()))?
            }
            Err(reason) => Said::Unknown { reason },
        };
        let epoch = configuration.epoch();
        match answer {
            Said::Chosen { epoch, slot, from_slot } => {
                told.chosen = Some(epoch);
                told.in_force = false;
                let facts = json!({ "epoch": epoch, "slot": slot, "from_slot": from_slot });
                told.step(
                    "chosen",
                    facts,
                    &format!("epoch {epoch} is chosen in slot {slot}; it governs from slot {from_slot} on"),
                );
                Ok(true)
            }
            Said::Refused { reason, again: true } => {
                told.waiting(&format!("epoch {epoch} has to wait: {reason}"));
                std::thread::sleep(POLL);
                Ok(false)
            }
            Said::Refused { reason, again: false } => {
                // An earlier wish for the very same may have been granted, and its answer lost.
                let live = Live::ask(self.whom);
                if live.is_ok_and(|live| live.newest() == configuration) {
                    Ok(true)
                } else {
                    Err(format!("epoch {epoch} is refused: {reason}"))
                }
            }
            Said::Unknown { reason } => {
                told.waiting(&format!("whether epoch {epoch} is chosen is not known yet: {reason}"));
                self.settle(configuration, told)
            }
        }
    }

    /// After an answer that was lost: whether the configuration was chosen, as far as one can tell within the patience of a
    /// node. If it was not it may be asked for again, for it can be chosen only once (R2).
    fn settle(&self, configuration: &Configuration, told: &mut Told) -> Result<bool, String> {
        let begun = Instant::now();
        while begun.elapsed() < SETTLING {
            std::thread::sleep(POLL);
            if let Ok(live) = Live::ask(self.whom)
                && live.newest() == configuration
            {
                return Ok(true);
            }
            told.waiting(&format!(
                "whether epoch {} is chosen is not known yet",
                configuration.epoch()
            ));
        }
        Ok(false)
    }

    /// Tells what has happened to the newest configuration; whether there is nothing left to wait for.
    fn watch(&self, live: &Live, told: &mut Told) -> bool {
        let (epoch, from, chosen) = (live.newest().epoch().0, live.newest_from(), live.chosen());
        if told.chosen != Some(epoch) {
            told.chosen = Some(epoch);
            told.in_force = false;
            let facts = json!({ "epoch": epoch, "from_slot": from });
            told.step(
                "chosen",
                facts,
                &format!("epoch {epoch} is chosen; it governs from slot {from} on"),
            );
        }
        if chosen + 1 < from {
            told.waiting(&format!("the window is filled: {} slots to go", from - chosen - 1));
            return false;
        }
        if !told.in_force {
            told.in_force = true;
            let facts = json!({ "epoch": epoch, "from_slot": from });
            told.step(
                "in_force",
                facts,
                &format!("the window is filled: epoch {epoch} is in force since slot {from}"),
            );
        }
        if is_changing(live) {
            told.waiting(&format!(
                "epoch {} is still needed, until enough disks of epoch {epoch} hold its slots",
                epoch - 1
            ));
            return false;
        }
        if epoch > 1 {
            let facts = json!({ "epoch": epoch - 1 });
            told.step("retired", facts, &format!("epoch {} is retired", epoch - 1));
        }
        true
    }
}

fn tell_who_left(told: &Told, before: &Configuration, after: &Configuration) {
    for member in before.members() {
        if after.index_of(member.node, member.incarnation).is_none() {
            let facts = json!({ "node": member.node, "incarnation": member.incarnation, "name": member.name });
            let life = match after.member(member.node) {
                Some(_) => format!("the earlier life (incarnation {}) of ", member.incarnation),
                None => String::new(),
            };
            let words = format!("{life}node {} ({}) may be switched off", member.node, member.name);
            told.step("may_switch_off", facts, &words);
        }
    }
}

/// Whether the configuration before the newest is still needed, as the leader says, or else everybody who was asked.
fn is_changing(live: &Live) -> bool {
    match live.leader() {
        Some(leader) => leader.is_changing(),
        None => live.nodes.iter().all(|(_, status)| status.is_changing()),
    }
}

/// Whether two configurations differ in their numbers only.
pub(in crate::cli) fn is_same(one: &Configuration, other: &Configuration) -> bool {
    one.spec() == other.spec() && one.members() == other.members()
}

/// The next configuration on the way to `goal`, or what must happen before it.
fn next(live: &Live, goal: &Configuration) -> Result<Next, String> {
    let newest = live.newest();
    let sentence = |fault: crate::settings::Fault| fault.to_string();
    let strangers: Vec<Member> = goal
        .new_voters(newest)
        .into_iter()
        .filter(|member| newest.member(member.node).is_none())
        .map(|member| Member {
            role: Role::Learner,
            ..member.clone()
        })
        .collect();
    if !strangers.is_empty() {
        // R5: whoever is new listens first.
        let mut proposal: Proposal = newest.proposal().clone();
        proposal.members.extend(strangers);
        return following(proposal, newest).map(Next::Ask).map_err(sentence);
    }
    if let Some(leader) = live.leader() {
        let learners = goal.new_voters(newest).into_iter();
        let late: Vec<String> = learners.filter_map(|member| lag(leader, newest, member)).collect();
        if !late.is_empty() {
            return Ok(Next::Wait(format!("learners catch up: {}", late.join(", "))));
        }
    }
    following(goal.proposal().clone(), newest)
        .map(Next::Ask)
        .map_err(sentence)
}

/// How far a member that listens already is behind its leader, if that is more than a window.
fn lag(leader: &NodeStatus, newest: &Configuration, member: &Member) -> Option<String> {
    newest.index_of(member.node, member.incarnation)?;
    let known = leader.member(member.node.0)?;
    match known.chosen {
        Some(chosen) if known.connected && chosen + newest.alpha() >= leader.chosen => None,
        Some(chosen) if known.connected => {
            let behind = leader.chosen.saturating_sub(chosen);
            Some(format!("{} is {behind} slots behind", member.name))
        }
        _ => Some(format!("{} is not connected", member.name)),
    }
}
