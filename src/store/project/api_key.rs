//! The API keys that a manager lists, a row each, and which of its lists can be read.

use rusqlite::{Connection, params};

use super::super::columns::{Json, Micros};
use super::super::sql::upsert;
use crate::domain::{ApiKeyId, ApiKeyRecord, Entry, Event, ManagerName};

/// Writes the key's row, or takes it out.
pub(super) fn write(
    conn: &Connection,
    seq: u64,
    manager: &ManagerName,
    id: &ApiKeyId,
    record: Option<&ApiKeyRecord>,
) -> rusqlite::Result<()> {
    let Some(ApiKeyRecord { key, first_seen, empowered_at }) = record else {
        return conn
            .prepare_cached("DELETE FROM api_key WHERE manager = ? AND id = ?")?
            .execute(params![manager.as_str(), id.as_str()])
            .map(drop);
    };
    upsert(
        conn,
        "api_key",
        &[("manager", &manager.as_str()), ("id", &id.as_str())],
        &[
            ("public_key", &key.public_key),
            ("description", &key.description),
            ("grants", &Json(&key.grants)),
            ("lists", &Json(&key.lists)),
            ("first_seen", &Micros(*first_seen)),
            ("empowered_at", &empowered_at.map(Micros)),
            ("seq", &seq),
        ],
    )
}

/// Writes that a list can be read or not, if the entry says so.
pub(super) fn write_list(conn: &Connection, seq: u64, entry: &Entry) -> rusqlite::Result<()> {
    let (manager, list, failure) = if let Event::ApiKeysRead { manager, list } = &entry.event {
        (manager, list, None)
    } else if let Event::ApiKeysUnread { manager, list, failure } = &entry.event {
        (manager, list, Some(failure))
    } else {
        return Ok(());
    };
    upsert(
        conn,
        "api_key_list",
        &[("manager", &manager.as_str()), ("list", &Json(list))],
        &[("unread_since", &failure.map(|_| Micros(entry.at))), ("failure", &failure.map(Json)), ("seq", &seq)],
    )
}
