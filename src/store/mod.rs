//! The durable record on `SQLite`: the hash-chained ledger, the tables beside it, and the ways to read both.
//!
//! [`Store`] is the daemon's [`Journal`]; one thread writes. [`Reader`] answers the commands that only read, whether the
//! daemon is up or not. What an event means is decided in `domain`; here it is only kept.

mod as_of;
mod backup;
pub mod chain;
mod check;
mod checkpoint;
mod columns;
mod compare;
mod fault;
mod guards;
mod integrity;
mod life;
mod load;
mod lock;
mod log;
mod owner;
mod page;
mod past;
mod project;
mod question;
mod reader;
mod relay;
mod replay;
mod rotations;
mod schema;
mod seal;
mod signatures;
mod sql;
mod unsettled;
mod verify;
mod walk;
mod witness;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

pub use as_of::{AsOf, Stretch, Telling};
pub use backup::{BackupError, restore};
pub use checkpoint::{
    CHECKPOINT_KEY, CHECKPOINTS, Checkpoint, CheckpointKey, Checkpoints, CheckpointsError, Keeping, KeyError,
    MalformedKey, VerifierKey, origin_of, parse_checkpoints, signed_by_file,
};
pub use reader::{ReadError, Reader};
pub use signatures::SignedBy;
pub use verify::{Broken, Demands, Unread, Verified, VerifyError};

#[cfg(doc)]
use crate::domain::Event;
use crate::domain::{Entry, Fleet, KeyId, KeyRecord, TargetId, microsecond};
use crate::ports::{Anchor, Check, Clock, Head, Journal, JournalError};
use checkpoint::Keeper;
use lock::StateLock;
use writer::{Ack, Op, Shared, Stopwatch, Work, Writer};

/// The database's name in the state directory.
pub const DATABASE: &str = "rekeyd.db";
/// The lock file's name in the state directory.
const LOCK: &str = "rekeyd.lock";
/// So many calls may wait for the writer before callers wait for a place in the queue.
const QUEUE: usize = 1024;

/// The daemon's journal. Ends in good order when dropped; [`Store::close`] also tells how that went.
pub struct Store {
    /// Taken only by `drop`.
    ops: Option<mpsc::Sender<Op>>,
    writer: Option<JoinHandle<()>>,
    shared: Shared,
    path: PathBuf,
    ledger_id: [u8; 32],
    checking: check::Checking,
}

