//! One round: a cluster, clients, a storm, a calm, and the judgement.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use quorum::NodeId;
use simulator::random::{Concern, Random};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::book::{Book, Violation};
use crate::client;
use crate::cluster::Cluster;
use crate::lane::{Lives, Network, Operator, Scene, Score};
use crate::plan::Plan;
use crate::report::Round;
use crate::sabotage::Sabotage;
use crate::seat::State;
use crate::watch as watcher;
use crate::wire::Link;

/// How long a healed cluster may take for anything; no promise of how fast it is, only that it comes back.
const PATIENCE: Duration = Duration::from_secs(180);
/// Operations that a healed cluster must do.
const PROOF: u64 = 50;
const POLL: Duration = Duration::from_millis(100);

const BACK: &str = "what is healed works again";
const EQUAL: &str = "all members hold the same";

/// How to play a round.
pub(crate) struct Game<'a> {
    pub(crate) plan: Plan,
    pub(crate) folder: &'a Path,
    pub(crate) synod: &'a Path,
    pub(crate) storm: Duration,
    pub(crate) sabotage: Option<Sabotage>,
    /// True when the user wants an end.
    pub(crate) interrupted: watch::Receiver<bool>,
}

/// Plays it. The error is a sentence: something failed that is no finding, as when no port is free.
pub(crate) async fn play(game: Game<'_>) -> Result<Round, String> {
    let begun = Instant::now();
    let book = Arc::new(Book::open(&game.folder.join("history.jsonl"))?);
    let cluster = Arc::new(Cluster::start(game.plan.clone(), game.folder, game.synod)?);
    cluster.first_leader().await?;
    let score = Arc::new(Score::default());
    let (storm_over, over) = watch::channel(false);
    let (round_over, ended) = watch::channel(false);
    let watching = tokio::spawn(watcher::run(cluster.clone(), book.clone(), ended));
    let mut random = Random::new(game.plan.seed, Concern::Workload);
    let mut clients = client::start(&book, &cluster, &mut random, game.sabotage);
    let scene = Scene {
        cluster: cluster.clone(),
        book: book.clone(),
        score: score.clone(),
        over,
    };
    book.measure(true);
    let lanes = start_lanes(&scene, game.plan.seed, game.sabotage);
    storm(&game, &book).await;
    storm_over.send_replace(true);
    let interrupted = *game.interrupted.borrow();
    if !interrupted && !book.is_spoilt() {
        calm(lanes, &scene).await?;
        if !book.is_spoilt() {
            finish(&book, &mut clients).await;
        }
        if !book.is_spoilt() {
            compare(&scene).await;
        }
    }
    round_over.send_replace(true);
    clients.shutdown().await;
    // A watcher that has panicked has printed why.
    let _ = watching.await;
    let (tally, violations) = book.close();
    Ok(Round {
        plan: game.plan,
        tally,
        violations,
        faults: score.faults(),
        changes: score.changes(),
        traffic: cluster.traffic(),
        length: begun.elapsed(),
        interrupted,
    })
}

type Lane = JoinHandle<Result<(), String>>;

fn start_lanes(scene: &Scene, seed: u64, sabotage: Option<Sabotage>) -> Vec<Lane> {
    if sabotage == Some(Sabotage::Rollback) {
        return vec![tokio::spawn(roll_back(scene.clone()))];
    }
    let network = Network {
        scene: scene.clone(),
        random: Random::new(seed, Concern::Network),
    };
    let lives = Lives {
        scene: scene.clone(),
        random: Random::new(seed, Concern::Process),
    };
    let operator = Operator::new(scene.clone(), Random::new(seed, Concern::Operator));
    vec![
        tokio::spawn(async move {
            network.run().await;
            Ok(())
        }),
        tokio::spawn(lives.run()),
        tokio::spawn(operator.run()),
    ]
}

/// Waits for the end of the storm: its time is over, something is found, or the user has had enough.
async fn storm(game: &Game<'_>, book: &Book) {
    let begun = Instant::now();
    while begun.elapsed() < game.storm && !book.is_spoilt() && !*game.interrupted.borrow() {
        tokio::time::sleep(POLL).await;
    }
    book.measure(false);
}

/// Everything is healed, what the operator owes is done, and then the cluster must work.
async fn calm(lanes: Vec<Lane>, scene: &Scene) -> Result<(), String> {
    let lost = |what: &str| {
        let text = format!("{what} within {PATIENCE:?} after everything was healed");
        scene.book.accuse(Violation::new(BACK, text));
        Ok(())
    };
    let begun = Instant::now();
    for mut lane in lanes {
        let left = PATIENCE.saturating_sub(begun.elapsed());
        match tokio::time::timeout(left, &mut lane).await {
            Ok(Ok(done)) => done?,
            Ok(Err(panic)) => return Err(format!("a lane of faults has failed: {panic}")),
            Err(_) => {
                lane.abort();
                return lost("the operator's changes did not come to their end");
            }
        }
    }
    let before = scene.book.done();
    while scene.book.done() < before + PROOF && !scene.book.is_spoilt() {
        if begun.elapsed() > PATIENCE {
            return lost("no operations were done");
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

/// Clients end what is open, read every key a last time, and have it judged.
async fn finish(book: &Book, clients: &mut tokio::task::JoinSet<()>) {
    book.finish();
    let all = async { while clients.join_next().await.is_some() {} };
    if tokio::time::timeout(PATIENCE, all).await.is_err() {
        let text = format!("keys were not read within {PATIENCE:?} after everything was healed");
        book.accuse(Violation::new(BACK, text));
    }
}

/// All members come to the same slot, and hold the same, which is what clients were told.
async fn compare(scene: &Scene) {
    let (cluster, book) = (&scene.cluster, &scene.book);
    let begun = Instant::now();
    loop {
        let statuses = cluster.statuses().await;
        let up = cluster.nodes_in(&[State::Up]).len();
        let first = statuses.first().map(|status| (status.applied, 0));
        if statuses.len() == up
            && statuses
                .iter()
                .all(|status| Some((status.applied, status.lag())) == first)
        {
            let mut contents = Vec::new();
            for status in &statuses {
                let port = cluster.seat(NodeId(status.node)).ports.clients;
                if let Some(mut link) = Link::open(status.node, port).await
                    && let Ok(content) = link.everything().await
                {
                    contents.push((status.node, content));
                }
            }
            if contents.len() == up {
                let (first, content) = &contents[0];
                for (node, other) in contents.iter().filter(|(_, other)| other != content) {
                    let difference = content.iter().zip(other).find(|(one, another)| one != another);
                    let text = format!("node {first} and node {node} differ, first in {difference:?}");
                    book.accuse(Violation::new(EQUAL, text));
                }
                book.compare(content);
                return;
            }
        }
        if begun.elapsed() > PATIENCE {
            let text = format!("members did not come to the same slot within {PATIENCE:?}");
            book.accuse(Violation::new(BACK, text));
            return;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// The sabotage of real disks: all go back to what they held some seconds ago.
async fn roll_back(scene: Scene) -> Result<(), String> {
    let stop_all = || {
        let up = scene.cluster.nodes_in(&[State::Up]);
        for node in &up {
            scene.cluster.seat(*node).kill();
        }
        up
    };
    for back in [false, true] {
        scene.rest(Duration::from_secs(4)).await;
        for node in stop_all() {
            scene.cluster.seat(node).copy_disk(back)?;
            scene.cluster.restart(node, None)?;
        }
    }
    Ok(())
}
