//! Messages: leaving a node under the eyes of the checkers, and what the network makes of them.

use bytes::Bytes;
use paxos::{Envelope, Input};

use crate::checker::Verdict;
use crate::coverage::Fault;
use crate::seat::Seat;
use crate::trace::digest;

use super::Cluster;
use super::event::{Event, Happening};

impl Cluster {
    /// A message that waited for the disk leaves; one to the node itself is an input at once.
    pub(super) fn release(&mut self, seat: Seat, envelope: Envelope) -> Verdict {
        if envelope.to != self.address(seat) {
            return self.transmit(seat, envelope);
        }
        self.see_sent(seat, &envelope)?;
        self.trace
            .line(|| format!("               {seat} <- itself {:?}", envelope.message));
        self.step(seat, Input::Receive(envelope));
        Ok(())
    }

    fn see_sent(&mut self, seat: Seat, envelope: &Envelope) -> Verdict {
        self.note_message(&envelope.message);
        self.for_spec(|spec| spec.on_send(seat, &envelope.message));
        let node = &self.nodes[seat.index()];
        let boot = node.boot().unwrap_or_default();
        self.oracle
            .on_send(seat, boot, envelope, node.disk.store(), &mut self.tally)
    }

    /// A message leaves a node.
    pub(super) fn transmit(&mut self, seat: Seat, envelope: Envelope) -> Verdict {
        self.see_sent(seat, &envelope)?;
        let to = Seat::of(envelope.to.node);
        let frame = envelope.encode();
        self.trace.mix(digest(&frame));
        let [first, second] = self.network.carry(self.now, seat, to, &mut self.tally);
        self.trace.line(|| {
            let fate = match (first, second) {
                (None, _) => " (lost)",
                (_, None) => "",
                _ => " (twice)",
            };
            format!("               {seat} -> {to} {:?}{fate}", envelope.message)
        });
        if let Some(bit) = self.network.damages(frame.len()) {
            self.damage(seat, to, &frame, bit);
            return Ok(());
        }
        let connection = self.network.connection(seat, to);
        for at in [second, first].into_iter().flatten() {
            let what = Happening::Deliver {
                from: seat,
                connection,
                frame: frame.clone(),
            };
            self.schedule.push(
                at,
                Event::At {
                    seat: to,
                    boot: None,
                    what,
                },
            );
        }
        Ok(())
    }

    /// A message is damaged under way. The transport's checksum notices, and it gives up the connection; the decoder, which
    /// would be next, must at least not fail on it.
    fn damage(&mut self, from: Seat, to: Seat, frame: &Bytes, bit: usize) {
        let mut damaged = frame.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let _ = Envelope::decode(damaged.into());
        self.tally.faults.hit(Fault::Damaged);
        self.network.reset(from, to);
    }
}
