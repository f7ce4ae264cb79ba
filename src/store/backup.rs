//! Copies of the ledger: made beside a working daemon, verified before they count, and brought back only where nothing is.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::lock::{self, StateLock};
use super::reader::{ReadError, Reader};
use super::verify::{Unread, Verified, VerifyError};
use super::{DATABASE, OpenError, schema};
use crate::durable;

/// So many pages: all of them. In smaller steps a copy would begin anew whenever the daemon commits, and perhaps never end.
const ALL: std::ffi::c_int = std::ffi::c_int::MAX;

/// How SQLite's own files beside a database end.
const LOGS: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// There is something in its place.
    #[error("{} is there already, and is not written over", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// What is left of another database lies where the copy's own log would be: it would be taken for a part of the copy.
    #[error(
        "{} is left of another database and holds what was recorded last in it; move it away together with that database, under the same name", path.display()
    )]
    Remains {
        /// What is left.
        path: PathBuf,
    },
    /// A file cannot be written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The database cannot be copied.
    #[error("the ledger cannot be copied: {0}")]
    Copy(#[from] rusqlite::Error),
    /// The database was busy for too long.
    #[error("the ledger was busy; try again")]
    Busy,
    /// The copy, or what was to be brought back, is not whole.
    #[error("the copy cannot be shown to be whole, and was removed: {0}")]
    Verify(#[from] VerifyError),
    /// What is to be brought back has records that this version does not know, so nobody can say whether its tables are right.
    #[error("{0}; bring it back with the version that wrote them")]
    Later(Unread),
    /// What is to be copied cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The state directory cannot be worked in.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Reader {
    /// Copies the whole ledger, as of one moment, into a new file, and verifies the copy: integrity, chain and tables.
    ///
    /// # Errors
    /// If the file is there already, cannot be written, or does not verify; nothing is left behind then.
    pub fn backup(&self, file: &Path) -> Result<Verified, BackupError> {
        copy(&self.conn, file, |_| Ok(()))
    }
}

/// Brings a copy back into a state directory that has no ledger, and verifies it there. The daemon must be stopped. One that an
/// earlier version made is brought up to date.
///
/// # Errors
/// If there is a ledger, or a daemon, or the copy is not whole or a later version's; nothing is left behind then.
pub fn restore(file: &Path, state_dir: &Path) -> Result<Verified, BackupError> {
    let no_ledger = || ReadError::NoLedger { path: file.to_owned() };
    if !file.is_file() {
        return Err(no_ledger().into());
    }
    let from = schema::connect_read_only(file)?;
    let (found, known) = (schema::version(&from)?.ok_or_else(no_ledger)?, schema::newest());
    if found > known {
        return Err(ReadError::OtherVersion { found, known }.into());
    }
    lock::prepare(state_dir)?;
    let lock = StateLock::take(state_dir)?;
    let verified = copy(&from, &state_dir.join(DATABASE), |copy| match &copy.unread {
        Some(unread) => Err(BackupError::Later(unread.clone())),
        None => Ok(()),
    })?;
    lock.sign()?;
    Ok(verified)
}

/// Makes a copy, which gets its name only if it is `good`.
fn copy(
    from: &Connection,
    file: &Path,
    good: impl Fn(&Verified) -> Result<(), BackupError>,
) -> Result<Verified, BackupError> {
    let exists = || BackupError::Exists { path: file.to_owned() };
    let failed = |source: io::Error| {
        if source.kind() == io::ErrorKind::AlreadyExists {
            exists()
        } else {
            BackupError::File { path: file.to_owned(), source }
        }
    };
    if file.exists() {
        return Err(exists());
    }
    if let Some(path) = LOGS.map(|end| beside(file, end)).into_iter().find(|path| path.exists()) {
        return Err(BackupError::Remains { path });
    }
    // Closed to others, as all such files are, and removed unless it gets its own name.
    let mut unfinished = tempfile::Builder::new();
    let unfinished = unfinished.prefix("rekeyd-").suffix(".unfinished").tempfile_in(durable::folder_of(file));
    let unfinished = unfinished.map_err(failed)?.into_temp_path();
    let verified = fill(from, &unfinished)?;
    good(&verified)?;
    durable::name(&unfinished, file).map_err(failed)?;
    Ok(verified)
}

/// A file's path with this behind its name.
fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Fills a file with a copy, and verifies it.
fn fill(from: &Connection, file: &Path) -> Result<Verified, BackupError> {
    let mut to = Connection::open(file)?;
    let step = Backup::new(from, &mut to)?.step(ALL)?;
    if step != StepResult::Done {
        return Err(BackupError::Busy);
    }
    schema::migrate(&mut to)?;
    // One file, without a log beside it. The daemon changes this back when it opens it.
    to.pragma_update(None, "journal_mode", "DELETE")?;
    to.close().map_err(|(_, error)| error)?;
    Ok(Reader::open_file(file)?.verify(|_, _| {})?)
}
