//! What becomes of a node that meets a fault in its state or its journal, whichever of its threads meets it.
//!
//! A state follows from what was chosen, and peers have it too. So one that is not as it was written is *condemned*: the node
//! ends with a sentence, and at its next start sets the state aside and fetches a peer's, while its journal keeps its word and
//! its vote. It is the same whether the scrub, a client's read or the applier comes upon the bad block: without the mark, the
//! node would start again, come upon it again, and so on for ever.
//!
//! What the journal holds, no peer has: the node's own word. A journal that is not as it was written is condemned for good, so that
//! no start that happens not to come upon the same place takes it for whole (A6).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use storage::Store;
use storage::tables::TablesError;
use tokio::sync::mpsc;
use tracing::error;

/// Knows the state's folder, whether there are peers, and how to end the node. Clones are cheap.
#[derive(Clone)]
pub struct StateGuard {
    dir: PathBuf,
    has_peers: Arc<dyn Fn() -> bool + Send + Sync>,
    failed: mpsc::Sender<String>,
}

impl StateGuard {
    /// For the state in the data folder `dir`; what `failed` hears ends the node. `has_peers` is asked when it matters, because
    /// members come and go.
    #[must_use]
    pub fn new(
        dir: &Path,
        has_peers: impl Fn() -> bool + Send + Sync + 'static,
        failed: mpsc::Sender<String>,
    ) -> StateGuard {
        StateGuard {
            dir: dir.to_owned(),
            has_peers: Arc::new(has_peers),
            failed,
        }
    }

    /// Whoever did `what` to the state was told `error`: the node ends, and says why and what happens next.
    pub fn met(&self, what: &str, error: &TablesError) {
        let sentence = self.judge(what, error);
        error!(reason = sentence, "the state cannot be used any more");
        // Full means that another failure is being reported already.
        let _ = self.failed.try_send(sentence);
    }

    /// Condemns the state if it is damaged, and says in a sentence why the node ends.
    fn judge(&self, what: &str, error: &TablesError) -> String {
        let dir = self.dir.display();
        let TablesError::Damaged { what: damage } = error else {
            return format!("{what}: {error}");
        };
        if !(self.has_peers)() {
            return format!(
                "{what}: the state in {dir} is damaged, and there is no peer to fetch it from: {damage}. `synod disk check \
                 {dir}` lists all that is wrong; restore the node from a backup"
            );
        }
        match Store::condemn_state(&self.dir, damage) {
            Ok(()) => format!(
                "{what}: the state in {dir} is damaged: {damage}. The journal is whole: start the node again, and it sets the \
                 state aside and fetches a peer's"
            ),
            Err(error) => format!(
                "{what}: the state in {dir} is damaged: {damage}. It cannot be set aside: {error}. The journal is whole: move \
                 {dir}/state away, and start the node again"
            ),
        }
    }
}

/// Knows the journal's folder, and how to end the node. Clones are cheap.
#[derive(Clone)]
pub struct JournalGuard {
    dir: PathBuf,
    failed: mpsc::Sender<String>,
}

impl JournalGuard {
    /// For the journal in the data folder `dir`; what `failed` hears ends the node.
    #[must_use]
    pub fn new(dir: &Path, failed: mpsc::Sender<String>) -> JournalGuard {
        JournalGuard {
            dir: dir.to_owned(),
            failed,
        }
    }

    /// Whoever did `what` found that the journal is not what was written, as `damage` says: no start opens it any more, and the
    /// node ends.
    pub fn damaged(&self, what: &str, damage: &str) {
        let dir = self.dir.display();
        let kept = match Store::condemn_journal(&self.dir, damage) {
            Ok(()) => String::new(),
            Err(error) => format!(" (this could not be written down for the next start: {error})"),
        };
        self.end(format!(
            "{what}: the journal in {dir} is damaged, so this node must not vote any more: {damage}{kept}. Leave it stopped and keep \
             the folder; docs/operations.md, \"A node that must not vote\", tells how it comes back"
        ));
    }

    /// Whoever did `what` cannot read the journal, which may be whole all the same: the node ends.
    pub fn unreadable(&self, what: &str, reason: &str) {
        self.end(format!(
            "{what}: the journal in {} cannot be read: {reason}",
            self.dir.display()
        ));
    }

    fn end(&self, sentence: String) {
        error!(reason = sentence, "the journal cannot be used any more");
        // Full means that another failure is being reported already.
        let _ = self.failed.try_send(sentence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(has_peers: bool, error: &TablesError) -> (String, bool) {
        let dir = tempfile::tempdir().expect("a folder");
        let (failed, mut failures) = mpsc::channel(1);
        StateGuard::new(dir.path(), move || has_peers, failed).met("a client's read", error);
        let sentence = failures.try_recv().expect("the node ends");
        (sentence, dir.path().join("state.condemned").exists())
    }

    #[test]
    fn what_is_damaged_is_condemned_if_a_peer_has_it_too() {
        let damaged = TablesError::Damaged {
            what: "a block".to_owned(),
        };
        let (sentence, condemned) = judged(true, &damaged);
        assert!(condemned && sentence.contains("fetches a peer's"), "{sentence}");
        assert!(sentence.starts_with("a client's read: the state in"), "{sentence}");
        let (sentence, condemned) = judged(false, &damaged);
        assert!(!condemned && sentence.contains("no peer"), "{sentence}");
    }

    /// A disk that fails today may be well tomorrow, and what is on it may be whole.
    #[test]
    fn what_only_cannot_be_reached_is_kept() {
        let unreachable = TablesError::Engine {
            place: "here".to_owned(),
            verb: "read",
            reason: "Input/output error".to_owned(),
        };
        let (sentence, condemned) = judged(true, &unreachable);
        assert!(!condemned && sentence.contains("Input/output error"), "{sentence}");
    }
}
