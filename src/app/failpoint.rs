//! Dying or standing still on purpose, at a chosen step, so that tests can show what a restart makes of it.
//!
//! Every step of a rotation begins and ends with a record, so a journal that dies before or after recording a kind of event
//! reaches all of them without a line in the engine. Built into debug builds only: nobody can tell a released daemon to die.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use jiff::Timestamp;

use crate::domain::{Entry, Fleet, KeyId, KeyRecord, TargetId};
use crate::ports::{Head, Journal, JournalError};

/// Where to die: `before:KIND` or `after:KIND` of a ledger record, the first time or the N-th (`after:KIND:3`); or, with
/// `stall:KIND`, where whoever makes that record waits for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failpoint {
    what: What,
    kind: String,
    nth: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    DieBefore,
    DieAfter,
    Stall,
}

impl FromStr for Failpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not before:KIND, after:KIND or stall:KIND, with :N for the N-th time");
        let mut parts = text.split(':');
        let what = match parts.next() {
            Some("before") => What::DieBefore,
            Some("after") => What::DieAfter,
            Some("stall") => What::Stall,
            Some(_) | None => return Err(wrong()),
        };
        let kind = parts.next().filter(|kind| !kind.is_empty()).ok_or_else(wrong)?.to_owned();
        let nth = parts.next().map_or(Ok(1), |nth| nth.parse().map_err(|_| wrong()))?;
        if nth == 0 || parts.next().is_some() { Err(wrong()) } else { Ok(Self { what, kind, nth }) }
    }
}

/// A journal that ends the process at its failpoint, at once and without a word to anyone, like `kill -9`.
pub(super) struct Deadly {
    pub(super) journal: Arc<dyn Journal>,
    pub(super) failpoint: Failpoint,
    seen: AtomicU32,
}

impl Deadly {
    pub(super) fn new(journal: Arc<dyn Journal>, failpoint: Failpoint) -> Self {
        Self { journal, failpoint, seen: AtomicU32::new(0) }
    }
}

#[async_trait]
impl Journal for Deadly {
    async fn record(&self, entries: Vec<Entry>) -> Result<(), JournalError> {
        let hits = entries.iter().filter(|entry| entry.event.kind() == self.failpoint.kind).count();
        let hits = u32::try_from(hits).unwrap_or(u32::MAX);
        let before = self.seen.fetch_add(hits, Ordering::Relaxed);
        let due = before < self.failpoint.nth && self.failpoint.nth <= before.saturating_add(hits);
        match self.failpoint.what {
            What::DieBefore if due => std::process::abort(),
            What::Stall if due => std::future::pending().await,
            What::DieBefore | What::DieAfter | What::Stall => {}
        }
        let recorded = self.journal.record(entries).await;
        if due {
            std::process::abort();
        }
        recorded
    }

    async fn seen_again(&self, sightings: Vec<(TargetId, Timestamp)>) -> Result<(), JournalError> {
        self.journal.seen_again(sightings).await
    }

    async fn past_key(&self, target: &TargetId, key: &KeyId) -> Result<Option<KeyRecord>, JournalError> {
        self.journal.past_key(target, key).await
    }

    fn fleet(&self) -> Arc<Fleet> {
        self.journal.fleet()
    }

    fn head(&self) -> Head {
        self.journal.head()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failpoint_reads_as_it_is_written() {
        let point = |what, kind: &str, nth| Ok(Failpoint { what, kind: kind.to_owned(), nth });
        assert_eq!("before:rotation_sending".parse(), point(What::DieBefore, "rotation_sending", 1));
        assert_eq!("after:rotation_done:3".parse(), point(What::DieAfter, "rotation_done", 3));
        for wrong in ["", "after", "after:", "during:rotation_done", "after:x:0", "after:x:1:2"] {
            assert!(wrong.parse::<Failpoint>().is_err(), "{wrong}");
        }
    }
}
