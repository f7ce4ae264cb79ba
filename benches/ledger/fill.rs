//! Makes a long ledger in little time: its beginning by the store, the rest as plain rows, with no index to keep until the
//! end. A verification of it shows that the rows are those that the store would have written.

use std::path::Path;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use rekeyd::domain::{Actor, Entry, Event, How, KeyId, Listing, Mechanism, Role, RotationId, Target};
use rekeyd::policy::Policy;
use rekeyd::ports::{Head, Journal};
use rekeyd::store::chain::Record;
use rekeyd::store::{DATABASE, Reader, Store, was_begun};
use rusqlite::{Connection, Statement, params};

pub(crate) const TARGETS: u64 = 1_000;
/// A rotation leaves so many records.
pub(crate) const STEPS: u64 = 4;
/// Before the first rotation: a policy, and for each target that it was found and its key seen.
const FIRST: u64 = 1 + 2 * TARGETS;

/// Makes a ledger with so many rotations of each target, unless it is there. Says how long that took.
pub(crate) fn made(dir: &Path, slots: u64, step: SignedDuration) -> String {
    let wanted = FIRST + slots * TARGETS * STEPS;
    if was_begun(dir) {
        // One that an earlier version made is brought up to date.
        drop(Store::open(dir, [1; 32]).unwrap());
    }
    if Reader::open(dir).is_ok_and(|reader| reader.head().unwrap().seq == wanted) {
        return ", found".to_owned();
    }
    let began = Instant::now();
    tokio::runtime::Runtime::new().unwrap().block_on(begin(dir));
    let head = Reader::open(dir).unwrap().head().unwrap();
    let conn = Connection::open(dir.join(DATABASE)).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -200000; BEGIN",
    )
    .unwrap();
    let guards = put_away_guards(&conn);
    let end = fill(&conn, head, slots, step);
    assert_eq!(end, wanted);
    guards.iter().for_each(|sql| conn.execute_batch(sql).unwrap());
    conn.execute_batch("COMMIT").unwrap();
    drop(conn);
    format!(", made in {:.0} s", began.elapsed().as_secs_f64())
}

async fn begin(dir: &Path) {
    let store = Store::open(dir, [1; 32]).unwrap();
    let policy = Policy::with_defaults("default".into());
    let words = Event::PolicySet { policy: "default".into(), words: policy.to_string() };
    store.record(vec![entry(start(), words)]).await.unwrap();
    for number in 0..TARGETS {
        let description = target(number);
        let seen = Event::KeySeen { target: description.id(), key: key(number, 0), looked_at: None };
        let found = Event::TargetFound { description, listing: Listing::Eligible };
        store.record([found, seen].map(|event| entry(start(), event)).into()).await.unwrap();
    }
    store.close().await.unwrap();
}

/// Takes triggers and indexes away, and returns what makes them again.
fn put_away_guards(conn: &Connection) -> Vec<String> {
    let guards: Vec<(String, String, String)> = conn
        .prepare(
            "SELECT type, name, sql FROM sqlite_schema WHERE sql IS NOT NULL
             AND (type = 'trigger' OR type = 'index' AND tbl_name IN ('ledger', 'rotation', 'key'))",
        )
        .unwrap()
        .query_map([], |row| row.try_into())
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    guards.iter().for_each(|(kind, name, _)| conn.execute_batch(&format!("DROP {kind} {name}")).unwrap());
    guards.into_iter().map(|(_, _, sql)| sql).collect()
}

