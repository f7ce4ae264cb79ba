//! What an event changes: in the fleet and, beside the ledger, in the tables. Writing and verifying share this code.

mod api_key;
mod histories;
mod key;
mod receiver;
mod rotation;
mod target;

pub(super) use histories::Histories;
pub(super) use target::write_target;

use rusqlite::{Connection, params};

use super::columns::{Json, Micros};
use super::fault::Fault;
use super::sql::upsert;
use crate::domain::{
    AlertKind, AlertSubject, Change, Entry, Event, Fleet, ManagerName, ManagerRecord, TargetId, TargetRecord,
};

/// What an entry changed in the fleet.
pub(super) struct Applied {
    /// The change, for other copies of the fleet.
    pub(super) change: Change,
    /// The change that undoes it.
    pub(super) undo: Change,
}

/// Notes that the target's key was last seen as the record says.
pub(super) fn write_last_seen(conn: &Connection, id: &TargetId, record: &TargetRecord) -> rusqlite::Result<()> {
    target::write_last_seen(conn, id, record)?;
    key::write_last_seen(conn, id, record)
}

/// Takes an entry into the fleet and the tables; `seq` is its number in the ledger.
///
/// On an error the fleet is as before, and the tables may be half-written: the caller rolls back.
pub(super) fn apply(conn: &Connection, fleet: &mut Fleet, seq: u64, entry: &Entry) -> Result<Option<Applied>, Fault> {
    let Some(change) = fleet.consequence(entry.at, &entry.event)? else { return Ok(None) };
    if let Change::Target(id, Some(record)) = &change {
        if let Event::RotationIntended { .. }
        | Event::RotationSending { .. }
        | Event::RotationAccepted { .. }
        | Event::RotationReplyLost { .. } = entry.event
        {
            target::step(conn, seq, id, record)?;
        } else if let Event::TargetFound { .. } | Event::TargetChanged { .. } = entry.event {
            write_target(conn, seq, id, record)?;
        } else {
            target::write_state(conn, seq, id, record)?;
        }
        write_histories(conn, seq, entry, id, record)?;
    } else {
        write_rest(conn, seq, entry, &change)?;
    }
    let undo = fleet.adopt(change.clone());
    Ok(Some(Applied { change, undo }))
}

/// Writes what an entry about a target makes of its rotations and keys; `record` is the target's record after it.
pub(super) fn write_histories(
    histories: &impl Histories,
    seq: u64,
    entry: &Entry,
    target: &TargetId,
    record: &TargetRecord,
) -> rusqlite::Result<()> {
    rotation::write(histories, seq, entry, target, record)?;
    key::write(histories, seq, entry, target, record)
}

/// Writes a change that is not a target's.
pub(super) fn write_rest(conn: &Connection, seq: u64, entry: &Entry, change: &Change) -> rusqlite::Result<()> {
    match change {
        Change::Manager(name, Some(record)) => {
            write_manager(conn, seq, name, record)?;
            write_gap(conn, seq, &entry.event)?;
            write_unread(conn, seq, entry)?;
            api_key::write_list(conn, seq, entry)
        }
        Change::ApiKey(manager, id, record) => api_key::write(conn, seq, manager, id, record.as_deref()),
        Change::Alert(kind, subject, Some(_)) => raise_alert(conn, seq, entry, *kind, subject),
        Change::Alert(kind, subject, None) => clear_alert(conn, *kind, subject),
        Change::Policy(name, Some(words)) => upsert(
            conn,
            "policy",
            &[("name", &name.as_str())],
            &[("words", words), ("since", &Micros(entry.at)), ("seq", &seq)],
        ),
        Change::Pause(scope, Some(pause)) => upsert(
            conn,
            "pause",
            &[("scope", scope)],
            &[
                ("since", &Micros(pause.since)),
                ("until", &Micros(pause.until)),
                ("reason", &pause.reason),
                ("caller", &Json(&pause.by)),
                ("seq", &seq),
            ],
        ),
        Change::Pause(scope, None) => {
            conn.prepare_cached("DELETE FROM pause WHERE scope = ?")?.execute(params![scope]).map(drop)
        }
        Change::Freeze(name, Some(ordered)) => upsert(
            conn,
            "freeze",
            &[("name", name)],
            &[
                ("scope", &ordered.freeze.scope.to_string()),
                ("begins_at", &Micros(ordered.freeze.span.start)),
                ("ends_at", &Micros(ordered.freeze.span.end)),
                ("reason", &ordered.freeze.reason),
                ("ordered_at", &Micros(ordered.ordered_at)),
                ("caller", &Json(&ordered.by)),
                ("ended", &ordered.ended),
                ("seq", &seq),
            ],
        ),
        Change::Freeze(name, None) => {
            conn.prepare_cached("DELETE FROM freeze WHERE name = ?")?.execute(params![name]).map(drop)
        }
        Change::Receiver(name, Some(record)) => receiver::write(conn, seq, &entry.event, name, record),
        Change::Receiver(name, None) => receiver::remove(conn, name),
        // Read off the ledger itself.
        Change::ClockStep(_) => Ok(()),
        Change::Target(..) | Change::Manager(_, None) | Change::Policy(_, None) => {
            unreachable!("a target's changes are written elsewhere, and no event removes a manager or a policy")
        }
    }
}

