//! The one thread that writes: takes what is queued, commits it as a group, then tells the world and the callers.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::chain::Record;
use super::checkpoint::Keeper;
use super::fault::{Fault, classify};
use super::lock::StateLock;
use super::walk::{Pins, Walk};
use super::{load, project, schema, sql};
use crate::domain::{Change, Entry, Fleet, KeyId, KeyRecord, TargetId};
use crate::ports::{Anchor, Clock, Head, JournalError};

/// At most so many calls share a commit.
const GROUP: usize = 256;

/// Where the caller waits. One that went away loses only the news.
pub(super) type Ack<T = ()> = oneshot::Sender<Result<T, JournalError>>;

/// What the writer is asked to do.
pub(super) enum Op {
    /// Write, and say when it is durable.
    Write(Work, Ack),
    /// Sign checkpoints, of what stands and from now on.
    Keep(Box<Keeper>, Ack),
    /// Read when a key was used by the target before its present one.
    PastKey(TargetId, KeyId, Ack<Option<KeyRecord>>),
    /// Do what is queued, then end in good order.
    Close(Ack),
}

/// What one call writes.
pub(super) enum Work {
    /// Append to the ledger, all or none. Times are whole microseconds.
    Record(Vec<Entry>),
    /// Note when keys were seen again.
    SeenAgain(Vec<(TargetId, Timestamp)>),
}

impl Work {
    fn wants_checkpoint(&self) -> bool {
        match self {
            Self::Record(entries) => entries.iter().any(|entry| Keeper::is_wanted_by(&entry.event)),
            Self::SeenAgain(_) => false,
        }
    }
}

/// What everyone may read: as of the newest commit.
#[derive(Debug)]
pub(super) struct Published {
    /// Changed in place while nobody else holds it.
    pub(super) fleet: Arc<Fleet>,
    pub(super) head: Head,
    pub(super) anchor: Anchor,
}

/// Is told how long each commit took.
pub(super) struct Stopwatch {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) told: Box<dyn Fn(Duration) + Send + Sync>,
}

/// The parts that the writer's thread shares with the store.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) published: Arc<RwLock<Published>>,
    pub(super) stopwatch: Arc<OnceLock<Stopwatch>>,
}

pub(super) struct Writer {
    path: PathBuf,
    /// Tells the file apart from another one that took its name.
    inode: (u64, u64),
    /// The same of its write-ahead log, which holds what was acknowledged and is not in the file yet.
    log_inode: Option<(u64, u64)>,
    conn: Connection,
    /// With the group in hand taken in; differs from what is published only inside [`Writer::commit`].
    fleet: Fleet,
    head: Head,
    group: Group,
    /// Why memory and disk may have come apart, until that is looked into.
    suspicion: Option<JournalError>,
    /// Who signs checkpoints; none if nobody does.
    keeper: Option<Keeper>,
    shared: Shared,
    lock: StateLock,
}

/// What the group in hand has changed so far.
#[derive(Default)]
struct Group {
    undos: Vec<Change>,
    changes: Vec<Change>,
}

impl Writer {
    /// Loads what the database knows.
    pub(super) fn new(path: &Path, conn: Connection, lock: StateLock) -> rusqlite::Result<Self> {
        let (fleet, head) = (load::fleet(&conn)?, load::head(&conn)?);
        let anchor = Anchor::default();
        let published = Arc::new(RwLock::new(Published { fleet: Arc::new(fleet.clone()), head: head.clone(), anchor }));
        Ok(Self {
            inode: inode(path).unwrap_or_default(),
            log_inode: inode(&log(path)),
            path: path.to_owned(),
            conn,
            fleet,
            head,
            group: Group::default(),
            suspicion: None,
            keeper: None,
            shared: Shared { published, stopwatch: Arc::default() },
            lock,
        })
    }

    pub(super) fn shared(&self) -> Shared {
        self.shared.clone()
    }