/// Why a state directory cannot be worked in.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A file or the directory cannot be made or opened.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing can be written there.
    #[error(
        "{} is on a read-only file system, and what cannot be recorded is not begun: see what the kernel says of its disk, mount it writable, and start again", path.display()
    )]
    ReadOnly {
        /// The file or directory that was to be written.
        path: PathBuf,
    },
    /// Root would make files there that their user cannot open.
    #[error(
        "{} belongs to {owner}, who could not open what root makes there; nothing was done: `sudo -u {owner} rekeyd ...`", path.display()
    )]
    NotRoots {
        /// The state directory.
        path: PathBuf,
        /// Its user's name, or `#` and a number.
        owner: String,
    },
    /// The database holds something else.
    #[error(
        "{} is another program's database: it has tables, and none of them is a ledger's; set `state_dir` to a directory of rekeyd's own", path.display()
    )]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// Another daemon works in it.
    #[error("{} is held by {holder}; a state directory has room for one daemon", path.display())]
    Held {
        /// The state directory.
        path: PathBuf,
        /// Process, host and since when, as far as it said.
        holder: String,
    },
    /// There was a ledger, and it is gone.
    #[error(
        "{} is gone or empty, but {} shows that a ledger was kept there: restore the database from a backup; or, to begin a new ledger on purpose, which knows no key's age and may rotate every key again, remove both files", path.display(), sign.display()
    )]
    Lost {
        /// The database.
        path: PathBuf,
        /// The file that shows it.
        sign: PathBuf,
    },
    /// The file system does not do what durability rests on.
    #[error(
        "{setting} is {found} and cannot be changed; keep the state directory on a local file system that has shared memory"
    )]
    Unfit {
        /// The database's setting.
        setting: &'static str,
        /// Its value.
        found: String,
    },
    /// A later version of this program wrote it.
    #[error(
        "the database has version {found}, and this program knows up to {known}; use the newer program, or a copy of the database from before"
    )]
    Newer {
        /// The database's version.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// The database's structure is broken.
    #[error("the database is damaged ({0}); restore a backup")]
    Corrupt(String),
    /// It has a trigger that this program did not make, or lacks one that it did.
    #[error(
        "{0}; what would become of a record is not known, so nothing is recorded there: find out who did it, and restore a backup, or have the database as it was"
    )]
    Triggers(String),
    /// One of the newest records is not what was written.
    #[error(
        "the ledger's record {seq} is missing, or does not have the hash that it should; `rekeyd audit verify` tells more"
    )]
    Damaged {
        /// The record's number.
        seq: u64,
    },
    /// The database cannot be brought up to date.
    #[error("the database cannot be migrated: {0}")]
    Migration(#[from] refinery::Error),
    /// The database cannot be used.
    #[error("the database cannot be opened: {0}")]
    Database(#[from] rusqlite::Error),
    /// The writer's thread cannot be started.
    #[error("the ledger's thread cannot be started: {0}")]
    Thread(std::io::Error),
}

/// Whether a ledger was begun in a state directory, whatever became of it.
pub fn was_begun(state_dir: &Path) -> bool {
    state_dir.join(LOCK).exists()
}

impl OpenError {
    fn file(path: &Path, source: std::io::Error) -> Self {
        let path = path.to_owned();
        if source.kind() == std::io::ErrorKind::ReadOnlyFilesystem {
            Self::ReadOnly { path }
        } else {
            Self::File { path, source }
        }
    }
}

impl Store {
    /// Opens the ledger in a state directory, and makes either if there never was one. One at a time may.
    ///
    /// `new_ledger_id`, 32 random bytes, becomes the identity of a ledger that is new; an old one keeps its own.
    ///
    /// # Errors
    /// If the directory is held by another, cannot be written, or holds what this version cannot read.
    pub fn open(state_dir: &Path, new_ledger_id: [u8; 32]) -> Result<Self, OpenError> {
        lock::prepare(state_dir)?;
        let lock = StateLock::take(state_dir)?;
        let path = state_dir.join(DATABASE);
        let lost = || OpenError::Lost { path: path.clone(), sign: state_dir.join(LOCK) };
        if lock.was_signed() && !path.exists() {
            return Err(lost());
        }
        lock::make_database(state_dir)?;
        let mut conn = schema::connect(&path)?;
        if lock.was_signed() && schema::version(&conn)?.is_none() {
            return Err(lost());
        }
        schema::migrate(&mut conn)?;
        schema::identify(&conn, new_ledger_id)?;
        lock.sign()?;
        check::at_start(&conn, &path)?;
        let ledger_id = load::identity(&conn)?.unwrap_or(new_ledger_id);
        let writer = Writer::new(&path, conn, lock)?;
        let shared = writer.shared();
        let (ops, queue) = mpsc::channel(QUEUE);
        let writer = std::thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.run(queue))
            .map_err(OpenError::Thread)?;
        Ok(Self { ops: Some(ops), writer: Some(writer), shared, path, ledger_id, checking: check::Checking::default() })
    }

    /// Has `told` called, on the writer's thread, with how long each commit took by `clock`. Only the first call counts.
    pub fn on_commit(&self, clock: Arc<dyn Clock>, told: impl Fn(Duration) + Send + Sync + 'static) {
        let _ = self.shared.stopwatch.set(Stopwatch { clock, told: Box::new(told) });
    }

    /// What verifies this ledger's checkpoints that the key signs.
    pub fn verifier_of(&self, key: &CheckpointKey) -> VerifierKey {
        key.verifier(&checkpoint::origin_of(&self.ledger_id))
    }

    /// Has a checkpoint signed and written at once, from now on after each commit that holds an outcome, a start or a stop, and
    /// when the journal is closed. The ledger must name the key before ([`Event::CheckpointKeySet`]), see
    /// [`Reader::checkpoint_keys`].
    ///
    /// # Errors
    /// If the writer has ended. That the file cannot be written is told by [`Store::anchor`].
    pub async fn keep_checkpoints(&self, keeping: Keeping) -> Result<(), JournalError> {
        let keeper = Keeper::new(&self.ledger_id, keeping);
        self.ask(|ack| Op::Keep(Box::new(keeper), ack)).await
    }

    /// How far the ledger is anchored. Waits for nothing.
    pub fn anchor(&self) -> Anchor {
        self.shared.published.read().unwrap_or_else(PoisonError::into_inner).anchor.clone()
    }

    /// What the check of the whole ledger came to. Waits for nothing.
    pub fn check(&self) -> Check {
        self.checking.found()
    }

    /// Writes what is queued, then ends: whatever is asked of the journal later fails as closed. Its lock is free then.
    ///
    /// # Errors
    /// If the log could not be folded into the database file; nothing is lost, the next start does it.
    pub async fn close(&self) -> Result<(), JournalError> {
        self.ask(Op::Close).await
    }

    /// Returns when the writer has ended, which it does by itself only by a panic.
    pub async fn ended(&self) {
        if let Some(ops) = &self.ops {
            ops.closed().await;
        }
    }

    async fn ask<T>(&self, op: impl FnOnce(Ack<T>) -> Op) -> Result<T, JournalError> {
        let (ack, answer) = oneshot::channel();
        let ops = self.ops.as_ref().ok_or(JournalError::Closed)?;
        ops.send(op(ack)).await.map_err(|_| JournalError::Closed)?;
        answer.await.unwrap_or(Err(JournalError::Closed))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.checking.stop();
        self.ops = None;
        if let Some(writer) = self.writer.take() {
            // A writer that panicked said so itself.
            let _ = writer.join();
        }
    }
}

#[async_trait]
impl Journal for Store {
    async fn record(&self, entries: Vec<Entry>) -> Result<(), JournalError> {
        let entries = entries.into_iter().map(Entry::in_microseconds).collect();
        self.ask(|ack| Op::Write(Work::Record(entries), ack)).await
    }

    async fn seen_again(&self, sightings: Vec<(TargetId, Timestamp)>) -> Result<(), JournalError> {
        let sightings = sightings.into_iter().map(|(target, at)| (target, microsecond(at))).collect();
        self.ask(|ack| Op::Write(Work::SeenAgain(sightings), ack)).await
    }

    async fn past_key(&self, target: &TargetId, key: &KeyId) -> Result<Option<KeyRecord>, JournalError> {
        self.ask(|ack| Op::PastKey(target.clone(), key.clone(), ack)).await
    }

    fn fleet(&self) -> Arc<Fleet> {
        Arc::clone(&self.shared.published.read().unwrap_or_else(PoisonError::into_inner).fleet)
    }

    fn head(&self) -> Head {
        self.shared.published.read().unwrap_or_else(PoisonError::into_inner).head.clone()
    }
}

#[cfg(test)]
mod tests;
