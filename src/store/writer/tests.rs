//! Groups, errors and what is left after them, committed one by one without the thread.

use std::path::Path;

use super::*;
use crate::domain::{Actor, Event, Listing, Mechanism, Role, Target};
use crate::store::{Reader, lock};

fn writer(dir: &Path) -> Writer {
    lock::prepare(dir).unwrap();
    let lock = StateLock::take(dir).unwrap();
    lock::make_database(dir).unwrap();
    let path = dir.join(crate::store::DATABASE);
    let mut conn = schema::connect(&path).unwrap();
    schema::migrate(&mut conn).unwrap();
    schema::identify(&conn, [7; 32]).unwrap();
    Writer::new(&path, conn, lock).unwrap()
}

/// A target that was found, its project's name of this length.
fn found(cluster_id: &str, length: usize) -> Entry {
    let description = Target {
        manager: "emea".into(),
        project_id: "5f".into(),
        project: "p".repeat(length),
        cluster_id: cluster_id.into(),
        cluster: "ledger".into(),
        replica_set: cluster_id.into(),
        role: Role::ReplicaSet,
        mechanism: Mechanism::BackupKey,
    };
    let event = Event::TargetFound { description, listing: Listing::Eligible };
    Entry { at: Timestamp::UNIX_EPOCH, actor: Actor::Daemon, event }
}

type Answer = oneshot::Receiver<Result<(), JournalError>>;

fn call(entries: Vec<Entry>) -> ((Work, Ack), Answer) {
    let (ack, answer) = oneshot::channel();
    ((Work::Record(entries), ack), answer)
}

/// Commits the calls as one group and returns each one's answer.
fn commit(writer: &mut Writer, calls: Vec<Vec<Entry>>) -> Vec<Result<(), JournalError>> {
    let (calls, answers): (Vec<_>, Vec<Answer>) = calls.into_iter().map(call).unzip();
    writer.commit(calls);
    answers.into_iter().map(|mut answer| answer.try_recv().expect("every call is answered")).collect()
}

/// What memory says, what is published and what the disk says are one.
fn assert_agreement(writer: &Writer, dir: &Path) {
    let reader = Reader::open(dir).unwrap();
    let published = writer.shared.published.read().unwrap();
    assert_eq!(writer.fleet, *published.fleet);
    assert_eq!(writer.head, published.head);
    assert_eq!(writer.fleet, reader.fleet().unwrap());
    assert_eq!(writer.head, reader.verify(|_, _| {}).unwrap().head);
}

/// A caller with an impossible event must not cost its neighbours in the group their records, nor leave half of its own.
#[test]
fn a_contradiction_sinks_only_its_own_call() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path());
    let gone = Event::TargetGone { target: "emea/5f/b".into(), listings: 3 };
    let gone = Entry { at: Timestamp::UNIX_EPOCH, actor: Actor::Daemon, event: gone };
    let calls = vec![vec![found("a", 1)], vec![found("b", 1), gone, found("a", 1)], vec![found("c", 1)]];
    let answers = commit(&mut writer, calls);
    assert!(matches!(answers[..], [Ok(()), Err(JournalError::Impossible(_)), Ok(())]), "{answers:?}");
    let known: Vec<_> = writer.fleet.targets.keys().map(|id| id.as_str()).collect();
    assert_eq!(known, ["emea/5f/a", "emea/5f/c"]);
    assert_eq!(writer.head.seq, 2);
    assert_agreement(&writer, dir.path());
}

/// What the tables refuse is a contradiction too, and also costs only its own call.
#[test]
fn a_refused_row_sinks_only_its_own_call() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path());
    let trigger = "CREATE TEMP TRIGGER t BEFORE INSERT ON main.target WHEN NEW.cluster_id = 'b' BEGIN SELECT RAISE(ABORT, 'no'); END";
    writer.conn.execute_batch(trigger).unwrap();
    let answers = commit(&mut writer, vec![vec![found("a", 1)], vec![found("b", 1)], vec![found("c", 1)]]);
    assert!(matches!(answers[..], [Ok(()), Err(JournalError::Impossible(_)), Ok(())]), "{answers:?}");
    assert_agreement(&writer, dir.path());
}

/// On a full disk the callers are told, nothing is half-written, everything already written stays, and work goes on when
/// there is room again.
#[test]
fn a_full_disk_is_told_and_survived() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path());
    assert!(commit(&mut writer, vec![vec![found("a", 1)]])[0].is_ok());
    let pages: u32 = writer.conn.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    writer.conn.pragma_update(None, "max_page_count", pages).unwrap();
    for small in ["b", "c"] {
        // The large record does not fit; a small one beside it still does.
        let answers = commit(&mut writer, vec![vec![found("x", 1), found("y", 100_000)], vec![found(small, 1)]]);
        assert!(matches!(answers[..], [Err(JournalError::Full(_)), Ok(())]), "{answers:?}");
        assert_agreement(&writer, dir.path());
    }
    writer.conn.pragma_update(None, "max_page_count", 1 << 30).unwrap();
    assert!(commit(&mut writer, vec![vec![found("y", 100_000)]])[0].is_ok());
    assert_agreement(&writer, dir.path());
}