fn write_manager(conn: &Connection, seq: u64, name: &ManagerName, record: &ManagerRecord) -> rusqlite::Result<()> {
    let (outage, credential) = (record.outage.as_ref(), record.credential.as_ref());
    upsert(
        conn,
        "manager",
        &[("name", &name.as_str())],
        &[
            ("failing_since", &outage.map(|outage| Micros(outage.since))),
            ("failure", &outage.map(|outage| Json(&outage.failure))),
            ("public_key", &credential.map(|credential| credential.public_key.as_str())),
            ("public_key_since", &credential.map(|credential| Micros(credential.since))),
            ("seq", &seq),
        ],
    )
}

fn write_gap(conn: &Connection, seq: u64, event: &Event) -> rusqlite::Result<()> {
    if let Event::GapFound { manager, gap } = event {
        let key: [super::sql::Column<'_>; 4] = [
            ("manager", &manager.as_str()),
            ("project_id", &gap.project_id.as_str()),
            ("project", &gap.project),
            ("cluster", &gap.cluster),
        ];
        upsert(conn, "gap", &key, &[("seq", &seq)])?;
    } else if let Event::GapClosed { manager, gap } = event {
        conn.prepare_cached("DELETE FROM gap WHERE manager = ? AND project_id = ? AND project = ? AND cluster = ?")?
            .execute(params![manager.as_str(), gap.project_id.as_str(), gap.project, gap.cluster])?;
    }
    Ok(())
}

fn write_unread(conn: &Connection, seq: u64, entry: &Entry) -> rusqlite::Result<()> {
    if let Event::ProjectUnread { manager, project, failure } = &entry.event {
        let key: [super::sql::Column<'_>; 2] = [("manager", &manager.as_str()), ("project", project)];
        let failure = Json(failure);
        upsert(conn, "unread_project", &key, &[("since", &Micros(entry.at)), ("failure", &failure), ("seq", &seq)])?;
    } else if let Event::ProjectRead { manager, project } = &entry.event {
        conn.prepare_cached("DELETE FROM unread_project WHERE manager = ? AND project = ?")?
            .execute(params![manager.as_str(), project])?;
    }
    Ok(())
}

fn raise_alert(
    conn: &Connection,
    seq: u64,
    entry: &Entry,
    kind: AlertKind,
    subject: &AlertSubject,
) -> rusqlite::Result<()> {
    let words = if let Event::AlertRaised { words, .. } = &entry.event { words.as_str() } else { "" };
    let (subject_kind, subject) = subject.parts();
    upsert(
        conn,
        "alert",
        &[("alert", &kind.as_str()), ("subject_kind", &subject_kind), ("subject", &subject)],
        &[("since", &Micros(entry.at)), ("words", &words), ("seq", &seq)],
    )
}

fn clear_alert(conn: &Connection, kind: AlertKind, subject: &AlertSubject) -> rusqlite::Result<()> {
    let (subject_kind, subject) = subject.parts();
    conn.prepare_cached("DELETE FROM alert WHERE alert = ? AND subject_kind = ? AND subject = ?")?
        .execute(params![kind.as_str(), subject_kind, subject])
        .map(drop)
}
