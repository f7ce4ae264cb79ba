//! The read-only side: what the commands show, with the daemon up, down, or dead with its log left behind.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::chain::Record;
use super::{DATABASE, VerifierKey, load, owner, schema};
use crate::domain::Fleet;
use crate::ports::Head;

/// Reads a ledger that a daemon writes, wrote, or died writing.
pub struct Reader {
    pub(super) conn: Connection,
}

/// Why a ledger cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is none.
    #[error("there is no ledger in {}; `rekeyd run` begins one", dir.display())]
    Missing {
        /// The state directory.
        dir: PathBuf,
    },
    /// A file is none.
    #[error("there is no ledger at {}", path.display())]
    NoLedger {
        /// The file.
        path: PathBuf,
    },
    /// This user may not read it.
    #[error("{} cannot be read: {source}{}", path.display(), come_as(owner.as_deref()))]
    Closed {
        /// The database.
        path: PathBuf,
        /// Whose it is, or its directory's.
        owner: Option<String>,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is no database, or a damaged one.
    #[error("{} cannot be read as a ledger: {source}", path.display())]
    Unfit {
        /// The database.
        path: PathBuf,
        /// What the database said.
        source: rusqlite::Error,
    },
    /// It was written by another version.
    #[error("the ledger has version {found}, and this program reads {known}; use the same version as the daemon")]
    OtherVersion {
        /// The database's version.
        found: u32,
        /// The version that this program reads.
        known: u32,
    },
    /// The database itself is damaged.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// The database cannot be read.
    #[error("the ledger cannot be read: {0}")]
    Database(#[from] rusqlite::Error),
}

/// Whom to come as, if that is known.
fn come_as(owner: Option<&str>) -> String {
    owner.map_or_else(String::new, |owner| format!("; it belongs to {owner}: `sudo -u {owner} rekeyd ...`"))
}

impl Reader {
    /// Opens the ledger in a state directory for reading.
    ///
    /// # Errors
    /// If there is none, or it is another version's.
    pub fn open(state_dir: &Path) -> Result<Self, ReadError> {
        let missing = || ReadError::Missing { dir: state_dir.to_owned() };
        Self::open_as(&state_dir.join(DATABASE), missing)
    }

    /// Opens a ledger by its file, wherever that is.
    ///
    /// # Errors
    /// If it is none, or another version's.
    pub fn open_file(path: &Path) -> Result<Self, ReadError> {
        Self::open_as(path, || ReadError::NoLedger { path: path.to_owned() })
    }

    fn open_as(path: &Path, missing: impl Fn() -> ReadError) -> Result<Self, ReadError> {
        if std::fs::metadata(path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            return Err(missing());
        }
        owner::may_read(path)?;
        let unfit = |source| ReadError::Unfit { path: path.to_owned(), source };
        let conn = schema::connect_read_only(path).map_err(unfit)?;
        let (found, known) = (schema::version(&conn).map_err(unfit)?.ok_or_else(&missing)?, schema::newest());
        if found != known {
            return Err(ReadError::OtherVersion { found, known });
        }
        load::identity(&conn)?.ok_or_else(&missing)?;
        Ok(Self { conn })
    }

    /// Everything known, as of the newest record.
    pub fn fleet(&self) -> Result<Fleet, ReadError> {
        let moment = self.conn.unchecked_transaction()?;
        Ok(load::fleet(&moment)?)
    }

    /// The newest record's number and hash.
    pub fn head(&self) -> Result<Head, ReadError> {
        Ok(load::head(&self.conn)?)
    }

    /// The newest records, at most so many, in order.
    pub fn newest(&self, limit: u32) -> Result<Vec<Record>, ReadError> {
        let moment = self.conn.unchecked_transaction()?;
        let head = load::head(&moment)?;
        Ok(load::records(&moment, head.seq.saturating_sub(u64::from(limit)), limit)?)
    }

    /// Its random id.
    pub fn ledger_id(&self) -> Result<[u8; 32], ReadError> {
        Ok(load::identity(&self.conn)?.unwrap_or_default())
    }

    /// The keys that sign checkpoints, as the ledger names them, in order; the last is in use.
    pub fn checkpoint_keys(&self) -> Result<Vec<VerifierKey>, ReadError> {
        Ok(load::checkpoint_keys(&self.conn)?.into_iter().map(|(_, key)| key).collect())
    }

    /// At most `limit` records of the ledger after number `after`, in order.
    pub fn records(&self, after: u64, limit: u32) -> Result<Vec<Record>, ReadError> {
        Ok(load::records(&self.conn, after, limit)?)
    }
}
