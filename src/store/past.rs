//! What the listener asks of the past: one target's, for its page, and pages of rotations and records.

use rusqlite::{Connection, params};

use super::life::key_use;
use super::rotations::rotation_row;
use super::{Store, log, rotations, schema};
use crate::domain::{Cursor, LedgerFilter, LedgerRow, RotationFilter, RotationRow, TargetId};
use crate::ports::{Archive, ArchiveError, Page, Past};

impl Archive for Store {
    fn past(&self, target: &TargetId, limit: u32) -> Result<Past, ArchiveError> {
        // A person looks at one page at a time: rare enough for a connection of its own, which the writer never waits for.
        self.read(|conn| past(conn, target, limit))
    }

    fn rotations(&self, filter: &RotationFilter, limit: u32) -> Result<Page<RotationRow>, ArchiveError> {
        self.read(|conn| Ok(page(rotations::question(conn, filter)?.next(conn, limit)?, limit)))
    }

    fn records(&self, filter: &LedgerFilter, limit: u32) -> Result<Page<LedgerRow>, ArchiveError> {
        self.read(|conn| Ok(page(log::question(conn, filter)?.next(conn, limit)?, limit)))
    }
}

impl Store {
    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, ArchiveError> {
        schema::connect_read_only(&self.path)
            .and_then(|conn| read(&conn))
            .map_err(|error| ArchiveError(error.to_string()))
    }
}

/// A page that is full may have another behind it.
fn page<T>(rows: Vec<(Cursor, T)>, limit: u32) -> Page<T> {
    let next = rows.last().filter(|_| rows.len() == limit as usize).map(|(cursor, _)| *cursor);
    Page { rows: rows.into_iter().map(|(_, row)| row).collect(), next }
}

fn past(conn: &Connection, target: &TargetId, limit: u32) -> rusqlite::Result<Past> {
    let moment = conn.unchecked_transaction()?;
    let rotations = moment
        .prepare(
            "SELECT rotation.*, name, manager, project_id, cluster_id, mechanism
             FROM rotation CROSS JOIN target ON target.id = rotation.target
             WHERE rotation.target = ? ORDER BY began_at DESC, rotation.rowid DESC LIMIT ?",
        )?
        .query_map(params![target.as_str(), limit], rotation_row)?
        .collect::<rusqlite::Result<_>>()?;
    let keys = moment
        .prepare(
            "SELECT id, not_before, first_seen, last_seen, replaced_at, how
             FROM key WHERE target = ? ORDER BY came_seq DESC LIMIT ?",
        )?
        .query_map(params![target.as_str(), limit], |row| key_use(row))?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Past { rotations, keys })
}
