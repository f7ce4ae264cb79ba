//! One target's past, for the page about it.

use std::sync::PoisonError;

use rusqlite::{Connection, params};

use super::columns::{Micros, Word};
use super::load::time;
use super::reader::rotation_row;
use super::{Store, schema};
use crate::domain::{KeyId, KeyUse, TargetId};
use crate::ports::{Anchor, Archive, ArchiveError, Past};

impl Archive for Store {
    fn past(&self, target: &TargetId, limit: u32) -> Result<Past, ArchiveError> {
        // A person looks at one page at a time: rare enough for a connection of its own, which the writer never waits for.
        let read = || past(&schema::connect_read_only(&self.path)?, target, limit);
        read().map_err(|error: rusqlite::Error| ArchiveError(error.to_string()))
    }

    fn anchor(&self) -> Anchor {
        self.shared.published.read().unwrap_or_else(PoisonError::into_inner).anchor.clone()
    }
}

fn past(conn: &Connection, target: &TargetId, limit: u32) -> rusqlite::Result<Past> {
    let moment = conn.unchecked_transaction()?;
    let rotations = moment
        .prepare(
            "SELECT rotation.*, name, manager, project_id, cluster_id, mechanism
             FROM rotation JOIN target ON target.id = rotation.target
             WHERE rotation.target = ? ORDER BY began_at DESC, rotation.rowid DESC LIMIT ?",
        )?
        .query_map(params![target.as_str(), limit], rotation_row)?
        .collect::<rusqlite::Result<_>>()?;
    let keys = moment
        .prepare(
            "SELECT id, not_before, first_seen, last_seen, replaced_at, how
             FROM key WHERE target = ? ORDER BY came_seq DESC LIMIT ?",
        )?
        .query_map(params![target.as_str(), limit], |row| {
            Ok(KeyUse {
                id: KeyId::new(row.get::<_, String>("id")?),
                not_before: time(row, "not_before")?,
                first_seen: row.get::<_, Micros>("first_seen")?.0,
                last_seen: row.get::<_, Micros>("last_seen")?.0,
                replaced_at: time(row, "replaced_at")?,
                came: row.get::<_, Word<_>>("how")?.0,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Past { rotations, keys })
}
