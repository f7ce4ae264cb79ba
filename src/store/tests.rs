//! The store from inside: what its callers cannot reach.

use jiff::SignedDuration;
use rusqlite::Connection;

use super::chain::Record;
use super::writer::append_record;
use super::*;
use crate::domain::{Actor, Event, Listing, RotationFilter, RotationId, Target, sample};

fn target(replica_set: &str) -> Target {
    Target { cluster_id: replica_set.into(), replica_set: replica_set.into(), ..sample::target() }
}

fn at(seconds: i64) -> Timestamp {
    "2026-05-01T06:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

fn entry(seconds: i64, event: Event) -> Entry {
    Entry { at: at(seconds), actor: Actor::Schedule, event }
}

fn found(replica_set: &str) -> Entry {
    entry(0, Event::TargetFound { description: target(replica_set), listing: Listing::Eligible })
}

#[tokio::test]
async fn what_was_recorded_is_known_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), [7; 32]).unwrap();
    assert_eq!(store.head(), Head { seq: 0, hash: [7; 32] });
    let id = target("rs0").id();
    let rotation = RotationId { slot: 1, attempt: 1 };
    store
        .record(vec![found("rs0"), entry(1, Event::KeySeen { target: id.clone(), key: "a".into(), looked_at: None })])
        .await
        .unwrap();
    store
        .record(vec![entry(
            2,
            Event::RotationIntended {
                target: id.clone(),
                rotation,
                due_at: at(0),
                key_before: "a".into(),
                looked_at: at(2),
            },
        )])
        .await
        .unwrap();
    store.seen_again(vec![(id.clone(), at(3))]).await.unwrap();
    let (fleet, head) = (store.fleet(), store.head());
    assert_eq!(head.seq, 3);
    assert_eq!(fleet.targets[&id].key.as_ref().unwrap().last_seen, at(3));
    store.close().await.unwrap();
    drop(store);
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let store = Store::open(dir.path(), [8; 32]).unwrap();
    assert_eq!(store.fleet(), fleet);
    assert_eq!(store.head(), head);
}

/// Promise: what the caller was told is durable is in the ledger. A trigger that quietly leaves a record out is no error to the
/// database.
#[tokio::test]
async fn a_record_that_a_trigger_keeps_out_is_not_taken_for_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), [7; 32]).unwrap();
    let deaf =
        "CREATE TRIGGER deaf BEFORE INSERT ON ledger WHEN NEW.kind = 'target_found' BEGIN SELECT RAISE(IGNORE); END";
    Connection::open(dir.path().join(DATABASE)).unwrap().execute_batch(deaf).unwrap();
    let error = store.record(vec![found("rs0")]).await.unwrap_err();
    assert!(matches!(&error, JournalError::Io(why) if why.contains("trigger")), "{error}");
    assert_eq!((store.head().seq, store.fleet().targets.len()), (0, 0));
}

/// Two daemons on one state directory would rotate twice, also after someone tidied the lock file away.
#[test]
fn the_lock_outlives_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let _first = Store::open(dir.path(), [7; 32]).unwrap();
    std::fs::remove_file(dir.path().join(LOCK)).unwrap();
    assert!(matches!(Store::open(dir.path(), [7; 32]), Err(OpenError::Held { .. })));
}

/// A ledger begun anew knows no key: with `first_rotation = "now"` it would rotate the whole fleet again.
#[test]
fn a_lost_database_is_not_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE);
    drop(Store::open(dir.path(), [7; 32]).unwrap());
    std::fs::remove_file(&path).unwrap();
    for _ in 0..2 {
        let refusal = Store::open(dir.path(), [8; 32]).err().expect("it is refused").to_string();
        assert!(refusal.contains("backup") && refusal.contains(LOCK), "{refusal}");
        assert!(!path.exists());
    }
    std::fs::write(&path, "").unwrap();
    assert!(Store::open(dir.path(), [8; 32]).is_err(), "an emptied one was begun anew");
    std::fs::remove_file(dir.path().join(LOCK)).unwrap();
    assert_eq!(Store::open(dir.path(), [8; 32]).unwrap().head(), Head { seq: 0, hash: [8; 32] });
}

