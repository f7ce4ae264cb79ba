//! The ledger on a real disk: its chain, its lock, its durability, and what tampering looks like.

mod backup;
mod bundle;
mod checkpoints;
mod columns;
mod crash;
mod kept;
mod stories;
mod tampering;
mod verifiers;

use std::path::Path;
use std::process::{Command, Output};

use jiff::{SignedDuration, Timestamp};
use rekeyd::domain::{
    Actor, Entry, Event, Failure, How, Listing, Mechanism, Reason, Role, RotationFilter, RotationId, Scope, Selection,
    Stage, State, Target, TargetId, Verdict,
};
use rekeyd::ports::{Journal, JournalError};
use rekeyd::store::{OpenError, ReadError, Reader, Store};

fn target(replica_set: &str) -> Target {
    Target {
        manager: "emea".into(),
        project_id: "5f".into(),
        project: "billing".into(),
        cluster_id: format!("id-{replica_set}").as_str().into(),
        cluster: "ledger".into(),
        replica_set: replica_set.into(),
        role: Role::Shard,
        mechanism: Mechanism::BackupKey,
    }
}

/// So many seconds into the tests' day.
fn at(seconds: i64) -> Timestamp {
    "2026-05-01T06:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

fn entry(seconds: i64, event: Event) -> Entry {
    Entry { at: at(seconds), actor: Actor::Schedule, event }
}

fn failure(reason: Reason) -> Failure {
    let detail = "said the server, \"não\"";
    Failure { status: Some(503), ..Failure::new(reason, Verdict::Transient, Scope::Target, detail) }
}

/// A target is found with key `a`; its first attempt fails, its second is done with key `b`.
fn one_rotation(replica_set: &str, start: i64) -> Vec<Entry> {
    let target = target(replica_set);
    let id = target.id();
    let due_at = at(start);
    let (first, second) = (RotationId { slot: 1, attempt: 1 }, RotationId { slot: 1, attempt: 2 });
    let events = vec![
        Event::TargetFound { description: target, listing: Listing::Eligible },
        Event::KeySeen { target: id.clone(), key: "a".into(), looked_at: None },
        Event::RotationFailed {
            target: id.clone(),
            rotation: first,
            due_at,
            stage: Stage::Precheck,
            failure: failure(Reason::ServerError),
            retry_at: at(start + 60),
        },
        Event::RotationIntended {
            target: id.clone(),
            rotation: second,
            due_at,
            key_before: "a".into(),
            looked_at: at(start + 3),
        },
        Event::RotationSending { target: id.clone(), rotation: second, looked_at: None },
        Event::RotationReplyLost { target: id.clone(), rotation: second, failure: failure(Reason::TimedOut) },
        Event::RotationDone {
            target: id,
            rotation: second,
            due_at,
            how: How::Recovered,
            key_before: "a".into(),
            key_after: "b".into(),
            last_seen: at(start + 3),
            looked_at: None,
        },
    ];
    events.into_iter().zip(start..).map(|(event, seconds)| entry(seconds, event)).collect()
}

fn id(replica_set: &str) -> TargetId {
    target(replica_set).id()
}

/// A command about the state directory `state` in this folder.
fn rekeyd(dir: &Path, arguments: &[&str]) -> Output {
    let config = dir.join("rekeyd.toml");
    std::fs::write(&config, format!("version = 1\nstate_dir = \"{}/state\"\n", dir.display())).unwrap();
    Command::new(env!("CARGO_BIN_EXE_rekeyd")).arg("--config").arg(config).args(arguments).output().unwrap()
}

/// What a determined hand does: opens the file with other tools, removes the guards, and puts them back.
fn tamper(db: &rusqlite::Connection, sql: &str) {
    db.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; BEGIN").unwrap();
    let triggers: Vec<(String, String)> = db
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
        .unwrap()
        .query_map([], |row| row.try_into())
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    for (name, _) in &triggers {
        db.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    db.execute_batch(sql).unwrap();
    for (_, sql) in &triggers {
        db.execute_batch(sql).unwrap();
    }
    db.execute_batch("COMMIT").unwrap();
}

/// The promise of `store::chain`: a stranger with another language computes the same head from the spec alone. The script
/// is the one that ARCHITECTURE.md shows.
#[tokio::test]
async fn a_stranger_verifies_the_chain() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), [9; 32]).unwrap();
    store.record(one_rotation("rs0", 0)).await.unwrap();
    let head = store.head();
    let output = Command::new("python3")
        .args(["-c", &crate::docs::verification_script()])
        .arg(dir.path().join(rekeyd::store::DATABASE))
        .output()
        .expect("python3 runs; install Python 3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let hex: String = head.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), format!("{} {hex}", head.seq));
}

