//! Whoever touches the history behind the daemon's back is refused, or found out with the number of the record.

use std::ops::ControlFlow;
use std::path::Path;

use rekeyd::ports::Check;
use rekeyd::store::chain::Record;
use rekeyd::store::{
    BackupError, Broken, DATABASE, Demands, Reader, Store, Stretch, Telling, Unread, VerifyError, restore,
};
use rusqlite::Connection;

use super::*;

/// A ledger of two targets, 14 records; the daemon has ended.
async fn ledger(dir: &Path) -> Connection {
    let store = Store::open(dir, [9; 32]).unwrap();
    store.record(one_rotation("rs0", 0)).await.unwrap();
    store.record(one_rotation("rs1", 100)).await.unwrap();
    store.close().await.unwrap();
    Connection::open(dir.join(DATABASE)).unwrap()
}

/// What the daemon's own check of the whole ledger comes to.
async fn checked(dir: &Path) -> Check {
    let store = Store::open(dir, [9; 32]).unwrap();
    store.check_in_background(dir.join("checkpoints"));
    while store.check() == Check::Pending {
        tokio::task::yield_now().await;
    }
    store.check()
}

/// What is found after a determined hand was there.
async fn broken_by(sql: &str) -> Broken {
    let dir = tempfile::tempdir().unwrap();
    let db = ledger(dir.path()).await;
    tamper(&db, sql);
    match Reader::open(dir.path()).unwrap().verify(|_, _| {}) {
        Err(VerifyError::Broken(broken)) => broken,
        other => panic!("{sql}: {other:?}"),
    }
}

#[tokio::test]
async fn an_untouched_ledger_verifies() {
    let dir = tempfile::tempdir().unwrap();
    ledger(dir.path()).await;
    let mut told = Vec::new();
    let verified = Reader::open(dir.path()).unwrap().verify(|done, total| told.push((done, total))).unwrap();
    assert_eq!((verified.records, verified.unread), (14, None));
    assert_eq!((verified.first_at, verified.last_at), (Some(at(0)), Some(at(106))));
    assert_eq!(told.last(), Some(&(14, 14)));
}

#[tokio::test]
async fn the_ledger_refuses_every_change() {
    let dir = tempfile::tempdir().unwrap();
    let db = ledger(dir.path()).await;
    for sql in [
        "UPDATE ledger SET actor = 'nobody' WHERE seq = 3",
        "DELETE FROM ledger WHERE seq = 14",
        "INSERT OR REPLACE INTO ledger SELECT 3, at, kind, 'nobody', target, rotation, payload, prev_hash, hash FROM ledger WHERE seq = 3",
        "INSERT INTO ledger SELECT 16, at, kind, actor, target, rotation, payload, hash, hash FROM ledger WHERE seq = 14",
        "INSERT INTO ledger SELECT 15, at, kind, actor, target, rotation, payload, prev_hash, hash FROM ledger WHERE seq = 14",
        "UPDATE ledger_identity SET id = zeroblob(32)",
        "DELETE FROM ledger_identity",
        "INSERT OR REPLACE INTO ledger_identity VALUES (1, zeroblob(32))",
    ] {
        assert!(db.execute(sql, []).is_err(), "{sql}");
    }
    Reader::open(dir.path()).unwrap().verify(|_, _| {}).unwrap();
}

#[tokio::test]
async fn a_changed_record_is_named() {
    for (field, value) in [
        ("at", "at + 1"),
        ("kind", "'rotation_done'"),
        ("actor", "'nobody'"),
        ("target", "'emea/5f/other'"),
        ("rotation", "'9.9'"),
        ("payload", "replace(payload, 'timed_out', 'refused')"),
        ("hash", "zeroblob(32)"),
        ("prev_hash", "zeroblob(32)"),
    ] {
        let broken = broken_by(&format!("UPDATE ledger SET {field} = {value} WHERE seq = 6")).await;
        assert_eq!(broken.seq, 6, "{field}: {broken}");
    }
}

#[tokio::test]
async fn a_removed_record_is_named() {
    let broken = broken_by("DELETE FROM ledger WHERE seq = 5").await;
    assert_eq!((broken.seq, broken.why.as_str()), (5, "is missing; 6 follows on 4"));
    let renumbered = "DELETE FROM ledger WHERE seq = 5; UPDATE ledger SET seq = seq - 1 WHERE seq > 5";
    assert_eq!(broken_by(renumbered).await.seq, 5);
}

