//! A rotation's row: begun by its first event, moved by the others, never removed.

use super::super::columns::{Json, Micros, Word};
use super::super::sql::Column;
use super::Histories;
use crate::domain::{Entry, Event, TargetId, TargetRecord, of_a_target, of_no_target};

/// Writes the step that the entry makes, if it makes one; `record` is the target's record after it.
pub(super) fn write(
    histories: &impl Histories,
    seq: u64,
    entry: &Entry,
    target: &TargetId,
    record: &TargetRecord,
) -> rusqlite::Result<()> {
    let Some(step) = entry.event.transition() else { return Ok(()) };
    let always: [Column<'_>; 2] = [("state", &step.to.as_str()), ("seq", &seq)];
    let at = Micros(entry.at);
    let sent_at = record.rotation.as_ref().and_then(|rotation| rotation.sent_at()).map(Micros);

    let begin = |columns: &[Column<'_>]| {
        let first: [Column<'_>; 2] = [("actor", &entry.actor.to_string()), ("began_at", &at)];
        histories.begin_rotation(target, step.id, &[&always[..], &first, columns].concat())
    };
    let go_on = |columns: &[Column<'_>]| match histories.move_rotation(target, step.id, &[&always, columns].concat())? {
        true => Ok(()),
        // The fold let the step pass, so the row that it starts from must be there.
        false => Err(rusqlite::Error::StatementChangedRows(0)),
    };
    // A precheck can end an attempt that has no row yet.
    let end = |due_at: Micros, columns: &[Column<'_>]| {
        let columns = [columns, &[("ended_at", &at)]].concat();
        match histories.move_rotation(target, step.id, &[&always, &columns[..]].concat())? {
            true => Ok(()),
            false => begin(&[&columns[..], &[("due_at", &due_at)]].concat()),
        }
    };

    match &entry.event {
        Event::RotationIntended { due_at, key_before, looked_at, .. } => begin(&[
            ("due_at", &Micros(*due_at)),
            ("key_before", &key_before.as_str()),
            ("looked_at", &Micros(*looked_at)),
            ("intended_at", &at),
        ]),
        Event::RotationSending { .. } => {
            let looked_at = record.rotation.as_ref().map(|rotation| Micros(rotation.looked_at));
            go_on(&[("sent_at", &sent_at), ("failure", &None::<String>), ("looked_at", &looked_at)])
        }
        Event::RotationReplyLost { failure, .. } => go_on(&[("sent_at", &sent_at), ("failure", &Json(failure))]),
        Event::RotationAccepted { status, .. } => {
            go_on(&[("sent_at", &sent_at), ("accepted_at", &at), ("accepted", status)])
        }
        Event::RotationUnconfirmed { failure, retry_at, .. } => {
            go_on(&[("ended_at", &at), ("failure", &Json(failure)), ("retry_at", &Micros(*retry_at))])
        }
        Event::RotationWithdrawn { why, .. } => go_on(&[("ended_at", &at), ("why", why)]),
        Event::RotationDone { due_at, how, key_before, key_after, .. } => end(
            Micros(*due_at),
            &[
                ("how", &how.as_str()),
                ("key_before", &key_before.as_str()),
                ("key_after", &key_after.as_str()),
                ("retry_at", &None::<Micros>),
            ],
        ),
        Event::RotationFailed { due_at, stage, failure, retry_at, .. } => end(
            Micros(*due_at),
            &[("stage", &Word(*stage)), ("failure", &Json(failure)), ("retry_at", &Micros(*retry_at))],
        ),
        Event::TargetFound { .. } | Event::TargetChanged { .. } | of_a_target!(..) | of_no_target!() => Ok(()),
    }
}
