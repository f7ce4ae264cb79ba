//! Every column that records tell, compared by two verifiers over the stories that a target can live.

use rekeyd::domain::{Caller, KeyChange, Refusal};
use rekeyd::store::VerifyError;
use rusqlite::Connection;
use rusqlite::types::Value;

use super::verifiers::{ALONE, Scene, answer, python};
use super::*;

/// What can happen to targets, in an order that the state machine permits: some stories, each ending with other columns set.
fn lives() -> Vec<Entry> {
    let by = Caller { uid: 1000, gid: 1000, pid: 7, user: Some("eva".into()), login: None };
    let first = RotationId { slot: 1, attempt: 1 };
    let second = RotationId { attempt: 2, ..first };
    let found = |name: &str| {
        let event = Event::TargetFound { description: target(name), listing: Listing::Eligible };
        [event, Event::KeySeen { target: id(name), key: "a".into(), looked_at: Some(at(1)) }]
    };
    let sent = |name: &str, rotation: RotationId, key: &str| {
        let (target, due_at) = (id(name), at(2));
        let intended = Event::RotationIntended {
            target: target.clone(),
            rotation,
            due_at,
            key_before: key.into(),
            looked_at: at(3),
        };
        [intended, Event::RotationSending { target, rotation, looked_at: Some(at(4)) }]
    };
    let unconfirmed = |name: &str, rotation| Event::RotationUnconfirmed {
        target: id(name),
        rotation,
        failure: failure(Reason::Unchanged),
        retry_at: at(900),
    };
    let done = |name: &str, rotation, before: &str, after: &str| Event::RotationDone {
        target: id(name),
        rotation,
        due_at: at(2),
        how: How::Rotated,
        key_before: before.into(),
        key_after: after.into(),
        last_seen: at(4),
        looked_at: Some(at(5)),
    };
    let failed = |name: &str, rotation, scope| Event::RotationFailed {
        target: id(name),
        rotation,
        due_at: at(2),
        stage: Stage::Put,
        failure: Failure { scope, ..failure(Reason::ServerError) },
        retry_at: at(60),
    };
    let changed = |name: &str, change, before: &str, after: &str| Event::KeyChanged {
        target: id(name),
        change,
        before: before.into(),
        after: after.into(),
        last_seen: at(6),
        not_before: Some(at(7)),
        first_seen: at(6),
        suspect: None,
        looked_at: None,
    };
    let missed = |slot, closed| Event::SlotMissed {
        target: id("asked"),
        slot,
        due_at: at(2),
        windows: 1,
        opened_at: at(3),
        closed_at: at(closed),
        why: "busy".into(),
    };
    let asked =
        |overrides| Event::RotationRequested { target: id("asked"), reason: "CHG-1".into(), by: by.clone(), overrides };
    let mut events = Vec::new();

    // Given up, asked for, in quarantine.
    events.extend(found("asked"));
    events.push(failed("asked", first, Scope::Target));
    events.extend([asked(false), asked(true), asked(false), missed(1, 5), missed(7, 8)]);
    events.extend([(1, 50), (8, 60)].map(|(slot, until)| Event::SlotHeld {
        target: id("asked"),
        slot,
        due_at: at(2),
        freeze: "yearend".into(),
        reason: "closing".into(),
        until: at(until),
    }));
    events.extend(sent("asked", second, "a"));
    events.push(Event::RotationAccepted { target: id("asked"), rotation: second, status: 200 });
    events.push(unconfirmed("asked", second));
    let (target_id, quarantine) = (id("asked"), failure(Reason::Unchanged));
    events.push(Event::TargetQuarantined { target: target_id, attempts: 2, failure: quarantine });

    // Rearmed; the second of two that were given up acts, and the first one may yet. Then a regression; gone.
    events.extend(found("rearmed"));
    events.extend(sent("rearmed", first, "a"));
    events.push(unconfirmed("rearmed", first));
    events.push(Event::TargetQuarantined { target: id("rearmed"), attempts: 1, failure: failure(Reason::Unchanged) });
    events.push(Event::TargetRearmed { target: id("rearmed"), reason: "CHG-2".into(), by: Some(by.clone()) });
    events.extend(sent("rearmed", second, "a"));
    events.extend([unconfirmed("rearmed", second), done("rearmed", second, "a", "b")]);
    events.push(failed("rearmed", RotationId { slot: 2, attempt: 1 }, Scope::Manager));
    events.push(changed("rearmed", KeyChange::Regression, "b", "a"));
    events.push(Event::KeyRedated { target: id("rearmed"), not_before: None, first_seen: at(5) });
    events.push(Event::TargetGone { target: id("rearmed"), listings: 3 });

    // A regression under an open rotation keeps the slot; then an intent that is withdrawn, and looks that fail.
    events.extend(found("regressed"));
    events.extend(sent("regressed", first, "a"));
    events.push(changed("regressed", KeyChange::Regression, "a", "z"));
    events.push(failed("regressed", first, Scope::Target));
    events.extend(sent("regressed", second, "z").into_iter().take(1));
    events.push(Event::RotationWithdrawn { target: id("regressed"), rotation: second, why: "paused".into() });
    events.push(Event::ObservationFailing { target: id("regressed"), failure: failure(Reason::TimedOut) });

    // What was given up acts late, or another's change answers the slot and the next one is answered by us.
    events.extend(found("late"));
    events.extend(sent("late", first, "a"));
    events.extend([unconfirmed("late", first), done("late", first, "a", "b")]);
    events.extend(found("foreign"));
    events.extend(sent("foreign", first, "a"));
    events.extend([unconfirmed("foreign", first), changed("foreign", KeyChange::Foreign, "a", "f")]);
    let next = RotationId { slot: 2, attempt: 1 };
    events.extend(sent("foreign", next, "f"));
    events.push(done("foreign", next, "f", "g"));

    // Refused and readable, failing and read again, gone and back, described anew.
    events.extend(found("refused"));
    events.push(Event::ObservationFailing { target: id("refused"), failure: failure(Reason::TimedOut) });
    events.push(Event::ObservationRecovered { target: id("refused") });
    events.push(Event::TargetGone { target: id("refused"), listings: 3 });
    events.push(Event::TargetReturned { target: id("refused") });
    for _ in 0..2 {
        events.push(Event::TargetReadable { target: id("refused") });
        let refusal = Refusal::OtherMechanism { code: "X".into() };
        events.push(Event::TargetRefused { target: id("refused"), refusal });
    }
    let described = Target { cluster: "renamed".into(), ..target("refused") };
    let listing = Listing::BackupNotStarted { status: "STOPPED".into() };
    events.push(Event::TargetChanged { description: described, listing });

    // Half a second in: a fraction must read as it is written.
    let time = |seconds| at(seconds) + SignedDuration::from_millis(500);
    let entries = events.into_iter().zip(10..);
    entries.map(|(event, seconds)| Entry { at: time(seconds), actor: Actor::Schedule, event }).collect()
}

