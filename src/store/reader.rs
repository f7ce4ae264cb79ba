//! The read-only side: what the commands show, with the daemon up, down, or dead with its log left behind.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::chain::Record;
use super::{DATABASE, VerifierKey, load, schema};
use crate::domain::Fleet;
use crate::ports::Head;

/// Reads a ledger that a daemon writes, wrote, or died writing.
pub struct Reader {
    pub(super) conn: Connection,
}

/// Why a ledger can not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is none.
    #[error("there is no ledger in {}; `rekeyd run` begins one", dir.display())]
    Missing {
        /// The state directory.
        dir: PathBuf,
    },
    /// It was written by another version.
    #[error("the ledger has version {found}, and this program reads {known}; use the same version as the daemon")]
    OtherVersion {
        /// The database's version.
        found: u32,
        /// The version that this program reads.
        known: u32,
    },
    /// The database can not be read.
    #[error("the ledger can not be read: {0}")]
    Database(#[from] rusqlite::Error),
}

impl Reader {
    /// Opens the ledger in a state directory for reading.
    ///
    /// # Errors
    /// If there is none, or it is another version's.
    pub fn open(state_dir: &Path) -> Result<Self, ReadError> {
        let missing = || ReadError::Missing { dir: state_dir.to_owned() };
        let path = state_dir.join(DATABASE);
        if std::fs::metadata(&path).is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound) {
            return Err(missing());
        }
        let conn = schema::connect_read_only(&path)?;
        let (found, known) = (schema::version(&conn)?.ok_or_else(missing)?, schema::newest());
        if found != known {
            return Err(ReadError::OtherVersion { found, known });
        }
        load::identity(&conn)?.ok_or_else(missing)?;
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
