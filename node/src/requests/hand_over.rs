//! Handing leadership over: what an operator, or a node that stops, asks of this node's core.
//!
//! The core answers with events, not by the number of a request, because it hands over by itself as well. One hand-over is
//! waited for at a time.

use std::fmt;
use std::sync::PoisonError;
use std::time::Duration;

use paxos::{Event, Input, Stays};
use quorum::NodeId;
use tokio::sync::{Mutex, broadcast, mpsc};
use tokio::time::timeout;

use super::Requests;

/// News that may wait for whoever listens.
const NEWS: usize = 16;

/// What the core says about hand-overs.
#[derive(Copy, Clone, Debug)]
enum News {
    Begun(NodeId),
    Done(NodeId),
    Failed(Option<NodeId>, Stays),
}

/// Passes on what the core says about hand-overs, and lets one at a time ask for one.
pub struct HandOvers {
    news: broadcast::Sender<News>,
    turn: Mutex<()>,
}

impl Default for HandOvers {
    fn default() -> HandOvers {
        HandOvers {
            news: broadcast::Sender::new(NEWS),
            turn: Mutex::new(()),
        }
    }
}

impl HandOvers {
    /// The core says something.
    pub fn tell(&self, event: &Event) {
        let news = match event {
            Event::HandingOver { to } => News::Begun(*to),
            Event::HandedOver { to, .. } => News::Done(*to),
            Event::HandOverFailed { to, reason } => News::Failed(*to, *reason),
            _ => return,
        };
        // Nobody may be listening.
        let _ = self.news.send(news);
    }
}

/// Why another node does not lead.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Stayed {
    /// As the core says.
    Refused(Stays),
    /// The node has too much to do, or stops.
    Unasked,
    /// Nothing was heard in time.
    TimedOut,
}

impl fmt::Display for Stayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stayed::Refused(reason) => reason.fmt(f),
            Stayed::Unasked => f.write_str("the node that was asked has too much to do, or is stopping"),
            Stayed::TimedOut => f.write_str("nothing was heard of it in time"),
        }
    }
}

impl std::error::Error for Stayed {}

impl Requests {
    /// Has another node lead, the best one if none is named, and resolves when this node has heard it lead (E4).
    ///
    /// # Errors
    /// [`Stayed`], and this node leads on if it led. After [`Stayed::TimedOut`] that is not known.
    pub async fn hand_over(&self, to: Option<NodeId>, deadline: Duration) -> Result<NodeId, Stayed> {
        let hand_overs = &self.shared.waiters.hand_overs;
        let asked = async {
            let _turn = hand_overs.turn.lock().await;
            let news = hand_overs.news.subscribe();
            self.wish(to)?;
            outcome(to, news).await
        };
        timeout(deadline, asked).await.unwrap_or(Err(Stayed::TimedOut))
    }

    fn wish(&self, to: Option<NodeId>) -> Result<(), Stayed> {
        // A panic elsewhere under this lock leaves the counter valid.
        let gate = self.shared.gate.lock().unwrap_or_else(PoisonError::into_inner);
        gate.inputs
            .try_send(Input::HandOver { to })
            .map_err(|_: mpsc::error::TrySendError<Input>| Stayed::Unasked)
    }
}

/// What becomes of a wish.
async fn outcome(to: Option<NodeId>, mut news: broadcast::Receiver<News>) -> Result<NodeId, Stayed> {
    let mut under_way = None;
    loop {
        match news.recv().await {
            Ok(News::Begun(node)) if to.is_none_or(|to| to == node) => under_way = Some(node),
            Ok(News::Done(node)) if under_way == Some(node) => return Ok(node),
            Ok(News::Failed(node, reason)) if node == to || (under_way.is_some() && node == under_way) => {
                return Err(Stayed::Refused(reason));
            }
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return Err(Stayed::Unasked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: NodeId = NodeId(2);

    async fn told(to: Option<NodeId>, events: &[Event]) -> Result<NodeId, Stayed> {
        let hand_overs = HandOvers::default();
        let news = hand_overs.news.subscribe();
        events.iter().for_each(|event| hand_overs.tell(event));
        drop(hand_overs);
        outcome(to, news).await
    }

    #[tokio::test]
    async fn a_wish_ends_with_its_own_outcome() {
        let (begun, failed) = (
            |to| Event::HandingOver { to },
            |to, reason| Event::HandOverFailed { to, reason },
        );
        let done = |to| Event::HandedOver {
            to,
            took: Duration::ZERO,
        };
        let three = NodeId(3);
        assert_eq!(told(None, &[begun(TWO), done(TWO)]).await, Ok(TWO));
        assert_eq!(told(Some(TWO), &[begun(TWO), done(TWO)]).await, Ok(TWO));
        let busy = Stayed::Refused(Stays::Busy);
        assert_eq!(told(Some(TWO), &[failed(Some(TWO), Stays::Busy)]).await, Err(busy));
        let nobody = Stayed::Refused(Stays::NobodyFit);
        assert_eq!(told(None, &[failed(None, Stays::NobodyFit)]).await, Err(nobody));
        let late = Stayed::Refused(Stays::TimedOut);
        let events = [begun(TWO), failed(Some(TWO), Stays::TimedOut)];
        assert_eq!(told(None, &events).await, Err(late));
        // That of another, which the node began by itself, is not taken for it.
        let events = [done(three), failed(Some(three), Stays::TimedOut), begun(TWO), done(TWO)];
        assert_eq!(told(Some(TWO), &events).await, Ok(TWO));
        assert_eq!(told(None, &[]).await, Err(Stayed::Unasked));
    }
}