#[tokio::test]
async fn an_inserted_record_is_named() {
    let copy = "UPDATE ledger SET seq = -seq WHERE seq > 5; UPDATE ledger SET seq = 1 - seq WHERE seq < 0;
        INSERT INTO ledger SELECT 6, at, kind, actor, target, rotation, payload, hash, zeroblob(32) FROM ledger WHERE seq = 5";
    assert_eq!(broken_by(copy).await.seq, 6);
}

/// No walk from the first record on comes by it, and lists of records would show it.
#[tokio::test]
async fn a_record_before_the_first_is_named() {
    let copy = "INSERT INTO ledger SELECT -2, at, kind, actor, target, rotation, payload, prev_hash, hash FROM ledger
        WHERE seq = 1";
    let broken = broken_by(copy).await;
    assert_eq!((broken.seq, broken.why.contains("number -2")), (0, true), "{broken}");
}

/// A column that cannot hold what it holds is the fault of its record, and not of the whole database.
#[tokio::test]
async fn a_record_that_cannot_be_read_is_named() {
    for damage in ["at = 9223372036854775807", "actor = CAST(x'ff' AS TEXT)"] {
        let broken = broken_by(&format!("UPDATE ledger SET {damage} WHERE seq = 3")).await;
        assert!(broken.seq == 3 && broken.why.starts_with("cannot be read: "), "{damage}: {broken}");
    }
    let dir = tempfile::tempdir().unwrap();
    tamper(&ledger(dir.path()).await, "UPDATE ledger SET at = 9223372036854775807 WHERE seq = 14");
    assert!(matches!(Store::open(dir.path(), [9; 32]), Err(OpenError::Damaged { seq: 14 })));
}

/// Every row is there, and the answers to questions leave one out.
#[tokio::test]
async fn an_index_that_hides_a_row_is_named() {
    for (index, on, was, some) in [
        ("ledger_by_time", "ledger (at)", "", "seq <> 4"),
        ("ledger_by_target", "ledger (target, at)", " WHERE target <> ''", "target <> '' AND seq <> 4"),
        ("rotation_by_time", "rotation (began_at)", "", "attempt <> 2"),
        ("key_by_id", "key (id, target)", "", "id <> 'a'"),
    ] {
        let sql = format!(
            "DROP INDEX {index}; CREATE INDEX {index} ON {on} WHERE {some}; PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = 'CREATE INDEX {index} ON {on}{}' WHERE name = '{index}'",
            was.replace('\'', "''")
        );
        let broken = broken_by(&sql).await;
        assert!(broken.seq == 14 && broken.why.ends_with(&format!("index {index}")), "{broken}");
    }
}

/// As many entries as there are records, and one of them in another's place.
#[tokio::test]
async fn an_index_with_the_entries_of_another_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let db = ledger(dir.path()).await;
    db.execute_batch(
        "CREATE TABLE twin (at, seq, PRIMARY KEY (at, seq)) WITHOUT ROWID;
         INSERT INTO twin SELECT at, seq FROM ledger; UPDATE twin SET seq = 3, at = at + 1 WHERE seq = 4;
         PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET rootpage = other.rootpage FROM sqlite_schema AS other
         WHERE (sqlite_schema.name, other.name) IN (VALUES ('twin', 'ledger_by_time'), ('ledger_by_time', 'twin'))",
    )
    .unwrap();
    drop(db);
    Connection::open(dir.path().join(DATABASE)).unwrap().execute_batch("DROP TABLE twin").unwrap();
    let error = Reader::open(dir.path()).unwrap().verify(|_, _| {}).unwrap_err().to_string();
    assert!(error.contains("SQLite finds the database damaged") && error.contains("ledger_by_time"), "{error}");
}

