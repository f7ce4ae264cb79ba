//! Rotations that pass a filter, the newest first.

use std::ops::ControlFlow;

use rusqlite::{Connection, Row};

use super::columns::{Columns, Json, Micros, Word};
use super::question::{Question, Shape};
use super::reader::{ReadError, Reader};
use crate::domain::{
    ClusterId, Cursor, KeyId, ManagerName, Mechanism, ProjectId, RotationFilter, RotationId, RotationRow, Target,
    TargetId, TargetName,
};

/// The order of the join is given: without statistics the planner might walk all rotations of each target, and sort them.
static SHAPE: Shape<RotationRow> = Shape {
    select: "SELECT rotation.*, rotation.rowid AS place, name, manager, project_id, cluster_id, mechanism
             FROM rotation CROSS JOIN target ON target.id = rotation.target",
    target: "rotation.target",
    time: "began_at",
    place: "rotation.rowid",
    order: "began_at DESC, place DESC",
    read,
};

/// The rotations that pass the filter, page by page.
pub(super) fn question(conn: &Connection, filter: &RotationFilter) -> rusqlite::Result<Question<RotationRow>> {
    let RotationFilter { selection, key, states } = filter;
    let mut question = Question::about(&SHAPE, conn, selection)?;
    if let Some(key) = key {
        question.ask("(key_before = ? OR key_after = ?)", key.as_str().to_owned());
    }
    if !states.is_empty() {
        question.ask("state IN (SELECT value FROM json_each(?))", Json(states.clone()));
    }
    Ok(question)
}

fn read(row: &Row<'_>) -> rusqlite::Result<(Cursor, RotationRow)> {
    let rotation = rotation_row(row)?;
    Ok((Cursor { at: rotation.began_at, place: row.get("place")? }, rotation))
}

impl Reader {
    /// The rotations that pass the filter, newest first, at most `limit`.
    pub fn rotations(&self, filter: &RotationFilter, limit: Option<u32>) -> Result<Vec<RotationRow>, ReadError> {
        let mut rows = Vec::new();
        let _: ControlFlow<()> = self.each_rotation(filter, limit, |_, row| {
            rows.push(row);
            ControlFlow::Continue(())
        })?;
        Ok(rows)
    }

    /// Shows each rotation that passes the filter, newest first and at most `limit`, with its place, until `each` breaks off.
    ///
    /// Holds a page of them, and the database only while it reads one: `each` may wait for people. What begins meanwhile
    /// is not shown.
    pub fn each_rotation<B>(
        &self,
        filter: &RotationFilter,
        limit: Option<u32>,
        each: impl FnMut(Cursor, RotationRow) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, ReadError> {
        Ok(question(&self.conn, filter)?.each(&self.conn, limit, each)?)
    }
}

pub(super) fn rotation_row(row: &Row<'_>) -> rusqlite::Result<RotationRow> {
    let text = |column| row.get::<_, String>(column);
    let about = About {
        name: TargetName::new(text("name")?),
        manager: ManagerName::new(text("manager")?),
        project_id: ProjectId::new(text("project_id")?),
        cluster_id: ClusterId::new(text("cluster_id")?),
        mechanism: row.get::<_, Word<_>>("mechanism")?.0,
    };
    rotation_of(row, about)
}

/// What the target of a rotation is called.
pub(super) struct About {
    pub(super) name: TargetName,
    pub(super) manager: ManagerName,
    pub(super) project_id: ProjectId,
    pub(super) cluster_id: ClusterId,
    pub(super) mechanism: Mechanism,
}

impl About {
    pub(super) fn of(target: &Target) -> Self {
        Self {
            name: target.name(),
            manager: target.manager.clone(),
            project_id: target.project_id.clone(),
            cluster_id: target.cluster_id.clone(),
            mechanism: target.mechanism,
        }
    }
}

/// The rotation of a row of the table `rotation`.
pub(super) fn rotation_of(row: &impl Columns, about: About) -> rusqlite::Result<RotationRow> {
    let key = |column| row.get::<Option<String>>(column).map(|id| id.map(KeyId::new));
    let About { name, manager, project_id, cluster_id, mechanism } = about;
    Ok(RotationRow {
        target: TargetId::new(row.get::<String>("target")?),
        name,
        manager,
        project_id,
        cluster_id,
        mechanism,
        id: RotationId { slot: row.get("slot")?, attempt: row.get("attempt")? },
        actor: row.get("actor")?,
        state: row.get::<Word<_>>("state")?.0,
        how: row.get::<Option<Word<_>>>("how")?.map(|Word(how)| how),
        due_at: row.get::<Micros>("due_at")?.0,
        began_at: row.get::<Micros>("began_at")?.0,
        key_before: key("key_before")?,
        key_after: key("key_after")?,
        intended_at: row.time("intended_at")?,
        sent_at: row.time("sent_at")?,
        accepted_at: row.time("accepted_at")?,
        ended_at: row.time("ended_at")?,
        stage: row.get::<Option<Word<_>>>("stage")?.map(|Word(stage)| stage),
        failure: row.json("failure")?,
        retry_at: row.time("retry_at")?,
        why: row.get("why")?,
        seq: row.get("seq")?,
    })
}
