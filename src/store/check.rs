//! Checks the ledger when the daemon starts, the newest records before anything else, and all of it beside the work: then, and
//! each day.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Duration;

use rusqlite::Connection;

use super::guards::{Looked, first_difference};
use super::reader::Reader;
use super::verify::{Demands, Verified, VerifyError};
use super::walk::{Pins, Walk};
use super::{OpenError, Store, load, schema};
use crate::ports::{Check, Head};

/// So many of the newest records are checked before the daemon works: some milliseconds.
const NEWEST: u64 = 1000;
/// A database of at most so many bytes looks at itself before the daemon works: a quarter of a second.
const SMALL: u64 = 64 << 20;

/// The whole ledger is checked so often.
const EVERY: Duration = Duration::from_hours(24);
/// What could not be checked is tried again after this.
const AGAIN: Duration = Duration::from_hours(1);

/// What came of the check of the whole ledger, and whether it is still wanted.
#[derive(Clone, Default)]
pub(super) struct Checking {
    found: Arc<RwLock<Check>>,
    stopped: Arc<(Mutex<bool>, Condvar)>,
}

/// In bounded time: the structure of a small database, the chain of the newest records, and that every trigger is ours.
pub(super) fn at_start(conn: &Connection, path: &Path) -> Result<(), OpenError> {
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
    walk.go_on(conn, last)?.map_err(|broken| OpenError::Damaged { seq: broken.seq })?;
    first_difference(conn, &schema::connect_scratch()?, Looked::Triggers)?
        .map_or(Ok(()), |why| Err(OpenError::Triggers(why)))
}

impl Reader {
    /// Makes the checks that each start of the daemon makes before it works.
    ///
    /// # Errors
    /// If a start would be refused.
    pub fn check_start(&self) -> Result<(), OpenError> {
        at_start(&self.conn, self.path())
    }
}

impl Store {
    /// Checks the whole ledger on a thread of its own, at once and then each day: the database's integrity, the chain, the
    /// checkpoints in this file, and the tables. What came of it is logged, and told by [`Store::check`].
    pub fn check_in_background(&self, checkpoints: PathBuf) {
        let (path, checking) = (self.path.clone(), self.checking.clone());
        let work = move || checking.run(&path, &checkpoints);
        if let Err(error) = std::thread::Builder::new().name("ledger-check".to_owned()).spawn(work) {
            self.checking.tell(Check::Unchecked { why: format!("there is no thread for it: {error}") });
        }
    }
}

impl Checking {
    pub(super) fn found(&self) -> Check {
        self.found.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn stop(&self) {
        let (stopped, wakes) = &*self.stopped;
        *stopped.lock().unwrap_or_else(PoisonError::into_inner) = true;
        wakes.notify_all();
    }

    fn run(&self, path: &Path, checkpoints: &Path) {
        loop {
            let Some(check) = self.check(path, checkpoints) else { return };
            let rest = if matches!(check, Check::Unchecked { .. }) { AGAIN } else { EVERY };
            self.tell(check);
            let (stopped, wakes) = &*self.stopped;
            let stopped = stopped.lock().unwrap_or_else(PoisonError::into_inner);
            let rested = wakes.wait_timeout_while(stopped, rest, |stopped| !*stopped);
            if *rested.unwrap_or_else(PoisonError::into_inner).0 {
                return;
            }
        }
    }

    fn tell(&self, check: Check) {
        match &check {
            Check::Pending => {}
            Check::Whole { records } => tracing::info!(records, "the whole ledger was checked, and holds"),
            Check::Broken { why } => {
                tracing::error!(error = why, "the ledger was checked, and does not hold: {why}");
            }
            Check::Unchecked { why } => tracing::error!(error = why, "the whole ledger cannot be checked: {why}"),
        }
        *self.found.write().unwrap_or_else(PoisonError::into_inner) = check;
    }

    /// None if nobody wants to know any more.
    fn check(&self, path: &Path, checkpoints: &Path) -> Option<Check> {
        let found = match self.verify(path, Some(checkpoints).filter(|file| file.exists())) {
            // What the ledger itself comes to is not hidden by a file that cannot be read.
            Err(unread @ VerifyError::Checkpoints { .. }) => self.verify(path, None).and(Err(unread)),
            found => found,
        };
        match found {
            Ok(Verified { unread: Some(unread), .. }) => Some(Check::Broken {
                why: format!(
                    "{unread}: the tables could not be held against the ledger; use the version that wrote them"
                ),
            }),
            Ok(verified) => Some(Check::Whole { records: verified.records }),
            Err(VerifyError::BrokenOff) => None,
            Err(VerifyError::Broken(broken)) => Some(Check::Broken { why: broken.to_string() }),
            Err(
                error @ (VerifyError::Unreadable(_)
                | VerifyError::Checkpoints { .. }
                | VerifyError::Scratch(_)
                | VerifyError::Random(_)
                | VerifyError::Later { .. }),
            ) => Some(Check::Unchecked { why: error.to_string() }),
        }
    }

    fn verify(&self, path: &Path, checkpoints: Option<&Path>) -> Result<Verified, VerifyError> {
        let reader = Reader::open_file(path)?;
        let demands = Demands { checkpoint_file: checkpoints.map(Path::to_owned), ..Demands::default() };
        reader.verify_against(&demands, |_, _| match *self.stopped.0.lock().unwrap_or_else(PoisonError::into_inner) {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    }
}