/// What does not follow from the migrations may hide rows from answers, or keep records out.
#[tokio::test]
async fn whatever_was_added_to_the_database_is_named() {
    for (sql, named) in [
        ("CREATE TRIGGER deaf BEFORE INSERT ON ledger BEGIN SELECT RAISE(IGNORE); END", "the trigger deaf was added"),
        ("CREATE VIEW seen AS SELECT * FROM ledger", "the view seen was added"),
        ("CREATE INDEX short ON target (name)", "the index short was added"),
        ("CREATE TABLE notes (words)", "the table notes was added"),
        (
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET tbl_name = 'LEDGER' WHERE name = 'ledger_by_kind'",
            "the index ledger_by_kind is missing from the database, or was changed",
        ),
    ] {
        let broken = broken_by(sql).await;
        assert!(broken.seq == 14 && broken.why.starts_with(named), "{sql}: {broken}");
    }
    let dir = tempfile::tempdir().unwrap();
    ledger(dir.path()).await.execute_batch("ANALYZE").unwrap();
    Reader::open(dir.path()).unwrap().verify(|_, _| {}).unwrap();
}

/// One record that nobody can read, and what was done to the tables would pass: it does not.
#[tokio::test]
async fn a_record_of_an_unknown_kind_hides_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let db = ledger(&state).await;
    bless(&db, &state);
    db.execute_batch("UPDATE rotation SET actor = 'nobody'").unwrap();
    let verified = Reader::open(&state).unwrap().verify(|_, _| {}).unwrap();
    assert_eq!(verified.unread, Some(Unread { first: 15, kind: "key_blessed".into(), records: 1 }));
    let said = rekeyd(dir.path(), &["audit", "verify"]);
    let words = String::from_utf8(said.stdout).unwrap();
    assert_eq!((said.status.code(), words.contains("tables not compared")), (Some(3), true), "{words}");
    assert!(matches!(checked(&state).await, Check::Broken { .. }));

    // A copy can be made, and is not called verified; it is not brought back.
    let copy = dir.path().join("copy.db");
    let said = rekeyd(dir.path(), &["backup", copy.to_str().unwrap()]);
    let words = String::from_utf8(said.stdout).unwrap();
    assert_eq!((said.status.code(), words.contains("tables not compared")), (Some(3), true), "{words}");
    let other = dir.path().join("other");
    assert!(matches!(restore(&copy, &other), Err(BackupError::Later(Unread { first: 15, .. }))));
    assert!(!other.join(DATABASE).exists());
}

/// Appends a record, well chained, of a kind that no version knows.
fn bless(db: &Connection, state: &Path) {
    let last = Reader::open(state).unwrap().newest(1).unwrap().remove(0);
    let mut blessed =
        Record { seq: 15, kind: "key_blessed".into(), prev_hash: last.hash, payload: "{}".into(), ..last };
    (blessed.target, blessed.rotation) = (String::new(), String::new());
    blessed.hash = blessed.expected_hash();
    db.execute(
        "INSERT INTO ledger VALUES (15, ?, 'key_blessed', 'schedule', '', '', '{}', ?, ?)",
        rusqlite::params![blessed.at.as_microsecond(), blessed.prev_hash, blessed.hash],
    )
    .unwrap();
}

/// Evidence comes by no index: one that hides a record changes nothing of it.
#[tokio::test]
async fn what_was_known_then_comes_by_no_index() {
    let told = |dir: &Path| {
        let mut told = Vec::new();
        let stretch = Stretch { since: at(-1), until: at(200) };
        let tell = |telling: Telling<'_>| {
            match telling {
                Telling::Rotation(rotation) => told.push(format!("{rotation:?}")),
                Telling::Key(key) => told.push(format!("{key:?}")),
                Telling::Before(_) | Telling::Event(..) | Telling::Record(_) | Telling::Progress(..) => {}
            }
            ControlFlow::Continue(())
        };
        Reader::open(dir).unwrap().as_of(stretch, &[], tell).unwrap();
        told
    };
    let dir = tempfile::tempdir().unwrap();
    let db = ledger(dir.path()).await;
    let before = told(dir.path());
    assert!(!before.is_empty());
    for (index, on) in [("ledger_by_kind", "ledger (kind, at)"), ("ledger_by_time", "ledger (at)")] {
        tamper(
            &db,
            &format!(
                "DROP INDEX {index}; CREATE INDEX {index} ON {on} WHERE kind <> 'target_found' AND seq <> 14;
                 PRAGMA writable_schema = ON;
                 UPDATE sqlite_schema SET sql = 'CREATE INDEX {index} ON {on}' WHERE name = '{index}'"
            ),
        );
        assert_eq!(told(dir.path()), before, "{index}");
    }
}