/// A commit that fails takes the whole group with it, and only that group.
#[test]
fn a_failed_commit_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path());
    // Found only at the commit: a deferred reference to a target that is not there.
    let trap = "CREATE TABLE trap (target REFERENCES target DEFERRABLE INITIALLY DEFERRED);
        CREATE TRIGGER t AFTER INSERT ON target WHEN NEW.cluster_id = 'b' BEGIN INSERT INTO trap VALUES ('none'); END";
    writer.conn.execute_batch(trap).unwrap();
    assert!(commit(&mut writer, vec![vec![found("a", 1)]])[0].is_ok());
    let answers = commit(&mut writer, vec![vec![found("b", 1)], vec![found("c", 1)]]);
    assert!(answers.iter().all(Result::is_err), "{answers:?}");
    writer.conn.execute_batch("DROP TRIGGER t; DROP TABLE trap").unwrap();
    assert_agreement(&writer, dir.path());
    assert!(commit(&mut writer, vec![vec![found("c", 1)]])[0].is_ok());
    assert_eq!(writer.head.seq, 2);
    assert_agreement(&writer, dir.path());
}

/// An error at the commit leaves open whether it happened; the disk knows.
#[test]
fn after_an_unclear_outcome_the_disk_decides() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path());
    assert!(commit(&mut writer, vec![vec![found("a", 1)]])[0].is_ok());
    let memory = (writer.fleet.clone(), writer.head.clone());
    assert!(commit(&mut writer, vec![vec![found("b", 1)]])[0].is_ok());
    // As if that commit had reported an error although it reached the disk.
    (writer.fleet, writer.head) = memory;
    writer.suspicion = Some(JournalError::Io("disk I/O error".to_owned()));
    let answers = commit(&mut writer, vec![vec![found("b", 1)], vec![found("c", 1)]]);
    assert!(matches!(answers[..], [Err(JournalError::Impossible(_)), Ok(())]), "{answers:?}");
    assert_eq!(writer.head.seq, 3);
    assert_agreement(&writer, dir.path());
}

/// A database put back from a copy, or deleted, under a working daemon: no record goes into the nameless file.
#[test]
fn a_file_that_was_replaced_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path());
    assert!(commit(&mut writer, vec![vec![found("a", 1)]])[0].is_ok());
    let path = dir.path().join(crate::store::DATABASE);
    let aside = dir.path().join("aside");
    std::fs::rename(&path, &aside).unwrap();
    let answers = commit(&mut writer, vec![vec![found("b", 1)]]);
    assert!(matches!(answers[..], [Err(JournalError::Io(_))]), "{answers:?}");
    std::fs::rename(&aside, &path).unwrap();
    assert!(commit(&mut writer, vec![vec![found("b", 1)]])[0].is_ok());
    assert_agreement(&writer, dir.path());
}

/// What another program with a key to the file would do: the next record, valid, behind the writer's back.
fn append_behind_the_back(dir: &Path, writer: &Writer, entry: &Entry) -> Record {
    let record = Record::following(&writer.head, entry);
    append_record(&Connection::open(dir.join(crate::store::DATABASE)).unwrap(), &record).unwrap();
    record
}

fn stopped() -> Entry {
    Entry { at: Timestamp::UNIX_EPOCH, actor: Actor::Daemon, event: Event::DaemonStopped { parked: 0 } }
}

/// Two writers break the first promise, so the next call must say that the ledger cannot be written, and not blame its
/// event; then the work goes on from what the disk says.
#[test]
fn another_writer_is_an_outage_and_then_the_truth() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path());
    assert!(commit(&mut writer, vec![vec![found("a", 1)]])[0].is_ok());
    let record = append_behind_the_back(dir.path(), &writer, &stopped());
    let answers = commit(&mut writer, vec![vec![found("b", 1)], vec![found("c", 1)]]);
    assert!(matches!(answers[..], [Err(JournalError::Io(_)), Err(JournalError::Io(_))]), "{answers:?}");
    let answers = commit(&mut writer, vec![vec![found("b", 1)]]);
    assert!(matches!(answers[..], [Ok(())]), "{answers:?}");
    assert_eq!(writer.head.seq, record.seq + 1);
    assert_agreement(&writer, dir.path());
}

/// A tail that does not go on from our last record is no truth to work from, however often it is asked.
#[test]
fn a_tail_that_does_not_follow_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path());
    assert!(commit(&mut writer, vec![vec![found("a", 1)]])[0].is_ok());
    let mut record = Record::following(&writer.head, &stopped());
    record.hash = [3; 32];
    append_record(&Connection::open(dir.path().join(crate::store::DATABASE)).unwrap(), &record).unwrap();
    for _ in 0..3 {
        let answers = commit(&mut writer, vec![vec![found("b", 1)]]);
        assert!(matches!(answers[..], [Err(JournalError::Io(_))]), "{answers:?}");
    }
    assert_eq!(writer.head.seq, 1);
}

/// A log that was deleted still holds, without a name, what was acknowledged: the next kill would lose it.
#[test]
fn a_deleted_log_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = writer(dir.path());
    assert!(commit(&mut writer, vec![vec![found("a", 1)]])[0].is_ok());
    let log = dir.path().join("rekeyd.db-wal");
    std::fs::remove_file(&log).unwrap();
    let answers = commit(&mut writer, vec![vec![found("b", 1)]]);
    assert!(matches!(answers[..], [Err(JournalError::Io(_))]), "{answers:?}");
    let answers = commit(&mut writer, vec![vec![found("b", 1)]]);
    assert!(matches!(answers[..], [Ok(())]), "{answers:?}");
    // As after a kill: what the files say, without this process.
    let copy = tempfile::tempdir().unwrap();
    for name in ["rekeyd.db", "rekeyd.db-wal"] {
        std::fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    assert_agreement(&writer, copy.path());
}