/// Promise: what the daemon loads of its targets at a start is what the records say, column by column.
#[tokio::test]
async fn both_compare_every_column_that_records_tell() {
    let scene = Scene::new().await;
    scene.replace([9; 32], vec![lives()]).await;
    let (one, other) = scene.both(&[]);
    assert_eq!((&one["verified"], &one["tables"]), (&true.into(), &true.into()), "{one} {other}");
    assert_eq!(other["tables"], serde_json::json!(["target", "rotation", "key", "policy"]), "{other}");

    let db = Connection::open(scene.database()).unwrap();
    let mut compared = 0;
    for (table, row) in [
        ("target", "id LIKE '%asked'"),
        ("rotation", "target LIKE '%asked' AND attempt = 2"),
        ("key", "target LIKE '%rearmed' AND id = 'b'"),
    ] {
        let (rowid, seq): (i64, u64) = db
            .query_row(&format!("SELECT rowid, seq FROM {table} WHERE {row}"), [], |row| row.try_into())
            .unwrap_or_else(|error| panic!("{row}: {error}"));
        let columns: Vec<(String, String)> = db
            .prepare("SELECT name, type FROM pragma_table_info(?)")
            .unwrap()
            .query_map([table], |row| row.try_into())
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        for (column, kind) in columns {
            let of_row = format!("FROM {table} WHERE rowid = {rowid}");
            let was: Value = db.query_row(&format!("SELECT {column} {of_row}"), [], |row| row.get(0)).unwrap();
            let other = if kind == "INTEGER" { format!("coalesce({column}, 0) + 1") } else { "'\"x\"'".to_owned() };
            tamper(&db, &format!("UPDATE {table} SET {column} = {other} WHERE rowid = {rowid}"));
            let first = Reader::open(&scene.path("state")).unwrap().verify(|_, _| {});
            let second = answer(python(ALONE, &[scene.database().to_str().unwrap()]));
            if column == "key_last_seen" {
                // Kept up to date without records.
                assert!(first.is_ok() && second["verified"] == true, "{second}");
            } else {
                let Err(VerifyError::Broken(first)) = first else { panic!("{table}.{column}: {first:?}") };
                assert_eq!(
                    (&second["verified"], &second["record"]),
                    (&false.into(), &first.seq.into()),
                    "{column}: {second}"
                );
                assert!(column == "seq" || first.seq == seq, "{column}: {first}");
            }
            db.execute(&format!("UPDATE {table} SET {column} = ? WHERE rowid = {rowid}"), [was]).unwrap();
            compared += 1;
        }
    }
    assert!(compared > 60, "{compared}");
    assert_eq!(scene.both(&[]).0["verified"], true);
}
