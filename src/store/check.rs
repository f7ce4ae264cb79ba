//! Looks at the ledger when the daemon starts: at its end before anything else, and at all of it beside the work.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use rusqlite::Connection;

use super::reader::Reader;
use super::verify::{Demands, Verified, VerifyError};
use super::walk::{Pins, Walk};
use super::{OpenError, Store, load};
use crate::ports::{Check, Head};

/// So many of the newest records are checked before the daemon works: some milliseconds.
const NEWEST: u64 = 1000;
/// A database of at most so many bytes looks at itself before the daemon works: a quarter of a second.
const SMALL: u64 = 64 << 20;

/// What came of the check of the whole ledger, and whether it is still wanted.
#[derive(Clone, Default)]
pub(super) struct Checking {
    found: Arc<RwLock<Check>>,
    stopped: Arc<AtomicBool>,
}

/// In bounded time: the structure of a small database, and the chain of the newest records.
pub(super) fn newest(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    if std::fs::metadata(path).is_ok_and(|data| data.len() <= SMALL) {
        let said: String = conn.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if said != "ok" {
            return Err(OpenError::Corrupt(said));
        }
    }
    let last = load::head(conn)?.seq;
    let first = last.saturating_sub(NEWEST);
    let before = if first == 0 { load::identity(conn)? } else { load::hash_of(conn, first)? };
    let hash = before.ok_or(OpenError::Damaged { seq: first })?;
    let mut walk = Walk::begin(Head { seq: first, hash }, Pins::default());
    walk.go_on(conn, last)?.map_err(|broken| OpenError::Damaged { seq: broken.seq })
}

impl Store {
    /// Checks the whole ledger on a thread of its own: the database's integrity, the chain, the checkpoints in this file, and
    /// the tables. What came of it is logged, and told by [`Store::check`].
    pub fn check_in_background(&self, checkpoints: PathBuf) {
        let (path, checking) = (self.path.clone(), self.checking.clone());
        let work = move || checking.run(&path, &checkpoints);
        if let Err(error) = std::thread::Builder::new().name("ledger-check".to_owned()).spawn(work) {
            tracing::warn!(%error, "the ledger cannot be checked: {error}");
        }
    }
}

impl Checking {
    pub(super) fn found(&self) -> Check {
        self.found.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn run(&self, path: &Path, checkpoints: &Path) {
        let found = match self.verify(path, checkpoints) {
            Ok(Verified { unread: Some(unread), .. }) => {
                let why = format!(
                    "{unread}: the tables could not be held against the ledger; use the version that wrote them"
                );
                tracing::error!(error = why, "the ledger was checked, and not to its end: {why}");
                Check::Broken { why }
            }
            Ok(verified) => {
                let (records, head) = (verified.records, verified.head.seq);
                tracing::info!(
                    records,
                    checkpoints = verified.checkpoints,
                    "the whole ledger was checked, and holds: {head}"
                );
                Check::Whole { records }
            }
            Err(VerifyError::BrokenOff) => return,
            Err(error) => {
                let why = error.to_string();
                tracing::error!(error = why, "the ledger was checked, and does not hold: {why}");
                Check::Broken { why }
            }
        };
        *self.found.write().unwrap_or_else(PoisonError::into_inner) = found;
    }

    fn verify(&self, path: &Path, checkpoints: &Path) -> Result<Verified, VerifyError> {
        let reader = Reader::open_file(path)?;
        reader.check_integrity()?;
        let checkpoint_file = checkpoints.exists().then(|| checkpoints.to_owned());
        let demands = Demands { checkpoint_file, ..Demands::default() };
        reader.verify_against(&demands, |_, _| match self.stopped.load(Ordering::Relaxed) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    }
}
