//! The state directory, and the lock that keeps a second daemon out of it.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::{DATABASE, LOCK, OpenError, owner};
use crate::durable;

/// How often a lock that is taken is tried: for half a second.
const TRIES: u32 = 50;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// The sole right to write in a state directory; ends with the value, or with the process however it dies.
///
/// The operating system's lock on the directory itself decides: a file in it could be removed, and the next daemon would
/// lock another one. The lock file only tells people who holds it, and that a ledger was begun here.
#[derive(Debug)]
pub(super) struct StateLock {
    _dir: File,
    words: PathBuf,
}

/// Makes the directory, closed to others, if it is missing. Not its parents: where a disk is not mounted, a new directory
/// would stand in for it.
///
/// # Errors
/// If that cannot be done, or root would work where another user does.
pub(super) fn prepare(state_dir: &Path) -> Result<(), OpenError> {
    let parent = durable::folder_of(state_dir);
    let failed = OpenError::file;
    let sync = || durable::sync_name(state_dir);
    match DirBuilder::new().mode(0o700).create(state_dir) {
        Ok(()) => sync().map_err(|source| failed(parent, source)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            // It may be from a start that died before this. A parent that may not be read was made by someone else.
            let _ = sync();
            owner::suits_root(state_dir)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(failed(parent, error)),
        Err(error) => Err(failed(state_dir, error)),
    }
}

/// Makes an empty database file, closed to others, if there is none: `SQLite` would let the umask decide.
///
/// `SQLite` gives its write-ahead log and shared memory the mode of the database.
pub(super) fn make_database(state_dir: &Path) -> Result<(), OpenError> {
    let path = state_dir.join(DATABASE);
    let failed = |source| OpenError::file(&path, source);
    // Also one that exists is opened for writing: SQLite would open what it may only read, and say so late and unclearly.
    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    // The name must survive a power cut as surely as what is written behind it, also a name from a start that died here.
    durable::sync_name(&path).map_err(failed)
}

impl StateLock {
    /// Takes the lock, or says who has it.
    ///
    /// A process that is just being started holds what its parent held until it runs its own program, and a daemon that ends
    /// holds it to its last moment: so a lock that is taken is tried for a little while.
    #[expect(clippy::disallowed_methods, reason = "the wait is for another process, on a thread that may block")]
    pub(super) fn take(state_dir: &Path) -> Result<Self, OpenError> {
        let words = state_dir.join(LOCK);
        let failed = |source| OpenError::file(state_dir, source);
        let dir = File::open(state_dir).map_err(failed)?;
        for _ in 0..TRIES {
            match dir.try_lock() {
                Ok(()) => return Ok(Self { _dir: dir, words }),
                Err(TryLockError::WouldBlock) => std::thread::sleep(BETWEEN_TRIES),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
        Err(OpenError::Held { path: state_dir.to_owned(), holder: holder(&words) })
    }

    /// Whether a ledger was begun here, whatever became of it.
    pub(super) fn was_signed(&self) -> bool {
        self.words.exists()
    }

    /// Whether the file system of the state directory refuses every write.
    pub(super) fn is_read_only(&self) -> bool {
        // Any file but the database, whose locks would end with the handle.
        let opened = OpenOptions::new().write(true).open(&self.words);
        opened.is_err_and(|error| error.kind() == io::ErrorKind::ReadOnlyFilesystem)
    }

    /// Writes down who holds the lock. To be done once there is a ledger: from then on a missing one is a loss.
    pub(super) fn sign(&self) -> Result<(), OpenError> {
        let failed = |source| OpenError::file(&self.words, source);
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&self.words).map_err(failed)?;
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = if host.trim().is_empty() { "an unknown host" } else { host.trim() };
        // Only for people: a full disk must not keep the daemon from starting here.
        let _ = writeln!(file, "pid {} on {host}", std::process::id());
        Ok(())
    }
}

/// Who holds the lock: what the holder wrote when it began, and when that was, by the file's own date.
fn holder(words: &Path) -> String {
    let said = fs::read_to_string(words).unwrap_or_default();
    let since = fs::metadata(words).and_then(|data| data.modified()).ok();
    match (said.trim(), since.and_then(|date| Timestamp::try_from(date).ok())) {
        ("", _) => "a process that did not say who it is".to_owned(),
        (who, Some(since)) => format!("{who}, since {since:.0}"),
        (who, None) => who.to_owned(),
    }
}
