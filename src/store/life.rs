//! The life of one key: where it was in use, from when to when, and what took its place.

use rusqlite::Row;

use super::columns::{Micros, Word};
use super::load::time;
use super::reader::{ReadError, Reader};
use crate::domain::{KeyId, KeyLife, KeyUse, TargetName};

impl Reader {
    /// Every time that a target took the key into use, in order.
    pub fn life_of(&self, key: &KeyId) -> Result<Vec<KeyLife>, ReadError> {
        self.lives("WHERE key.id = ?1 ORDER BY came_seq", Some(key.as_str()))
    }

    /// The same of every key: target by target, in order.
    pub fn lives_of_all_keys(&self) -> Result<Vec<KeyLife>, ReadError> {
        self.lives("WHERE ?1 IS NULL ORDER BY name, target.id, came_seq", None)
    }

    fn lives(&self, wanted: &str, key: Option<&str>) -> Result<Vec<KeyLife>, ReadError> {
        let sql = format!(
            "SELECT key.*, name, (SELECT next.id FROM key AS next
               WHERE next.target = key.target AND next.came_seq > key.came_seq ORDER BY next.came_seq LIMIT 1) AS replaced_by
             FROM key JOIN target ON target.id = key.target {wanted}"
        );
        Ok(self.conn.prepare(&sql)?.query_map([key], life)?.collect::<rusqlite::Result<_>>()?)
    }
}

fn life(row: &Row<'_>) -> rusqlite::Result<KeyLife> {
    Ok(KeyLife {
        name: TargetName::new(row.get::<_, String>("name")?),
        used: key_use(row)?,
        rotation: row.get("rotation")?,
        replaced_by: row.get::<_, Option<String>>("replaced_by")?.map(KeyId::new),
    })
}

pub(super) fn key_use(row: &Row<'_>) -> rusqlite::Result<KeyUse> {
    Ok(KeyUse {
        id: KeyId::new(row.get::<_, String>("id")?),
        not_before: time(row, "not_before")?,
        first_seen: row.get::<_, Micros>("first_seen")?.0,
        last_seen: row.get::<_, Micros>("last_seen")?.0,
        replaced_at: time(row, "replaced_at")?,
        came: row.get::<_, Word<_>>("how")?.0,
    })
}