    /// Works until it is closed or its callers are gone.
    pub(super) fn run(mut self, mut ops: mpsc::Receiver<Op>) {
        let mut queue = Vec::new();
        let mut closers = Vec::new();
        while ops.blocking_recv_many(&mut queue, GROUP) > 0 {
            let mut group = Vec::with_capacity(queue.len());
            for op in queue.drain(..) {
                match op {
                    Op::Keep(keeper, ack) => {
                        self.keeper = Some(*keeper);
                        // What stands wants a checkpoint of theirs. Whether it could be written, the anchor tells.
                        let _ = self.anchor();
                        self.publish();
                        let _ = ack.send(Ok(()));
                    }
                    Op::Close(ack) => {
                        ops.close();
                        closers.push(ack);
                    }
                    Op::Write(work, ack) => group.push((work, ack)),
                    Op::PastKey(target, key, ack) => {
                        let past = load::past_key(&self.conn, &target, &key);
                        let _ = ack.send(past.map_err(|error| classify(&error)));
                    }
                }
            }
            if !group.is_empty() {
                self.commit(group);
            }
        }
        let ended = self.end();
        for ack in closers {
            let _ = ack.send(ended.clone());
        }
    }

    /// Leaves one tidy file behind, with the planner's statistics.
    fn end(mut self) -> Result<(), JournalError> {
        // It said so itself if it failed; the ledger is whole without it.
        let _ = self.anchor();
        let Self { conn, .. } = self;
        conn.execute_batch("PRAGMA optimize; PRAGMA wal_checkpoint(TRUNCATE)").map_err(|error| classify(&error))?;
        conn.close().map_err(|(_, error)| classify(&error))
    }

    /// Commits a group and acknowledges each call; after an error nothing of it is left, on disk or in memory.
    fn commit(&mut self, calls: Vec<(Work, Ack)>) {
        let recovered = self.unblock().and_then(|()| self.recover());
        let start = self.head.clone();
        match recovered.and_then(|()| self.transact(&calls)) {
            Ok(results) => {
                let mut done = calls.iter().zip(&results).filter(|(_, result)| result.is_ok());
                let is_late = self.keeper.as_ref().is_some_and(Keeper::is_late);
                if is_late || done.any(|((work, _), _)| work.wants_checkpoint()) {
                    // What is recorded is recorded. If this has to stop the daemon, it stops the next group.
                    let _ = self.anchor();
                }
                self.publish();
                for ((_, ack), result) in calls.into_iter().zip(results) {
                    let _ = ack.send(result);
                }
            }
            Err(error) => {
                self.roll_back();
                self.take_back(0, start);
                self.suspicion = Some(error.clone());
                for (_, ack) in calls {
                    let _ = ack.send(Err(error.clone()));
                }
            }
        }
    }

    /// Runs a group in one transaction. The inner results count only if the outer one is good.
    ///
    /// Nearly always every call of a group is good. Only if one is not the group begins anew with a savepoint for each call: it
    /// would have to copy every page that the call changes.
    fn transact(&mut self, calls: &[(Work, Ack)]) -> Result<Vec<Result<(), JournalError>>, JournalError> {
        let start = self.head.clone();
        self.begin()?;
        let results = match calls.iter().try_for_each(|(work, _)| self.write(work)) {
            Ok(()) => vec![Ok(()); calls.len()],
            Err(error @ JournalError::Io(_)) => return Err(error),
            Err(_) => {
                self.take_back(0, start);
                self.roll_back();
                self.begin()?;
                calls.iter().map(|(work, _)| self.attempt(work)).collect::<Result<Vec<_>, _>>()?
            }
        };
        let watch = self.shared.stopwatch.get();
        let began = watch.map(|watch| watch.clock.monotonic());
        self.conn.execute_batch("COMMIT").map_err(|error| self.told(&error))?;
        if let (Some(watch), Some(began)) = (watch, began) {
            (watch.told)(watch.clock.monotonic().saturating_sub(began));
        }
        Ok(results)
    }

    fn begin(&self) -> Result<(), JournalError> {
        self.conn.execute_batch("BEGIN IMMEDIATE").map_err(|error| self.told(&error))
    }

    fn roll_back(&self) {
        if !self.conn.is_autocommit() {
            let _ = self.conn.execute_batch("ROLLBACK");
        }
    }

