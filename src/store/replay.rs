//! The fold over a ledger, and beside it the rows that the writer would have written.

use std::collections::HashMap;

use rusqlite::Connection;

use super::page::Sight;
use super::unsettled::{Settled, Shapes, Unsettled};
use super::verify::{Broken, VerifyError};
use super::{project, schema};
use crate::domain::{Actor, Entry, Fleet, Folded, TargetId};

/// What follows from the records so far.
///
/// The rows of the two tables that grow with the ledger leave it when they are settled. Those of targets are written at the
/// end, and all others at once, into a database of its own.
pub(super) struct Replay {
    pub(super) scratch: Connection,
    pub(super) fleet: Fleet,
    pub(super) unsettled: Unsettled,
    /// The newest record about each target.
    newest: HashMap<TargetId, u64>,
    /// Records of kinds that this version does not know. From the first on nothing is folded.
    pub(super) unknown: u64,
}

impl Replay {
    pub(super) fn begin() -> Result<Self, VerifyError> {
        let scratch = schema::connect_scratch().map_err(VerifyError::Scratch)?;
        scratch.execute_batch("BEGIN")?;
        let unsettled = Unsettled::new(Shapes::of(&scratch)?);
        Ok(Self { scratch, fleet: Fleet::default(), unsettled, newest: HashMap::new(), unknown: 0 })
    }

    /// Takes the next record in. Returns its entry, unless it is unknown or follows on an unknown one.
    pub(super) fn take(&mut self, record: &Sight<'_>) -> Result<Option<Entry>, VerifyError> {
        let (Ok(event), Some(actor)) = (record.event(), Actor::from_word(record.actor)) else {
            self.unknown += 1;
            return Ok(None);
        };
        // Without the unknown ones a later record may seem impossible, and the tables can not be foretold.
        if self.unknown > 0 {
            return Ok(None);
        }
        let broken = |why: String| Broken { seq: record.seq, why };
        let target = event.target();
        let rotation = event.transition().map(|step| step.id.to_string());
        let written = (record.target, record.rotation);
        if (target.as_ref().map_or("", TargetId::as_str), rotation.as_deref().unwrap_or("")) != written {
            return Err(broken("target or rotation is not the one in its payload".to_owned()).into());
        }
        let entry = Entry { at: record.at, actor, event };
        let seq = record.seq;
        let written = match self.fleet.fold(entry.at, &entry.event).map_err(|error| broken(error.to_string()))? {
            None => Ok(()),
            Some(Folded::Target(id, record)) => {
                let written = project::write_histories(&self.unsettled, seq, &entry, &id, record);
                self.unsettled.settle(&id, record);
                self.newest.insert(id, seq);
                written
            }
            Some(Folded::Rest(change)) => project::write_rest(&self.scratch, seq, &entry, &change),
        };
        written.map_err(|error| broken(format!("its consequences do not fit the tables: {error}")))?;
        Ok(Some(entry))
    }

    /// Settles every row, and writes those of targets: there are no more records.
    pub(super) fn finish(&self) -> rusqlite::Result<()> {
        self.unsettled.settle_all();
        for (id, record) in &self.fleet.targets {
            let seq = self.newest.get(id).copied().unwrap_or_default();
            project::write_target(&self.scratch, seq, id, record)?;
        }
        Ok(())
    }

    /// Writes a settled row beside the others.
    pub(super) fn insert(&self, settled: &Settled) -> rusqlite::Result<()> {
        let Settled { table, row } = settled;
        let columns = self.unsettled.shapes.columns(*table).join(", ");
        let places = vec!["?"; row.len()].join(", ");
        let sql = format!("INSERT INTO {} ({columns}) VALUES ({places})", table.name());
        self.scratch.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(row)).map(drop)
    }
}
