//! Clients: each does one operation after another, through nodes at random.

use std::sync::Arc;
use std::time::Duration;

use quorum::NodeId;
use simulator::random::Random;
use tokio::task::{JoinSet, spawn_blocking};

use crate::book::{Book, Next};
use crate::cluster::Cluster;
use crate::sabotage::Sabotage;
use crate::seat::State;
use crate::wire::{Link, Outcome};

/// How long a client waits before it tries another node, or whether there is something to do.
const PAUSE: Duration = Duration::from_millis(20);
/// The longest time between an answer and the next question.
const THINKING: Duration = Duration::from_millis(10);

/// Starts the clients; each ends when the book says that everything is done.
pub(crate) fn start(
    book: &Arc<Book>,
    cluster: &Arc<Cluster>,
    random: &mut Random,
    sabotage: Option<Sabotage>,
) -> JoinSet<()> {
    let mut clients = JoinSet::new();
    for client in 1..=cluster.plan.clients {
        let (book, cluster, random) = (book.clone(), cluster.clone(), random.fork());
        clients.spawn(async move { work(client, &book, &cluster, random, sabotage).await });
    }
    clients
}

async fn work(client: u64, book: &Book, cluster: &Cluster, mut random: Random, sabotage: Option<Sabotage>) {
    loop {
        let nodes = cluster.nodes_in(&State::MEMBERS);
        let node: NodeId = *random.pick(&nodes);
        let port = cluster.seat(node).ports.clients;
        let Some(mut link) = Link::open(node.0, port).await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        loop {
            let job = match book.begin(client, link.node, &mut random) {
                Next::Do(job) => job,
                Next::Wait => {
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Next::Finished => return,
            };
            let outcome = match sabotage {
                None => link.ask(&job.ask).await,
                Some(sabotage) => {
                    let outcome = link.ask(&sabotage.instead(&job.ask)).await;
                    sabotage.after(&job, &outcome, &mut link, &mut random).await;
                    outcome
                }
            };
            if let Some(closed) = book.end(&job, &outcome)
                && let Ok(verdict) = spawn_blocking(move || closed.judge()).await
            {
                book.absorb(verdict);
            }
            // A connection that has failed is not trusted again, and sometimes another node is nearer.
            if !matches!(outcome, Outcome::Done(_)) || random.chance(20) {
                tokio::time::sleep(PAUSE).await;
                break;
            }
            tokio::time::sleep(random.span(Duration::ZERO, THINKING)).await;
        }
    }
}