/// That a file cannot be read says nothing of who touched the ledger, and is no finding.
#[tokio::test]
async fn what_cannot_be_checked_is_not_called_broken() {
    let dir = tempfile::tempdir().unwrap();
    let db = ledger(dir.path()).await;
    std::fs::create_dir(dir.path().join("checkpoints")).unwrap();
    let check = checked(dir.path()).await;
    assert!(matches!(&check, Check::Unchecked { why } if why.contains("checkpoint file")), "{check:?}");
    // What is found in spite of it is told.
    db.execute_batch("UPDATE rotation SET actor = 'nobody' WHERE attempt = 2").unwrap();
    assert!(matches!(checked(dir.path()).await, Check::Broken { .. }));
}

/// Where a clock was set back, the first record of a time or later stands before records of earlier times.
#[tokio::test]
async fn since_begins_with_the_first_record_of_the_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), [9; 32]).unwrap();
    store.record(one_rotation("rs0", 100)).await.unwrap();
    store.record(one_rotation("rs1", 60)).await.unwrap();
    let demands = Demands { since: Some(at(50)), ..Demands::default() };
    let reader = Reader::open(dir.path()).unwrap();
    let verified = reader.verify_against(&demands, |_, _| ControlFlow::Continue(())).unwrap();
    assert_eq!(verified.records, 14);
}

/// Whoever chains a record anew under another target or rotation than its contents tell is found out by these.
#[tokio::test]
async fn a_record_that_says_two_things_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let db = ledger(dir.path()).await;
    let mut last = Reader::open(dir.path()).unwrap().newest(1).unwrap().remove(0);
    let changes: [fn(&mut Record); 2] =
        [|record| record.rotation = "1.9".into(), |record| record.target = id("rs0").to_string()];
    for change in changes {
        change(&mut last);
        let hash = last.expected_hash();
        tamper(
            &db,
            &format!(
                "UPDATE ledger SET rotation = '{}', target = '{}', hash = x'{}' WHERE seq = 14",
                last.rotation,
                last.target,
                hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
            ),
        );
        let error = Reader::open(dir.path()).unwrap().verify(|_, _| {}).unwrap_err().to_string();
        assert!(error.starts_with("record 14: target or rotation is not"), "{error}");
    }
}

/// A chain alone cannot show that its tail was cut off, but the tables that followed from the tail still stand.
#[tokio::test]
async fn a_tail_cut_off_without_its_tables_is_named() {
    assert_eq!(broken_by("DELETE FROM ledger WHERE seq = 14").await.seq, 13);
}

/// A new identity is another ledger: the first record does not continue it.
#[tokio::test]
async fn another_identity_is_named() {
    assert_eq!(broken_by("UPDATE ledger_identity SET id = zeroblob(32)").await.seq, 1);
}

/// People query the tables: a touched row is named with the record that it should follow from.
#[tokio::test]
async fn a_changed_row_is_named() {
    for (sql, seq) in [
        ("UPDATE rotation SET ended_at = ended_at - 1 WHERE target = 'emea/5f/id-rs0' AND attempt = 2", 7),
        ("UPDATE rotation SET state = 'withdrawn' WHERE target = 'emea/5f/id-rs0' AND attempt = 1", 3),
        ("UPDATE rotation SET actor = 'nobody' WHERE target = 'emea/5f/id-rs1' AND attempt = 2", 14),
        ("UPDATE rotation SET seq = 4 WHERE target = 'emea/5f/id-rs0' AND attempt = 2", 7),
        ("DELETE FROM rotation WHERE target = 'emea/5f/id-rs0' AND attempt = 1", 3),
        (
            "INSERT INTO rotation (target, slot, attempt, actor, state, how, due_at, began_at, key_before, key_after, ended_at, seq)
             VALUES ('emea/5f/id-rs0', 2, 1, 'schedule', 'done', 'rotated', 1, 1, 'b', 'c', 1, 7)",
            7,
        ),
        ("UPDATE target SET key_not_before = key_not_before + 1 WHERE id = 'emea/5f/id-rs1'", 14),
        ("UPDATE target SET name = 'x' WHERE id = 'emea/5f/id-rs0'", 7),
        ("UPDATE key SET last_seen = last_seen + 1 WHERE target = 'emea/5f/id-rs0' AND id = 'a'", 7),
        ("UPDATE key SET first_seen = 0 WHERE target = 'emea/5f/id-rs1' AND id = 'b'", 14),
        ("DELETE FROM key WHERE target = 'emea/5f/id-rs0' AND id = 'a'", 7),
    ] {
        let broken = broken_by(sql).await;
        assert_eq!(broken.seq, seq, "{sql}: {broken}");
        assert!(broken.why.starts_with("table "), "{broken}");
    }
}

