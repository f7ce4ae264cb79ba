//! A target's row: its whole record, but for the rotation in hand, which has a row of its own.

use rusqlite::{Connection, params};

use super::super::columns::{Json, Micros, Word};
use super::super::sql::{Column, update, upsert};
use crate::domain::{TargetId, TargetRecord};

/// Writes the whole row.
pub(in super::super) fn write_target(
    conn: &Connection,
    seq: u64,
    id: &TargetId,
    record: &TargetRecord,
) -> rusqlite::Result<()> {
    let (target, name) = (&record.target, record.target.name());
    let described: [Column<'_>; 11] = [
        ("name", &name.as_str()),
        ("manager", &target.manager.as_str()),
        ("project_id", &target.project_id.as_str()),
        ("project", &target.project),
        ("cluster_id", &target.cluster_id.as_str()),
        ("cluster", &target.cluster),
        ("replica_set", &target.replica_set),
        ("role", &Word(target.role)),
        ("mechanism", &Word(target.mechanism)),
        ("listing", &Json(&record.listing)),
        ("found_at", &Micros(record.found_at)),
    ];
    with_state(seq, record, |state| upsert(conn, "target", &[("id", &id.as_str())], &[&described, state].concat()))
}

/// Writes what events change in the row of a target that is described as before.
pub(super) fn write_state(conn: &Connection, seq: u64, id: &TargetId, record: &TargetRecord) -> rusqlite::Result<()> {
    match with_state(seq, record, |state| update(conn, "target", &[("id", &id.as_str())], state))? {
        true => Ok(()),
        // The fold knows the target, so its row must be there.
        false => Err(rusqlite::Error::StatementChangedRows(0)),
    }
}

/// Has `write` write the columns that say what has become of the target.
fn with_state<T>(seq: u64, record: &TargetRecord, write: impl FnOnce(&[Column<'_>]) -> T) -> T {
    let (key, governance) = (record.key.as_ref(), record.governance.as_ref());
    write(&[
        ("gone_since", &record.gone_since.map(Micros)),
        ("policy", &governance.map(|governance| governance.policy.as_str())),
        ("alert_after", &governance.map(|governance| governance.alert_after.as_secs())),
        ("refusal", &record.refusal.as_ref().map(Json)),
        ("key_id", &key.map(|key| key.id.as_str())),
        ("key_not_before", &key.and_then(|key| key.not_before).map(Micros)),
        ("key_first_seen", &key.map(|key| Micros(key.first_seen))),
        ("key_last_seen", &key.map(|key| Micros(key.last_seen))),
        ("regressed_at", &record.regressed_at.map(Micros)),
        ("unread_since", &record.unread.as_ref().map(|unread| Micros(unread.since))),
        ("unread", &record.unread.as_ref().map(|unread| Json(&unread.failure))),
        ("slot", &record.slot),
        ("attempt", &record.attempt),
        ("failures", &record.failures),
        ("unconfirmed", &record.unconfirmed.as_ref().map(Json)),
        ("setback", &record.setback.as_ref().map(|(failure, _)| Json(failure))),
        ("retry_at", &record.setback.as_ref().map(|(_, retry_at)| Micros(*retry_at))),
        ("missed_until", &record.missed_until.map(Micros)),
        ("held_until", &record.held_until.map(Micros)),
        ("quarantined_since", &record.quarantine.as_ref().map(|quarantine| Micros(quarantine.since))),
        ("quarantine", &record.quarantine.as_ref().map(|quarantine| Json(&quarantine.failure))),
        ("request", &record.request.as_ref().map(Json)),
        ("last_rotation_at", &record.last_rotation_at.map(Micros)),
        ("seq", &seq),
    ])
}

/// Notes in the target's row what a step of a rotation changes there: what else it changes is in the rotation's row.
pub(super) fn step(conn: &Connection, seq: u64, id: &TargetId, record: &TargetRecord) -> rusqlite::Result<()> {
    conn.prepare_cached("UPDATE target SET attempt = ?, key_last_seen = ?, seq = ? WHERE id = ?")?
        .execute(params![record.attempt, record.key.as_ref().map(|key| Micros(key.last_seen)), seq, id.as_str()])
        .map(drop)
}

/// Notes in the target's row when its key was last seen.
pub(super) fn write_last_seen(conn: &Connection, id: &TargetId, record: &TargetRecord) -> rusqlite::Result<()> {
    let Some(key) = &record.key else { return Ok(()) };
    conn.prepare_cached("UPDATE target SET key_last_seen = ? WHERE id = ?")?
        .execute(params![Micros(key.last_seen), id.as_str()])
        .map(drop)
}
