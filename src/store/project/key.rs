//! A target's keys: one row for each time that it took one into use.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::super::columns::Micros;
use super::super::sql::Column;
use super::Histories;
use crate::domain::{Entry, Event, RotationId, TargetId, TargetRecord};

/// How a key came into use.
enum Came {
    FirstSeen,
    Changed(Timestamp),
    Rotated(RotationId, Timestamp),
}

/// Writes the change of key that the entry makes, or the look at it, if it makes one; `record` is the target's record after it.
pub(super) fn write(
    histories: &impl Histories,
    seq: u64,
    entry: &Entry,
    target: &TargetId,
    record: &TargetRecord,
) -> rusqlite::Result<()> {
    let came = if let Event::KeySeen { .. } = entry.event {
        Came::FirstSeen
    } else if let Event::KeyChanged { last_seen, .. } = entry.event {
        Came::Changed(last_seen)
    } else if let Event::RotationDone { rotation, last_seen, .. } = entry.event {
        Came::Rotated(rotation, last_seen)
    } else if let Event::RotationIntended { .. } | Event::RotationSending { looked_at: Some(_), .. } = entry.event {
        return histories.see_key(target, record);
    } else if let Event::KeyRedated { not_before, first_seen, .. } = entry.event {
        let dates: [Column<'_>; 4] = [
            ("not_before", &not_before.map(Micros)),
            ("first_seen", &Micros(first_seen)),
            ("last_seen", &Micros(entry.at)),
            ("seq", &seq),
        ];
        return histories.change_key(target, &dates);
    } else {
        return Ok(());
    };
    if let Came::Changed(last_seen) | Came::Rotated(_, last_seen) = came {
        histories.change_key(
            target,
            &[("replaced_at", &Micros(entry.at)), ("last_seen", &Micros(last_seen)), ("seq", &seq)],
        )?;
    }
    let key = record.key.as_ref().expect("each of these events leaves a key");
    let rotation = if let Came::Rotated(id, _) = came { Some(id.to_string()) } else { None };
    histories.add_key(
        target,
        &[
            ("came_seq", &seq),
            ("id", &key.id.as_str()),
            ("not_before", &key.not_before.map(Micros)),
            ("first_seen", &Micros(key.first_seen)),
            ("last_seen", &Micros(key.last_seen)),
            ("how", &key.came.as_str()),
            ("rotation", &rotation),
            ("seq", &seq),
        ],
    )
}

/// Notes in the row of the target's key when it was last seen.
pub(super) fn write_last_seen(conn: &Connection, target: &TargetId, record: &TargetRecord) -> rusqlite::Result<()> {
    let Some(key) = &record.key else { return Ok(()) };
    conn.prepare_cached("UPDATE key SET last_seen = ? WHERE target = ? AND replaced_at IS NULL")?
        .execute(params![Micros(key.last_seen), target.as_str()])
        .map(drop)
}
