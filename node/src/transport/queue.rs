//! A bounded queue of frames between any thread and one writer task.
//!
//! The lock is a plain one, held for a few instructions and never across an await. The writer is woken only when it
//! sleeps: a sender that finds it busy leaves a frame and goes.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use tokio::sync::Notify;

use super::QueueLimits;

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Push {
    Queued,
    Full,
    Closed,
}

#[derive(Debug)]
pub(super) struct Queue {
    limits: QueueLimits,
    state: Mutex<State>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct State {
    frames: VecDeque<Bytes>,
    bytes: usize,
    phase: Phase,
    writer_sleeps: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// There is no connection: nothing goes in.
    #[default]
    Closed,
    Open,
    /// Nothing goes in; what is there still goes out.
    Draining,
}

impl Queue {
    pub(super) fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            state: Mutex::default(),
            ready: Notify::new(),
        }
    }

    /// Appends a frame if there is room for it.
    pub(super) fn push(&self, frame: Bytes) -> Push {
        let mut state = self.lock();
        if state.phase != Phase::Open {
            return Push::Closed;
        }
        if state.frames.len() >= self.limits.frames || state.bytes + frame.len() > self.limits.bytes {
            return Push::Full;
        }
        state.bytes += frame.len();
        state.frames.push_back(frame);
        let wake = std::mem::take(&mut state.writer_sleeps);
        drop(state);
        if wake {
            self.ready.notify_one();
        }
        Push::Queued
    }

    /// Lets frames in, since a connection is there to carry them.
    pub(super) fn open(&self) {
        self.lock().phase = Phase::Open;
    }

    /// Lets nothing more in; [`Queue::drain`] ends once the queue is empty.
    pub(super) fn finish(&self) {
        let mut state = self.lock();
        if state.phase == Phase::Open {
            state.phase = Phase::Draining;
        }
        drop(state);
        self.ready.notify_one();
    }

    /// Lets nothing more in and throws away what waits; returns how many frames that were.
    pub(super) fn close(&self) -> usize {
        let dropped = std::mem::take(&mut *self.lock());
        self.ready.notify_one();
        dropped.frames.len()
    }

    /// Waits for frames and appends them to `batch`, oldest first, until about `bytes` bytes have been moved. Returns
    /// false, with nothing moved, once the queue is closed or drained.
    pub(super) async fn drain(&self, batch: &mut Vec<Bytes>, bytes: usize) -> bool {
        loop {
            {
                let mut state = self.lock();
                let (mut taken, before) = (0, batch.len());
                while taken < bytes {
                    let Some(frame) = state.frames.pop_front() else { break };
                    taken += frame.len();
                    state.bytes -= frame.len();
                    batch.push(frame);
                }
                if batch.len() > before {
                    return true;
                }
                if state.phase != Phase::Open {
                    return false;
                }
                state.writer_sleeps = true;
            }
            self.ready.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        let queue = Queue::new(QueueLimits { frames: 3, bytes: 10 });
        queue.open();
        queue
    }

    #[test]
    fn both_bounds_hold() {
        let queue = queue();
        assert_eq!(queue.push(Bytes::from_static(b"12345678")), Push::Queued);
        assert_eq!(queue.push(Bytes::from_static(b"123")), Push::Full, "11 bytes of 10");
        assert_eq!(queue.push(Bytes::from_static(b"1")), Push::Queued);
        assert_eq!(queue.push(Bytes::new()), Push::Queued);
        assert_eq!(queue.push(Bytes::new()), Push::Full, "4 frames of 3");
    }

    #[tokio::test]
    async fn a_closed_queue_takes_and_gives_nothing() {
        let queue = queue();
        assert_eq!(queue.push(Bytes::from_static(b"1")), Push::Queued);
        assert_eq!(queue.close(), 1);
        assert_eq!(queue.push(Bytes::from_static(b"2")), Push::Closed);
        let mut batch = Vec::new();
        assert!(!queue.drain(&mut batch, 100).await);
        assert_eq!(queue.close(), 0);
    }

    #[tokio::test]
    async fn a_finishing_queue_gives_what_it_has() {
        let queue = queue();
        assert_eq!(queue.push(Bytes::from_static(b"1")), Push::Queued);
        queue.finish();
        assert_eq!(queue.push(Bytes::from_static(b"2")), Push::Closed);
        let mut batch = Vec::new();
        assert!(queue.drain(&mut batch, 100).await);
        assert_eq!(batch, [Bytes::from_static(b"1")]);
        batch.clear();
        assert!(!queue.drain(&mut batch, 100).await);
    }

    #[tokio::test]
    async fn a_sleeping_writer_is_woken() {
        let queue = std::sync::Arc::new(queue());
        let writer = tokio::spawn({
            let queue = queue.clone();
            async move {
                let mut batch = Vec::new();
                while batch.len() < 20 && queue.drain(&mut batch, 1).await {}
                batch.len()
            }
        });
        for _ in 0..20 {
            while queue.push(Bytes::from_static(b"x")) == Push::Full {
                tokio::task::yield_now().await;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(writer.await.expect("the writer does not panic"), 20);
    }
}
