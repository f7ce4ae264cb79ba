//! The life of one key: where it was in use, from when to when, and what took its place.

use rusqlite::Row;

use super::columns::{Columns, Micros, Word};
use super::reader::{ReadError, Reader};
use crate::domain::{KeyId, KeyLife, KeyUse, TargetId, TargetName};

impl Reader {
    /// Every time that a target took the key into use, in order.
    pub fn life_of(&self, key: &KeyId) -> Result<Vec<KeyLife>, ReadError> {
        let mut lives = self.conn.prepare(
            "SELECT key.*, name, (SELECT next.id FROM key AS next
               WHERE next.target = key.target AND next.came_seq > key.came_seq ORDER BY next.came_seq LIMIT 1) AS replaced_by
             FROM key JOIN target ON target.id = key.target WHERE key.id = ? ORDER BY came_seq",
        )?;
        Ok(lives.query_map([key.as_str()], life)?.collect::<rusqlite::Result<_>>()?)
    }
}

fn life(row: &Row<'_>) -> rusqlite::Result<KeyLife> {
    let replaced_by = row.get::<_, Option<String>>("replaced_by")?.map(KeyId::new);
    key_life(row, TargetName::new(row.get::<_, String>("name")?), replaced_by)
}

/// The life of a row of the table `key`, with what is not in it.
pub(super) fn key_life(row: &impl Columns, name: TargetName, replaced_by: Option<KeyId>) -> rusqlite::Result<KeyLife> {
    let target = TargetId::new(row.get::<String>("target")?);
    Ok(KeyLife { target, name, used: key_use(row)?, rotation: row.get("rotation")?, replaced_by })
}

pub(super) fn key_use(row: &impl Columns) -> rusqlite::Result<KeyUse> {
    Ok(KeyUse {
        id: KeyId::new(row.get::<String>("id")?),
        not_before: row.time("not_before")?,
        first_seen: row.get::<Micros>("first_seen")?.0,
        last_seen: row.get::<Micros>("last_seen")?.0,
        replaced_at: row.time("replaced_at")?,
        came: row.get::<Word<_>>("how")?.0,
    })
}