/// A disk that is not mounted must not be stood in for by a new directory in its place.
#[test]
fn only_the_last_directory_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let refusal = Store::open(&dir.path().join("mount/state"), [7; 32]).err().expect("it is refused").to_string();
    assert!(refusal.starts_with(&dir.path().join("mount").display().to_string()), "{refusal}");
    Store::open(&dir.path().join("state"), [7; 32]).unwrap();
}

/// Without a write-ahead log and a sync at every commit, an acknowledged record may be lost: better no start.
#[test]
fn a_file_system_without_a_log_is_refused() {
    let refusal = schema::connect(Path::new(":memory:")).expect_err("it is refused");
    assert!(matches!(&refusal, OpenError::Unfit { setting: "journal_mode", found } if found == "memory"), "{refusal}");
}

/// `history --json | less` must neither hold up the writer's checkpoints nor read on when the pipe is closed; pages must
/// join without a gap, also inside of one moment.
#[tokio::test]
async fn a_slow_reader_of_rotations_holds_nothing_up() {
    const TARGETS: usize = 1_100;
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), [7; 32]).unwrap();
    let names: Vec<String> = (0..TARGETS).map(|number| format!("rs{number}")).collect();
    let intended = |name: &String| {
        let rotation = RotationId { slot: 1, attempt: 1 };
        let (target, key_before) = (target(name).id(), KeyId::new("a"));
        let seen = Event::KeySeen { target: target.clone(), key: key_before.clone(), looked_at: None };
        let intent = Event::RotationIntended { target, rotation, due_at: at(0), key_before, looked_at: at(2) };
        [found(name), entry(1, seen), entry(2, intent)]
    };
    store.record(names.iter().flat_map(intended).collect()).await.unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let other = schema::connect(&dir.path().join(DATABASE)).unwrap();
    other.busy_timeout(Duration::ZERO).unwrap();
    let mut shown = Vec::new();
    let walked = reader.each_rotation(&RotationFilter::default(), None, |_, row| {
        if shown.is_empty() {
            let held: bool = other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).unwrap();
            assert!(!held, "the log is held while a row is shown");
        }
        shown.push(row.name.to_string());
        std::ops::ControlFlow::<()>::Continue(())
    });
    assert!(walked.unwrap().is_continue());
    let newest_first: Vec<_> = names.iter().rev().map(|name| target(name).name().to_string()).collect();
    assert_eq!(shown, newest_first);
    let mut count = 0;
    let walked = reader.each_rotation(&RotationFilter::default(), Some(1_050), |_, _| {
        count += 1;
        if count == 3 { std::ops::ControlFlow::Break("gone") } else { std::ops::ControlFlow::Continue(()) }
    });
    assert_eq!((walked.unwrap(), count), (std::ops::ControlFlow::Break("gone"), 3));
    let limited = reader.rotations(&RotationFilter::default(), Some(1_050)).unwrap();
    assert_eq!(limited.len(), 1_050);
}

/// Verification reads two tables at once, beside a daemon at work: were they of different moments, it would find fault with a
/// sound ledger.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_connections_see_one_moment() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(dir.path(), [7; 32]).unwrap());
    let words = || entry(0, Event::PolicySet { policy: "default".into(), words: "every 30d".into() });
    store.record(vec![words()]).await.unwrap();
    let writer = Arc::clone(&store);
    let writing = tokio::spawn(async move {
        loop {
            writer.record(vec![words()]).await.unwrap();
        }
    });
    let reader = Reader::open(dir.path()).unwrap();
    for _ in 0..500 {
        let (moment, twin) = reader.one_moment().unwrap();
        assert_eq!(load::head(&moment).unwrap(), load::head(&twin).unwrap());
    }
    writing.abort();
}

/// More records than a few pages hold, each page read and checked apart from the others.
const MANY: u64 = 4_500;

