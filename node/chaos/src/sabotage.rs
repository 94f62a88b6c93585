//! Harm done behind the book's back: the judge must notice each kind.

use clap::ValueEnum;
use simulator::random::Random;

use crate::book::Job;
use crate::wire::{Ask, Link, Outcome, Said, Told};

/// What is broken on purpose.
#[derive(Copy, Clone, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sabotage {
    /// What was acknowledged is removed
    LostWrite,
    /// An element is appended a second time
    DoubledAppend,
    /// Reads are answered by one node as it is, at its own revision
    StaleRead,
    /// All disks go back to what they held some seconds ago
    Rollback,
}

impl Sabotage {
    /// What is sent in the place of a request.
    pub(crate) fn instead(self, ask: &Ask) -> Ask {
        match (self, ask) {
            (Sabotage::StaleRead, Ask::Get { key, .. }) => Ask::Get {
                key: key.clone(),
                stale: true,
            },
            _ => ask.clone(),
        }
    }

    /// Does harm now and then, after an operation has been answered.
    pub(crate) async fn after(self, job: &Job, outcome: &Outcome, link: &mut Link, random: &mut Random) {
        let Outcome::Done(Told { said, .. }) = outcome else {
            return;
        };
        match (self, &job.ask, said) {
            (Sabotage::LostWrite, Ask::Put { key, .. }, Said::Put) if random.chance(50) => {
                link.ask(&Ask::Delete(key.clone())).await;
            }
            (Sabotage::DoubledAppend, Ask::PutIf { key, values, .. }, Said::Compared(true))
                if key.starts_with('l') && random.chance(100) =>
            {
                let values = [&values[..], &values[values.len() - 1..]].concat();
                link.ask(&Ask::Put {
                    key: key.clone(),
                    values,
                })
                .await;
            }
            _ => {}
        }
    }
}