    /// Does one call's work behind a savepoint. The outer error means that the whole transaction is lost.
    fn attempt(&mut self, work: &Work) -> Result<Result<(), JournalError>, JournalError> {
        let (mark, head) = (self.group.undos.len(), self.head.clone());
        let lost = |error: rusqlite::Error| classify(&error);
        self.conn.execute_batch("SAVEPOINT call").map_err(lost)?;
        let result = self.write(work);
        if let Err(error) = &result {
            self.take_back(mark, head);
            // SQLite ends the whole transaction on some errors, a full disk among them. What is neither the caller's doing
            // nor lack of room casts doubt on everything, also on what the neighbours were told to follow.
            if self.conn.is_autocommit() || matches!(error, JournalError::Io(_)) {
                return Err(error.clone());
            }
            self.conn.execute_batch("ROLLBACK TO call").map_err(lost)?;
        }
        self.conn.execute_batch("RELEASE call").map_err(lost)?;
        Ok(result)
    }

    /// Does one call's work, or a part of it.
    fn write(&mut self, work: &Work) -> Result<(), JournalError> {
        let written = match work {
            Work::Record(entries) => entries.iter().try_for_each(|entry| self.append(entry)),
            Work::SeenAgain(sightings) => sightings.iter().try_for_each(|(target, at)| self.see_again(target, *at)),
        };
        written.map_err(JournalError::from)
    }

    fn append(&mut self, entry: &Entry) -> Result<(), Fault> {
        let record = Record::following(&self.head, entry);
        append_record(&self.conn, &record).map_err(Fault::Ledger)?;
        if let Some(applied) = project::apply(&self.conn, &mut self.fleet, record.seq, entry)? {
            self.group.undos.push(applied.undo);
            self.group.changes.push(applied.change);
        }
        self.head = record.head();
        Ok(())
    }

    fn see_again(&mut self, target: &TargetId, at: Timestamp) -> Result<(), Fault> {
        let Some(change) = self.fleet.seen_again(target, at) else { return Ok(()) };
        if let Change::Target(id, Some(record)) = &change {
            project::write_last_seen(&self.conn, id, record)?;
        }
        self.group.undos.push(self.fleet.adopt(change.clone()));
        self.group.changes.push(change);
        Ok(())
    }

    /// Signs a checkpoint of the head, if anyone signs, and if there is not one already.
    fn anchor(&mut self) -> Result<(), String> {
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        keeper.keep(&self.head, |seq| load::hash_of(&self.conn, seq))
    }

    /// No checkpoint, no record, where the configuration wants it so: tries again, before anything is written.
    fn unblock(&mut self) -> Result<(), JournalError> {
        if !self.keeper.as_ref().is_some_and(Keeper::blocks) {
            return Ok(());
        }
        self.anchor().map_err(|why| JournalError::Io(format!("no checkpoint can be written, {why}")))
    }

    /// Undoes in memory all but the first `mark` changes of the group.
    fn take_back(&mut self, mark: usize, head: Head) {
        for undo in self.group.undos.drain(mark..).rev() {
            self.fleet.adopt(undo);
        }
        self.group.changes.truncate(mark);
        self.head = head;
    }

    fn publish(&mut self) {
        let mut published = self.shared.published.write().unwrap_or_else(PoisonError::into_inner);
        if !self.group.changes.is_empty() {
            let fleet = Arc::make_mut(&mut published.fleet);
            for change in self.group.changes.drain(..) {
                fleet.adopt(change);
            }
        }
        published.head = self.head.clone();
        published.anchor = self.keeper.as_ref().map(|keeper| keeper.anchor().clone()).unwrap_or_default();
        self.group.undos.clear();
    }

    /// Makes sure that memory and disk agree, where an error or a moved file may have brought them apart.
    fn recover(&mut self) -> Result<(), JournalError> {
        // Records in a file without a name are no records: the file was moved, deleted or put back from a copy.
        if inode(&self.path) != Some(self.inode) {
            return Err(JournalError::Io(format!("{} is not the file that was opened", self.path.display())));
        }
        if inode(&log(&self.path)) != self.log_inode {
            return Err(self.save_log());
        }
        let Some(error) = &self.suspicion else { return Ok(()) };
        let told = |error: rusqlite::Error| classify(&error);
        if !matches!(error, JournalError::Full(_)) {
            self.begin_log_anew()?;
        }
        let moment = self.conn.unchecked_transaction().map_err(told)?;
        let on_disk = follow(&moment, &self.head)?;
        if on_disk != self.head {
            self.fleet = load::fleet(&moment).map_err(told)?;
            tracing::warn!(
                records = on_disk.seq - self.head.seq,
                first = self.head.seq + 1,
                last = on_disk.seq,
                "the ledger holds records that nobody was told of: an outcome was unclear, or another writer was there"
            );
            self.head = on_disk;
            let mut published = self.shared.published.write().unwrap_or_else(PoisonError::into_inner);
            published.fleet = Arc::new(self.fleet.clone());
            published.head = self.head.clone();
        }
        drop(moment);
        self.suspicion = None;
        Ok(())
    }

