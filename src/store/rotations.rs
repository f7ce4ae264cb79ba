//! Rotations that pass a filter, the newest first.

use std::ops::ControlFlow;

use jiff::Timestamp;
use rusqlite::{Connection, Row};

use super::columns::{Json, Micros, Word};
use super::load::{json, time};
use super::question::{Question, page_by_page};
use super::reader::{ReadError, Reader};
use crate::domain::{
    ClusterId, Cursor, KeyId, ManagerName, ProjectId, RotationFilter, RotationId, RotationRow, TargetId, TargetName,
};

/// Pages of rotations, one behind the other.
pub(super) struct Rotations {
    question: Question,
    behind: Cursor,
}

impl Rotations {
    pub(super) fn wanted(conn: &Connection, filter: &RotationFilter) -> rusqlite::Result<Self> {
        let mut question = Question::default();
        question.ask_targets(conn, "rotation.target", filter.target.as_deref(), filter.project.as_deref())?;
        if let Some(key) = &filter.key {
            question.ask("(key_before = ? OR key_after = ?)", key.as_str().to_owned());
        }
        if !filter.states.is_empty() {
            question.ask("state IN (SELECT value FROM json_each(?))", Json(filter.states.clone()));
        }
        if let Some(actor) = &filter.actor {
            question.ask("actor = ?", actor.clone());
        }
        if let Some(since) = filter.since {
            question.ask("began_at >= ?", Micros(since));
        }
        let until = Cursor::before(filter.until.unwrap_or(Timestamp::MAX));
        let behind = filter.behind.filter(|cursor| cursor.at < until.at).unwrap_or(until);
        Ok(Self { question, behind })
    }

    /// The next at most `limit` rows, each with its place.
    pub(super) fn next(&mut self, conn: &Connection, limit: u32) -> rusqlite::Result<Vec<(Cursor, RotationRow)>> {
        const SELECT: &str =
            "SELECT rotation.*, rotation.rowid AS place, name, manager, project_id, cluster_id, mechanism
             FROM rotation JOIN target ON target.id = rotation.target";
        let page = self.question.page(conn, SELECT, ("began_at", "rotation.rowid"), self.behind, limit, |row| {
            let row_and_place = (rotation_row(row)?, row.get("place")?);
            Ok((Cursor { at: row_and_place.0.began_at, place: row_and_place.1 }, row_and_place.0))
        })?;
        if let Some((cursor, _)) = page.last() {
            self.behind = *cursor;
        }
        Ok(page)
    }
}

impl Reader {
    /// The rotations that pass the filter, newest first.
    pub fn rotations(&self, filter: &RotationFilter) -> Result<Vec<RotationRow>, ReadError> {
        let mut rows = Vec::new();
        let _: ControlFlow<()> = self.each_rotation(filter, |_, row| {
            rows.push(row);
            ControlFlow::Continue(())
        })?;
        Ok(rows)
    }

    /// Shows each rotation that passes the filter, newest first, with its place, until `each` breaks off.
    ///
    /// Holds a page of them, and the database only while it reads one: `each` may wait for people. What begins meanwhile
    /// is not shown.
    pub fn each_rotation<B>(
        &self,
        filter: &RotationFilter,
        each: impl FnMut(Cursor, RotationRow) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, ReadError> {
        let mut rotations = Rotations::wanted(&self.conn, filter)?;
        Ok(page_by_page(filter.limit, |limit| rotations.next(&self.conn, limit), each)?)
    }
}

pub(super) fn rotation_row(row: &Row<'_>) -> rusqlite::Result<RotationRow> {
    let key = |column| row.get::<_, Option<String>>(column).map(|id| id.map(KeyId::new));
    Ok(RotationRow {
        target: TargetId::new(row.get::<_, String>("target")?),
        name: TargetName::new(row.get::<_, String>("name")?),
        manager: ManagerName::new(row.get::<_, String>("manager")?),
        project_id: ProjectId::new(row.get::<_, String>("project_id")?),
        cluster_id: ClusterId::new(row.get::<_, String>("cluster_id")?),
        mechanism: row.get::<_, Word<_>>("mechanism")?.0,
        id: RotationId { slot: row.get("slot")?, attempt: row.get("attempt")? },
        actor: row.get("actor")?,
        state: row.get::<_, Word<_>>("state")?.0,
        how: row.get::<_, Option<Word<_>>>("how")?.map(|Word(how)| how),
        due_at: row.get::<_, Micros>("due_at")?.0,
        began_at: row.get::<_, Micros>("began_at")?.0,
        key_before: key("key_before")?,
        key_after: key("key_after")?,
        intended_at: time(row, "intended_at")?,
        sent_at: time(row, "sent_at")?,
        accepted_at: time(row, "accepted_at")?,
        ended_at: time(row, "ended_at")?,
        stage: row.get::<_, Option<Word<_>>>("stage")?.map(|Word(stage)| stage),
        failure: json(row, "failure")?,
        retry_at: time(row, "retry_at")?,
        why: row.get("why")?,
        seq: row.get("seq")?,
    })
}
