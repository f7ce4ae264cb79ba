//! A receiver's rows: whether it can be reached, and what it was told.

use rusqlite::{Connection, params};

use super::super::columns::Micros;
use super::super::sql::upsert;
use crate::domain::{Event, ReceiverName, ReceiverRecord};

pub(super) fn write(
    conn: &Connection,
    seq: u64,
    event: &Event,
    name: &ReceiverName,
    record: &ReceiverRecord,
) -> rusqlite::Result<()> {
    let failing = record.failing.as_ref();
    upsert(
        conn,
        "receiver",
        &[("name", &name.as_str())],
        &[
            ("failing_since", &failing.map(|(since, _)| Micros(*since))),
            ("error", &failing.map(|(_, error)| error)),
            ("seq", &seq),
        ],
    )?;
    let Event::AlertsDelivered { firing, resolved, .. } = event else { return Ok(()) };
    for saying in firing {
        let (kind, subject) = saying.subject.parts();
        upsert(
            conn,
            "told",
            &[
                ("receiver", &name.as_str()),
                ("alert", &saying.alert.as_str()),
                ("subject_kind", &kind),
                ("subject", &subject),
            ],
            &[("since", &Micros(saying.since)), ("name", &saying.name), ("seq", &seq)],
        )?;
    }
    for saying in resolved {
        let (kind, subject) = saying.subject.parts();
        conn.prepare_cached("DELETE FROM told WHERE receiver = ? AND alert = ? AND subject_kind = ? AND subject = ?")?
            .execute(params![name.as_str(), saying.alert.as_str(), kind, subject])?;
    }
    Ok(())
}

pub(super) fn remove(conn: &Connection, name: &ReceiverName) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM told WHERE receiver = ?")?.execute([name.as_str()])?;
    conn.prepare_cached("DELETE FROM receiver WHERE name = ?")?.execute([name.as_str()]).map(drop)
}