fn fill(conn: &Connection, mut head: Head, slots: u64, step: SignedDuration) -> u64 {
    let mut into_ledger = conn.prepare("INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)").unwrap();
    let mut into_rotation = conn
        .prepare(
            "INSERT INTO rotation (target, slot, attempt, actor, state, how, due_at, began_at, key_before, key_after,
               looked_at, intended_at, sent_at, accepted_at, accepted, ended_at, seq)
             VALUES (?1, ?2, 1, 'schedule', 'done', 'rotated', ?3, ?3, ?4, ?5, ?3, ?3, ?3, ?6, 200, ?7, ?8)",
        )
        .unwrap();
    let mut into_key = conn
        .prepare(
            "INSERT INTO key (target, came_seq, id, not_before, first_seen, last_seen, replaced_at, how, rotation, seq)
             VALUES (?, ?, ?, ?, ?, ?, ?, 'rotated', ?, ?)",
        )
        .unwrap();
    let ids: Vec<String> = (0..TARGETS).map(|number| target(number).id().to_string()).collect();
    for slot in 1..=slots {
        for (number, id) in (0..TARGETS).zip(&ids) {
            let came = rotate(&mut into_ledger, &mut head, (number, slot), step);
            let at = |seconds: u64| moment(number, slot, step, seconds).as_microsecond();
            let (before, after) = (key(number, slot - 1), key(number, slot));
            into_rotation
                .execute(params![id, slot, at(0), before.as_str(), after.as_str(), at(1), at(3), came])
                .unwrap();
            let next = |seconds| moment(number, slot + 1, step, seconds).as_microsecond();
            let (last_seen, replaced_at, newest) = match slot < slots {
                true => (next(0), Some(next(3)), came + TARGETS * STEPS),
                false => (at(3), None, came),
            };
            let rotation = format!("{slot}.1");
            let row = params![id, came, after.as_str(), at(0), at(3), last_seen, replaced_at, rotation, newest];
            into_key.execute(row).unwrap();
            if slot == 1 {
                let first =
                    "UPDATE key SET replaced_at = ?, last_seen = ?, seq = ? WHERE target = ? AND how = 'first_seen'";
                conn.execute(first, params![at(3), at(0), came, id]).unwrap();
            }
            if slot == slots {
                conn.execute(
                    "UPDATE target SET slot = ?2, key_id = ?3, key_not_before = ?4, key_first_seen = ?5, key_last_seen = ?5,
                     last_rotation_at = ?5, seq = ?6 WHERE id = ?1",
                    params![id, slot + 1, after.as_str(), at(0), at(3), came],
                )
                .unwrap();
            }
        }
    }
    head.seq
}

/// Adds the records of a rotation; returns the number of the last.
fn rotate(into_ledger: &mut Statement<'_>, head: &mut Head, (number, slot): (u64, u64), step: SignedDuration) -> u64 {
    let (target, rotation) = (target(number).id(), RotationId { slot, attempt: 1 });
    let (key_before, key_after) = (key(number, slot - 1), key(number, slot));
    let at = |seconds| moment(number, slot, step, seconds);
    let (due_at, looked_at, last_seen) = (at(0), at(0), at(0));
    let events = [
        Event::RotationIntended { target: target.clone(), rotation, due_at, key_before: key_before.clone(), looked_at },
        Event::RotationSending { target: target.clone(), rotation, looked_at: None },
        Event::RotationAccepted { target: target.clone(), rotation, status: 200 },
        Event::RotationDone {
            target: target.clone(),
            rotation,
            due_at,
            how: How::Rotated,
            key_before,
            key_after,
            last_seen,
            looked_at: None,
        },
    ];
    for (event, seconds) in events.into_iter().zip([0, 0, 1, 3]) {
        let (kind, payload) = event.to_record();
        let mut record = Record {
            seq: head.seq + 1,
            at: at(seconds),
            kind,
            actor: Actor::Schedule.to_string(),
            target: target.to_string(),
            rotation: rotation.to_string(),
            payload,
            prev_hash: head.hash,
            hash: [0; 32],
        };
        record.hash = record.expected_hash();
        let Record { seq, at, kind, actor, target, rotation, payload, prev_hash, hash } = &record;
        let row = params![seq, at.as_microsecond(), kind, actor, target, rotation, payload, prev_hash, hash];
        into_ledger.execute(row).unwrap();
        *head = record.head();
    }
    head.seq
}

fn moment(number: u64, slot: u64, step: SignedDuration, seconds: u64) -> Timestamp {
    start() + step * i32::try_from(slot).unwrap() + SignedDuration::from_secs(i64::try_from(number + seconds).unwrap())
}

pub(crate) fn start() -> Timestamp {
    "2016-01-01T00:00:00Z".parse().unwrap()
}

fn entry(at: Timestamp, event: Event) -> Entry {
    Entry { at, actor: Actor::Schedule, event }
}

pub(crate) fn key(number: u64, slot: u64) -> KeyId {
    format!("6f9619ff-8b86-{number:04x}-b42d-{slot:012x}").as_str().into()
}

pub(crate) fn target(number: u64) -> Target {
    Target {
        manager: "emea".into(),
        project_id: "5f00000000000000000000aa".into(),
        project: "billing".to_owned(),
        cluster_id: format!("6a{number:022x}").as_str().into(),
        cluster: format!("cluster-{:03}", number / 4),
        replica_set: format!("shard-{}", number % 4),
        role: Role::Shard,
        mechanism: Mechanism::BackupKey,
    }
}
