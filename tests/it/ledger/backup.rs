//! Copies of the ledger: beside a daemon at work, whole or not at all, and brought back over nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rekeyd::store::{BackupError, DATABASE, restore};

use super::*;

/// Promise: a copy that was made while the daemon writes is one moment of the ledger, and comes to an end.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_made_beside_a_daemon_at_work() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(Store::open(&dir.path().join("state"), [9; 32]).unwrap());
    store.record(one_rotation("rs0", 0)).await.unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (writing, until) = (Arc::clone(&store), Arc::clone(&stop));
    let writer = tokio::spawn(async move {
        for number in 1.. {
            if until.load(Ordering::Relaxed) {
                return number;
            }
            writing.record(one_rotation(&format!("rs{number}"), number * 10)).await.unwrap();
        }
        0
    });
    for copy in ["one.db", "two.db"] {
        let path = dir.path().join(copy);
        let made = rekeyd(dir.path(), &["backup", path.to_str().unwrap()]);
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        assert!(String::from_utf8_lossy(&made.stdout).contains("and verified: "), "{made:?}");
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        // What is there is not written over, and the daemon's own files are not touched.
        let again = rekeyd(dir.path(), &["backup", path.to_str().unwrap()]);
        assert!(!again.status.success() && String::from_utf8_lossy(&again.stderr).contains("not written over"));
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writer.await.unwrap() > 1);
    let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(names.len(), 4, "something is left behind: {names:?}");
}

#[tokio::test]
async fn a_copy_is_brought_back_where_nothing_is_and_the_daemon_goes_on_from_it() {
    let dir = tempfile::tempdir().unwrap();
    let (state, copy) = (dir.path().join("state"), dir.path().join("copy.db"));
    let store = Store::open(&state, [9; 32]).unwrap();
    store.record(one_rotation("rs0", 0)).await.unwrap();
    let (head, fleet) = (store.head(), store.fleet());
    Reader::open(&state).unwrap().backup(&copy).unwrap();
    // Beside a daemon, over a ledger: no.
    assert!(matches!(restore(&copy, &state), Err(BackupError::Open(OpenError::Held { .. }))));
    store.close().await.unwrap();
    drop(store);
    assert!(matches!(restore(&copy, &state), Err(BackupError::Exists { .. })));
    std::fs::remove_file(state.join(DATABASE)).unwrap();
    let restored = rekeyd(dir.path(), &["restore", copy.to_str().unwrap()]);
    assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
    let store = Store::open(&state, [1; 32]).unwrap();
    assert_eq!((store.head(), store.fleet()), (head, fleet));
    store.record(one_rotation("rs1", 100)).await.unwrap();
    assert_eq!(Reader::open(&state).unwrap().verify(|_, _| {}).unwrap().records, 14);
}

/// The log of a database that was moved away without it would be read as a part of the copy, and destroy it; and it holds what
/// was recorded last in the other.
#[tokio::test]
async fn nothing_is_brought_back_beside_what_is_left_of_another_database() {
    let dir = tempfile::tempdir().unwrap();
    let (state, copy) = (dir.path().join("state"), dir.path().join("copy.db"));
    let store = Store::open(&state, [9; 32]).unwrap();
    store.record(one_rotation("rs0", 0)).await.unwrap();
    Reader::open(&state).unwrap().backup(&copy).unwrap();
    store.record(one_rotation("rs1", 100)).await.unwrap();
    // As a death leaves it.
    let log = state.join(format!("{DATABASE}-wal"));
    let left = std::fs::read(&log).unwrap();
    store.close().await.unwrap();
    drop(store);
    std::fs::remove_file(state.join(DATABASE)).unwrap();
    std::fs::write(&log, &left).unwrap();
    let error = restore(&copy, &state).unwrap_err();
    assert!(matches!(&error, BackupError::Remains { path } if *path == log), "{error}");
    assert_eq!(std::fs::read(&log).unwrap(), left);
    std::fs::remove_file(&log).unwrap();
    assert_eq!(restore(&copy, &state).unwrap().records, 7);
    assert_eq!(Reader::open(&state).unwrap().verify(|_, _| {}).unwrap().records, 7);
}

/// A copy that was touched, or is none, brings nothing back.
#[tokio::test]
async fn nothing_is_brought_back_that_is_not_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (state, copy) = (dir.path().join("state"), dir.path().join("copy.db"));
    let store = Store::open(&state, [9; 32]).unwrap();
    store.record(one_rotation("rs0", 0)).await.unwrap();
    Reader::open(&state).unwrap().backup(&copy).unwrap();
    let db = rusqlite::Connection::open(&copy).unwrap();
    db.execute_batch("UPDATE rotation SET actor = 'nobody' WHERE attempt = 2").unwrap();
    drop(db);
    let other = dir.path().join("other");
    assert!(matches!(restore(&copy, &other), Err(BackupError::Verify(_))));
    assert!(!other.join(DATABASE).exists() && std::fs::read_dir(&other).unwrap().next().is_none());
    std::fs::write(&copy, "no ledger").unwrap();
    assert!(restore(&copy, &other).is_err());
    assert!(restore(&dir.path().join("nothing"), &other).unwrap_err().to_string().contains("there is no ledger at"));
}