    /// Brings into the database what only our handle on a log without a name still holds, and says what happened.
    fn save_log(&mut self) -> JournalError {
        match self.begin_log_anew().and_then(|()| self.reconnect()) {
            Ok(()) => {
                JournalError::Io(format!("{} was removed or replaced; nothing is lost", log(&self.path).display()))
            }
            Err(error) => error,
        }
    }

    /// Brings all that was acknowledged into the database file, and drops the rest of the log.
    ///
    /// After a sync that failed the kernel takes the pages for clean, although they may never reach the disk: records that
    /// are appended behind them would be lost with them in a power cut, however well their own syncs went. What is in the
    /// log and was not acknowledged is no record. This connection knows where the acknowledged part ends; one that is opened
    /// anew would not. A checkpoint writes that part again, with syncs of its own, so it also shows whether syncs work.
    fn begin_log_anew(&self) -> Result<(), JournalError> {
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        match self.conn.query_row(checkpoint, [], |row| row.get::<_, bool>(0)) {
            Ok(false) => Ok(()),
            Ok(true) => Err(JournalError::Io("a reader keeps the ledger's log from being begun anew".to_owned())),
            Err(error) => Err(self.told(&error)),
        }
    }

    /// What an error of the database comes to, with the state of the file system where that explains it.
    fn told(&self, error: &rusqlite::Error) -> JournalError {
        let told = classify(error);
        if matches!(told, JournalError::Io(_)) && self.lock.is_read_only() {
            return JournalError::ReadOnly(format!(
                "{error}; the file system refuses every write: see what the kernel says of its disk, then mount it writable"
            ));
        }
        told
    }

    /// Connects anew, and with a log that has a name.
    fn reconnect(&mut self) -> Result<(), JournalError> {
        let told = |error: rusqlite::Error| classify(&error);
        // Closed before the other is opened: within a process the two would share an index of the old log.
        self.conn = Connection::open_in_memory().map_err(told)?;
        self.conn = schema::connect(&self.path).map_err(|error| JournalError::Io(error.to_string()))?;
        load::head(&self.conn).map_err(told)?;
        self.log_inode = inode(&log(&self.path));
        Ok(())
    }
}

/// The name of a database's write-ahead log.
fn log(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// The ledger's head, if the ledger goes on from `known` without a fault.
fn follow(conn: &Connection, known: &Head) -> Result<Head, JournalError> {
    let told = |error: rusqlite::Error| classify(&error);
    let on_disk = load::head(conn).map_err(told)?;
    if on_disk.seq < known.seq {
        let (found, wanted) = (on_disk.seq, known.seq);
        return Err(JournalError::Io(format!("the ledger ends at record {found}, but {wanted} was written")));
    }
    let mut walk = Walk::begin(known.clone(), Pins::default());
    walk.go_on(conn, on_disk.seq).map_err(told)?.map_err(|broken| stranger(broken.seq))?;
    if walk.head == on_disk { Ok(on_disk) } else { Err(stranger(walk.head.seq)) }
}

fn stranger(seq: u64) -> JournalError {
    JournalError::Io(format!(
        "the ledger does not go on from what was written: record {seq} is not ours; stop the daemon, see what `rekeyd audit verify` says, and restore a backup"
    ))
}

/// Adds a record to the table.
pub(super) fn append_record(conn: &Connection, record: &Record) -> rusqlite::Result<()> {
    sql::insert(
        conn,
        "ledger",
        &[
            ("seq", &record.seq),
            ("at", &super::columns::Micros(record.at)),
            ("kind", &record.kind),
            ("actor", &record.actor),
            ("target", &record.target),
            ("rotation", &record.rotation),
            ("payload", &record.payload),
            ("prev_hash", &record.prev_hash),
            ("hash", &record.hash),
        ],
    )
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    let data = std::fs::metadata(path).ok()?;
    Some((data.dev(), data.ino()))
}

#[cfg(test)]
mod tests;