/// A ledger of so many records, with its guards off.
fn many() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    drop(Store::open(dir.path(), [7; 32]).unwrap());
    let db = Connection::open(dir.path().join(DATABASE)).unwrap();
    let triggers = "SELECT 'DROP TRIGGER ' || name FROM sqlite_schema WHERE type = 'trigger'";
    let guards: Vec<String> =
        db.prepare(triggers).and_then(|mut guards| guards.query_map([], |row| row.get(0))?.collect()).unwrap();
    db.execute_batch(&format!("BEGIN; {}", guards.join(";"))).unwrap();
    let mut head = Head { seq: 0, hash: [7; 32] };
    for number in 1..=MANY {
        let record = Record::following(&head, &entry(0, Event::DaemonStopped { parked: number }));
        append_record(&db, &record).unwrap();
        head = record.head();
    }
    db.execute_batch("COMMIT").unwrap();
    dir
}

/// The last record that is shown of a ledger to which `sql` was done, and where it is broken.
fn broken_by(ledger: &tempfile::TempDir, sql: &str, kept: Vec<Head>) -> (u64, Broken) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(DATABASE);
    std::fs::copy(ledger.path().join(DATABASE), &file).unwrap();
    Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    let mut shown = 0;
    let demands = Demands { kept, ..Demands::default() };
    let verified = Reader::open_file(&file).unwrap().verify_against(&demands, |done, _| {
        shown = done.max(shown);
        std::ops::ControlFlow::Continue(())
    });
    match verified {
        Err(VerifyError::Broken(broken)) => (shown, broken),
        other => panic!("{sql}: {other:?}"),
    }
}

/// Wherever a record stands in its page, it is named, and what stands before it is looked at first.
#[test]
fn the_first_bad_record_of_many_is_named_wherever_it_stands() {
    let ledger = many();
    for seq in [1, 2, 1024, 1025, 1026, 3000, 4096, 4097, MANY] {
        let later = (seq + 1100).min(MANY);
        for sql in [
            format!("UPDATE ledger SET actor = 'nobody' WHERE seq = {seq}"),
            format!("UPDATE ledger SET prev_hash = zeroblob(32) WHERE seq = {seq}"),
            format!("UPDATE ledger SET actor = CAST(x'ff' AS TEXT) WHERE seq = {seq}"),
            format!("UPDATE ledger SET actor = 'nobody' WHERE seq IN ({seq}, {later})"),
        ] {
            let (shown, broken) = broken_by(&ledger, &sql, Vec::new());
            assert_eq!((broken.seq, shown), (seq, seq - 1), "{sql}: {broken}");
        }
    }
    for (first, last) in [(1, 1), (1024, 1024), (1025, 2048), (1500, 4200), (4097, 4499)] {
        let sql = format!("DELETE FROM ledger WHERE seq BETWEEN {first} AND {last}");
        let (shown, broken) = broken_by(&ledger, &sql, Vec::new());
        assert_eq!((broken.seq, shown), (first, first - 1), "{sql}: {broken}");
        assert_eq!(broken.why, format!("is missing; {} follows on {}", last + 1, first - 1));
    }
    // A head that was kept stops at its record, too; what is sound but for its guards is walked to its end.
    for seq in [1, 1024, 1025, 3000, MANY] {
        let (shown, broken) = broken_by(&ledger, "", vec![Head { seq, hash: [1; 32] }]);
        assert_eq!((broken.seq, shown), (seq, seq - 1), "{broken}");
    }
    let (shown, broken) = broken_by(&ledger, "", Vec::new());
    assert_eq!((shown, broken.seq, broken.why.contains("trigger")), (MANY, MANY, true), "{broken}");
}

/// A backup outlives the version that made it: when its disk has died, there is often no other way back.
#[test]
fn a_backup_from_before_an_upgrade_is_restored() {
    let dir = tempfile::tempdir().unwrap();
    let (file, state) = (dir.path().join("backup.db"), dir.path().join("state"));
    let mut old = Connection::open(&file).unwrap();
    let before = refinery::Target::Version(i32::try_from(schema::newest() - 1).unwrap());
    schema::migrations::runner().set_grouped(true).set_target(before).run(&mut old).unwrap();
    schema::identify(&old, [7; 32]).unwrap();
    let record = Record::following(&Head { seq: 0, hash: [7; 32] }, &entry(0, Event::DaemonStopped { parked: 0 }));
    append_record(&old, &record).unwrap();
    drop(old);
    assert_eq!(restore(&file, &state).unwrap().head, record.head());
    assert_eq!(Store::open(&state, [8; 32]).unwrap().head(), record.head());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing else is left behind");
}
