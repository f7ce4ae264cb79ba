//! The fold over a ledger, and beside it the rows that the writer would have written.

use std::collections::HashMap;

use rusqlite::Connection;
use rusqlite::types::ToSqlOutput;

use super::page::Sight;
use super::unsettled::{OfTarget, Settled, Shapes, Unsettled};
use super::verify::{Broken, Unread, VerifyError};
use super::{VerifierKey, project, schema};
use crate::domain::{Actor, Entry, Event, Fleet, Folded, TargetId};

/// What follows from the records so far.
///
/// The rows of the two tables that grow with the ledger leave it when they are settled. Those of targets are written at the
/// end, and all others at once, into a database of its own.
pub(super) struct Replay {
    pub(super) scratch: Connection,
    pub(super) fleet: Fleet,
    pub(super) shapes: Shapes,
    /// Rows that were settled and that nobody took yet.
    pub(super) settled: Vec<Settled>,
    /// The newest record about each target, and its rows that still may change.
    targets: HashMap<TargetId, (u64, OfTarget)>,
    /// Records that this version cannot read. From the first on nothing is folded.
    pub(super) unread: Option<Unread>,
}

impl Replay {
    pub(super) fn begin() -> Result<Self, VerifyError> {
        let scratch = schema::connect_scratch().map_err(VerifyError::Scratch)?;
        scratch.execute_batch("BEGIN")?;
        let (fleet, shapes) = (Fleet::default(), Shapes::of(&scratch)?);
        Ok(Self { scratch, fleet, shapes, settled: Vec::new(), targets: HashMap::new(), unread: None })
    }

    /// Takes the next record in. Returns its entry, unless it is unknown or follows on an unknown one.
    pub(super) fn take(&mut self, record: &Sight<'_>) -> Result<Option<Entry>, VerifyError> {
        let (Ok(event), Some(actor)) = (record.event(), Actor::from_word(record.actor)) else {
            let first = || Unread { first: record.seq, kind: record.kind.to_owned(), records: 0 };
            self.unread.get_or_insert_with(first).records += 1;
            return Ok(None);
        };
        // Without the unknown ones a later record may seem impossible, and the tables cannot be foretold.
        if self.unread.is_some() {
            return Ok(None);
        }
        let broken = |why: String| Broken { seq: record.seq, why };
        if let Event::CheckpointKeySet { key } = &event {
            key.parse::<VerifierKey>().map_err(|error| broken(error.to_string()))?;
        }
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
                let (newest, rows) = self.targets.entry(id.clone()).or_default();
                *newest = seq;
                let rows = Unsettled::of(rows, &self.shapes, &mut self.settled);
                let written = project::write_histories(&rows, seq, &entry, &id, record);
                rows.settle(record);
                written
            }
            Some(Folded::Rest(change)) => project::write_rest(&self.scratch, seq, &entry, &change),
        };
        written.map_err(|error| broken(format!("its consequences do not fit the tables: {error}")))?;
        Ok(Some(entry))
    }

    /// Settles every row, in the order of targets: there are no more records.
    pub(super) fn settle_all(&mut self) {
        for id in self.fleet.targets.keys() {
            if let Some((_, rows)) = self.targets.get_mut(id) {
                rows.settle_all(&mut self.settled);
            }
        }
    }

    /// The same, and writes the rows of targets.
    pub(super) fn finish(&mut self) -> rusqlite::Result<()> {
        self.settle_all();
        for (id, record) in &self.fleet.targets {
            let newest = self.targets.get(id).map_or(0, |(newest, _)| *newest);
            project::write_target(&self.scratch, newest, id, record)?;
        }
        Ok(())
    }

    /// Writes a settled row beside the others.
    pub(super) fn insert(&self, settled: &Settled) -> rusqlite::Result<()> {
        let Settled { table, row } = settled;
        let columns = self.shapes.columns(*table).join(", ");
        let values = row.values().map(ToSqlOutput::Borrowed);
        let places = vec!["?"; values.len()].join(", ");
        let sql = format!("INSERT INTO {} ({columns}) VALUES ({places})", table.name());
        self.scratch.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(values)).map(drop)
    }
}
