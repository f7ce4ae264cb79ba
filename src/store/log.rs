//! Records of the ledger that pass a filter, the newest first, as they stand.

use std::ops::ControlFlow;

use rusqlite::{Connection, Row};

use super::chain::Record;
use super::question::{Question, Shape};
use super::reader::{ReadError, Reader};
use crate::domain::{Cursor, LedgerFilter, LedgerRow, TargetName};

static SHAPE: Shape<LedgerRow> = Shape {
    select: "SELECT ledger.*, name FROM ledger LEFT JOIN target ON target.id = ledger.target",
    target: "ledger.target",
    time: "at",
    place: "ledger.seq",
    order: "at DESC, seq DESC",
    read,
};

/// The records that pass the filter, page by page.
pub(super) fn question(conn: &Connection, filter: &LedgerFilter) -> rusqlite::Result<Question<LedgerRow>> {
    let LedgerFilter { selection, kinds } = filter;
    let mut question = Question::about(&SHAPE, conn, selection)?;
    if selection.target.is_some() || selection.project.is_some() {
        question.ask("ledger.target <> ?", "");
    }
    if !kinds.is_empty() {
        question.ask_one_of("kind", kinds.clone());
    }
    Ok(question)
}

fn read(row: &Row<'_>) -> rusqlite::Result<(Cursor, LedgerRow)> {
    let name: Option<String> = row.get("name")?;
    let row = LedgerRow { name: name.map(TargetName::new), ..Record::from_row(row)?.into() };
    Ok((Cursor { at: row.at, place: i64::try_from(row.seq).unwrap_or(i64::MAX) }, row))
}

impl From<Record> for LedgerRow {
    fn from(record: Record) -> Self {
        let Record { seq, at, kind, actor, target, rotation, payload, prev_hash, hash } = record;
        Self { seq, at, kind, actor, target, name: None, rotation, payload, prev_hash, hash }
    }
}

impl Reader {
    /// Shows each record that passes the filter, newest first and at most `limit`, with its place, until `each` breaks off.
    /// Holds a page of them, and the database only while it reads one.
    pub fn each_record<B>(
        &self,
        filter: &LedgerFilter,
        limit: Option<u32>,
        each: impl FnMut(Cursor, LedgerRow) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, ReadError> {
        Ok(question(&self.conn, filter)?.each(&self.conn, limit, each)?)
    }
}