/// Two daemons on one state directory would rotate twice.
#[tokio::test]
async fn a_second_daemon_is_refused_and_told_who_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), [9; 32]).unwrap();
    let Err(OpenError::Held { holder, .. }) = Store::open(dir.path(), [9; 32]) else {
        panic!("the second one was let in");
    };
    assert!(holder.starts_with(&format!("pid {} on ", std::process::id())), "{holder}");
    assert!(holder.contains(", since 2"), "{holder}");
    store.close().await.unwrap();
    assert!(matches!(store.record(one_rotation("rs0", 0)).await, Err(JournalError::Closed)));
    drop(store);
    Store::open(dir.path(), [9; 32]).unwrap();
}

/// The history names keys and servers: it is nobody else's to read.
#[test]
fn files_are_closed_to_others() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let state_dir = dir.path().join("state");
    let _store = Store::open(&state_dir, [9; 32]).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state_dir), 0o700);
    for name in ["rekeyd.db", "rekeyd.db-wal", "rekeyd.db-shm", "rekeyd.lock"] {
        assert_eq!(mode(&state_dir.join(name)), 0o600, "{name}");
    }
}

/// An older program must not write into a newer program's tables.
#[tokio::test]
async fn a_newer_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    Store::open(dir.path(), [9; 32]).unwrap().close().await.unwrap();
    let db = rusqlite::Connection::open(dir.path().join(rekeyd::store::DATABASE)).unwrap();
    db.execute_batch("INSERT INTO refinery_schema_history VALUES (999, 'later', '2030-01-01T00:00:00Z', '1')").unwrap();
    assert!(matches!(Store::open(dir.path(), [9; 32]), Err(OpenError::Newer { found: 999, .. })));
    assert!(matches!(Reader::open(dir.path()), Err(ReadError::OtherVersion { found: 999, .. })));
}

/// What is no ledger is neither read nor written as one, and is left as it was.
#[test]
fn another_programs_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(rekeyd::store::DATABASE);
    rusqlite::Connection::open(&path).unwrap().execute_batch("CREATE TABLE t (a)").unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(Store::open(dir.path(), [9; 32]), Err(OpenError::Foreign { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);

    std::fs::write(&path, "no database, but a text that is longer than the header of one").unwrap();
    let unfit = Reader::open(dir.path()).err().unwrap().to_string();
    assert!(unfit.contains("rekeyd.db cannot be read as a ledger: file is not a database"), "{unfit}");
}

#[test]
fn a_missing_ledger_is_said_to_be_missing() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(Reader::open(dir.path()), Err(ReadError::Missing { .. })));
}

/// The commands show a rotation's whole story from its row, newest first, while the daemon writes.
#[tokio::test]
async fn rotations_are_found_by_target_and_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), [9; 32]).unwrap();
    store.record(one_rotation("rs0", 0)).await.unwrap();
    store.record(one_rotation("rs1", 100)).await.unwrap();
    let reader = Reader::open(dir.path()).unwrap();
    let ids = |selection, limit| -> Vec<String> {
        let filter = RotationFilter { selection, ..RotationFilter::default() };
        let rows = reader.rotations(&filter, limit).unwrap();
        rows.iter().map(|row| format!("{} {}", row.name, row.id)).collect()
    };
    let all = [
        "emea/billing/ledger/rs1 1.2",
        "emea/billing/ledger/rs1 1.1",
        "emea/billing/ledger/rs0 1.2",
        "emea/billing/ledger/rs0 1.1",
    ];
    assert_eq!(ids(Selection::default(), None), all);
    assert_eq!(ids(Selection::default(), Some(1)), all[..1]);
    assert_eq!(ids(Selection { target: Some("*/rs0".into()), ..Selection::default() }, None), all[2..]);
    assert_eq!(ids(Selection { since: Some(at(100)), ..Selection::default() }, None), all[..2]);
    assert_eq!(ids(Selection { until: Some(at(3)), ..Selection::default() }, None), all[3..]);

    let selection = Selection { target: Some("*rs0".into()), ..Selection::default() };
    let filter = RotationFilter { selection, ..RotationFilter::default() };
    let row = reader.rotations(&filter, None).unwrap().remove(0);
    assert_eq!((row.state, row.how), (State::Done, Some(How::Recovered)));
    assert_eq!((row.key_before, row.key_after), (Some("a".into()), Some("b".into())));
    assert_eq!(
        (row.due_at, row.intended_at, row.sent_at, row.ended_at),
        (at(0), Some(at(3)), Some(at(4)), Some(at(6)))
    );
    assert_eq!(row.failure.map(|failure| failure.reason), Some(Reason::TimedOut));
}

/// A key that comes back is known by when it was used before.
#[tokio::test]
async fn a_past_key_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), [9; 32]).unwrap();
    store.record(one_rotation("rs0", 0)).await.unwrap();
    let past = store.past_key(&id("rs0"), &"a".into()).await.unwrap().unwrap();
    assert_eq!((past.not_before, past.first_seen, past.last_seen), (None, at(1), at(3)));
    assert_eq!(store.past_key(&id("rs0"), &"b".into()).await.unwrap(), None);
    assert_eq!(store.past_key(&id("rs1"), &"a".into()).await.unwrap(), None);
}
