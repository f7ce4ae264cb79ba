//! The fold over a ledger, beside a database of its own that it fills as the writer would.

use rusqlite::Connection;

use super::chain::Record;
use super::fault::Fault;
use super::verify::{Broken, VerifyError};
use super::{project, schema};
use crate::domain::{Actor, Entry, Fleet};

/// What follows from the records so far.
pub(super) struct Replay {
    pub(super) scratch: Connection,
    pub(super) fleet: Fleet,
    /// Records of kinds that this version does not know. From the first on nothing is folded.
    pub(super) unknown: u64,
}

impl Replay {
    pub(super) fn begin() -> Result<Self, VerifyError> {
        let scratch = schema::connect_scratch().map_err(VerifyError::Scratch)?;
        scratch.execute_batch("BEGIN")?;
        Ok(Self { scratch, fleet: Fleet::default(), unknown: 0 })
    }

    /// Takes the next record in. Returns its entry, unless it is unknown or follows on an unknown one.
    pub(super) fn take(&mut self, record: &Record) -> Result<Option<Entry>, VerifyError> {
        let (Ok(event), Some(actor)) = (record.event(), Actor::from_word(&record.actor)) else {
            self.unknown += 1;
            return Ok(None);
        };
        // Without the unknown ones a later record may seem impossible, and the tables can not be foretold.
        if self.unknown > 0 {
            return Ok(None);
        }
        let broken = |why: String| Broken { seq: record.seq, why };
        let target = event.target().map(|target| target.as_str().to_owned()).unwrap_or_default();
        let rotation = event.transition().map(|step| step.id.to_string()).unwrap_or_default();
        if (&target, &rotation) != (&record.target, &record.rotation) {
            return Err(broken("target or rotation is not the one in its payload".to_owned()).into());
        }
        let entry = Entry { at: record.at, actor, event };
        match project::apply(&self.scratch, &mut self.fleet, record.seq, &entry) {
            Ok(_) => Ok(Some(entry)),
            Err(Fault::Impossible(contradiction)) => Err(broken(contradiction.to_string()).into()),
            Err(Fault::Row(error) | Fault::Ledger(error)) => {
                Err(broken(format!("its consequences do not fit the tables: {error}")).into())
            }
        }
    }
}
