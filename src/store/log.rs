//! Records of the ledger that pass a filter, the newest first, as they stand.

use std::ops::ControlFlow;

use jiff::Timestamp;
use rusqlite::Connection;

use super::chain::Record;
use super::columns::Micros;
use super::question::{Question, Shape, page_by_page};
use super::reader::{ReadError, Reader};
use crate::domain::{Cursor, LedgerFilter, LedgerRow, TargetName};

const SHAPE: Shape = Shape {
    select: "SELECT ledger.*, name FROM ledger LEFT JOIN target ON target.id = ledger.target",
    time: "at",
    place: "ledger.seq",
    order: "at DESC, seq DESC",
};

/// Pages of records, one behind the other.
pub(super) struct Log {
    question: Question,
    behind: Cursor,
}

impl Log {
    pub(super) fn wanted(conn: &Connection, filter: &LedgerFilter) -> rusqlite::Result<Self> {
        let mut question = Question::about(SHAPE);
        question.ask_targets(conn, "ledger.target", filter.target.as_deref(), filter.project.as_deref())?;
        if filter.target.is_some() || filter.project.is_some() {
            question.ask("ledger.target <> ?", "");
        }
        if !filter.kinds.is_empty() {
            question.ask_one_of("kind", filter.kinds.clone());
        }
        if let Some(actor) = &filter.actor {
            question.ask("actor = ?", actor.clone());
        }
        if let Some(since) = filter.since {
            question.ask("at >= ?", Micros(since));
        }
        let until = Cursor::before(filter.until.unwrap_or(Timestamp::MAX));
        let behind = filter.behind.filter(|cursor| cursor.at < until.at).unwrap_or(until);
        Ok(Self { question, behind })
    }

    /// The next at most `limit` records.
    pub(super) fn next(&mut self, conn: &Connection, limit: u32) -> rusqlite::Result<Vec<(Cursor, LedgerRow)>> {
        let page = self.question.page(conn, self.behind, limit, |row| {
            let name: Option<String> = row.get("name")?;
            let row = LedgerRow { name: name.map(TargetName::new), ..Record::from_row(row)?.into() };
            Ok((Cursor { at: row.at, place: i64::try_from(row.seq).unwrap_or(i64::MAX) }, row))
        })?;
        if let Some((cursor, _)) = page.last() {
            self.behind = *cursor;
        }
        Ok(page)
    }
}

impl From<Record> for LedgerRow {
    fn from(record: Record) -> Self {
        let Record { seq, at, kind, actor, target, rotation, payload, prev_hash, hash } = record;
        Self { seq, at, kind, actor, target, name: None, rotation, payload, prev_hash, hash }
    }
}

impl Reader {
    /// Shows each record that passes the filter, newest first, with its place, until `each` breaks off. Holds a page of
    /// them, and the database only while it reads one.
    pub fn each_record<B>(
        &self,
        filter: &LedgerFilter,
        each: impl FnMut(Cursor, LedgerRow) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, ReadError> {
        let mut log = Log::wanted(&self.conn, filter)?;
        Ok(page_by_page(filter.limit, |limit| log.next(&self.conn, limit), each)?)
    }
}
