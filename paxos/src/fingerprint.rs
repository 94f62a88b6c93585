//! A replica as a number, for those who explore what it can do and want to know where they have been.

use core::hash::{Hash, Hasher};

use crate::replica::Replica;

impl Replica {
    /// Feeds `into` all that decides what this replica does next, if every span in its options is zero and its clock
    /// stands still: then no random number matters, and of a write only whether it is durable.
    ///
    /// # Panics
    /// If it has something left to say: [`Replica::next_output`] comes first.
    pub fn fingerprint(&self, into: &mut impl Hasher) {
        let Replica {
            options,
            configurations,
            reconfiguration,
            rng: _,
            now: _,
            promised,
            reporting,
            highest,
            log,
            role,
            election,
            // Without leases it only says how old the state is, which decides nothing.
            leases: _,
            learner,
            catch_up,
            snapshots,
            trimming,
            // Nothing stalls while the clock stands still, and the disk has room.
            space: _,
            proposals,
            reads,
            round_trips,
            last_write,
            persisted,
            outputs,
            unsettled,
        } = self;
        assert!(
            outputs.is_empty() && !unsettled,
            "a replica that has something to say is compared"
        );
        (options.address, options.boot).hash(into);
        configurations.hash(into);
        reconfiguration.fingerprint(*persisted, into);
        (promised, highest, role, election).hash(into);
        // What has left makes no difference any more.
        let reporting = reporting.filter(|(_, write)| write > persisted);
        reporting.map(|(page, write)| (page, write.0 - persisted.0)).hash(into);
        log.fingerprint(*persisted, into);
        (learner, catch_up, snapshots, trimming, proposals, reads, round_trips).hash(into);
        (last_write.0 - persisted.0).hash(into);
    }
}