/// A guard that is gone is a finding although nothing was changed yet.
#[tokio::test]
async fn a_removed_guard_is_named() {
    let dir = tempfile::tempdir().unwrap();
    ledger(dir.path()).await.execute_batch("DROP TRIGGER ledger_is_not_changed").unwrap();
    let error = Reader::open(dir.path()).unwrap().verify(|_, _| {}).unwrap_err();
    assert!(error.to_string().contains("trigger ledger_is_not_changed is missing"), "{error}");
}

/// What a trigger does to a record shows only when it is too late.
#[tokio::test]
async fn a_foreign_trigger_keeps_the_daemon_out() {
    for sql in [
        "CREATE TRIGGER deaf BEFORE INSERT ON ledger BEGIN SELECT RAISE(IGNORE); END",
        "DROP TRIGGER ledger_is_not_changed",
    ] {
        let dir = tempfile::tempdir().unwrap();
        ledger(dir.path()).await.execute_batch(sql).unwrap();
        assert!(matches!(Reader::open(dir.path()).unwrap().check_start(), Err(OpenError::Triggers(_))), "{sql}");
        assert!(matches!(Store::open(dir.path(), [9; 32]), Err(OpenError::Triggers(_))), "{sql}");
    }
}

/// A daemon does not go on from a record that is not the one it wrote.
#[tokio::test]
async fn a_changed_head_keeps_the_daemon_out() {
    let dir = tempfile::tempdir().unwrap();
    let db = ledger(dir.path()).await;
    db.execute_batch("DROP TRIGGER ledger_is_not_changed; UPDATE ledger SET actor = 'nobody' WHERE seq = 14").unwrap();
    assert!(matches!(Store::open(dir.path(), [9; 32]), Err(OpenError::Damaged { seq: 14 })));
}

/// What the end does not show, the check of the whole does, beside the daemon's work.
#[tokio::test]
async fn a_start_finds_what_was_done_to_the_ledger_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let db = ledger(dir.path()).await;
    assert_eq!(checked(dir.path()).await, Check::Whole { records: 14 });
    db.execute_batch("UPDATE rotation SET actor = 'nobody' WHERE target = 'emea/5f/id-rs1' AND attempt = 2").unwrap();
    let Check::Broken { why } = checked(dir.path()).await else { panic!("it was not found") };
    assert!(why.starts_with("record 14: table rotation"), "{why}");

    // Among the newest records it keeps the daemon out.
    db.execute_batch("DROP TRIGGER ledger_is_not_changed; UPDATE ledger SET actor = 'nobody' WHERE seq = 5").unwrap();
    assert!(matches!(Store::open(dir.path(), [9; 32]), Err(OpenError::Damaged { seq: 5 })));
}

/// A page that a dying disk gave back wrong is found before anything is built on it.
#[tokio::test]
async fn a_damaged_database_keeps_the_daemon_out() {
    let dir = tempfile::tempdir().unwrap();
    drop(ledger(dir.path()).await);
    let path = dir.path().join(DATABASE);
    let bytes = std::fs::read(&path).unwrap();
    let pages = bytes.len() / 4096;
    // Wherever it hits the structure: the daemon starts from good pages or not at all.
    let refused = (1..pages).filter(|page| {
        let mut damaged = bytes.clone();
        damaged[page * 4096..page * 4096 + 16].fill(0xff);
        std::fs::write(&path, damaged).unwrap();
        Store::open(dir.path(), [9; 32]).is_err()
    });
    assert_eq!(refused.count(), pages - 1);
}
