//! The read-only side: what the commands show, with the daemon up, down, or dead with its log left behind.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use wildmatch::WildMatch;

use super::chain::Record;
use super::columns::{Json, Micros, Word};
use super::load::{self, json, time};
use super::{DATABASE, schema};
use crate::domain::{ClusterId, Fleet, KeyId, ManagerName, ProjectId, RotationId, RotationRow, TargetId, TargetName};
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

/// Which rotations are wanted. Nothing set means all.
#[derive(Clone, Debug, Default)]
pub struct RotationFilter {
    /// A glob over target names; `*` crosses slashes.
    pub target: Option<String>,
    /// Only those begun at this time or later.
    pub since: Option<Timestamp>,
    /// Only those begun before this time.
    pub until: Option<Timestamp>,
    /// At most so many, the newest.
    pub limit: Option<u32>,
}

/// With more matching targets than this, walking all rotations by time beats looking each target up.
const FEW_TARGETS: usize = 64;
/// Rotations read at a time.
const PAGE: u32 = 1000;

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

    /// The newest records, at most so many, in order.
    pub fn newest(&self, limit: u32) -> Result<Vec<Record>, ReadError> {
        let moment = self.conn.unchecked_transaction()?;
        let head = load::head(&moment)?;
        Ok(load::records(&moment, head.seq.saturating_sub(u64::from(limit)), limit)?)
    }

    /// At most `limit` records of the ledger after number `after`, in order.
    pub fn records(&self, after: u64, limit: u32) -> Result<Vec<Record>, ReadError> {
        Ok(load::records(&self.conn, after, limit)?)
    }

    /// The rotations that pass the filter, newest first.
    pub fn rotations(&self, filter: &RotationFilter) -> Result<Vec<RotationRow>, ReadError> {
        let mut rows = Vec::new();
        let _: ControlFlow<()> = self.each_rotation(filter, |row| {
            rows.push(row);
            ControlFlow::Continue(())
        })?;
        Ok(rows)
    }

    /// Shows each rotation that passes the filter, newest first, until `each` breaks off.
    ///
    /// Holds a page of them, and the database only while it reads one: `each` may wait for people. What begins meanwhile
    /// is not shown.
    pub fn each_rotation<B>(
        &self,
        filter: &RotationFilter,
        mut each: impl FnMut(RotationRow) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, ReadError> {
        let ids = filter.target.as_ref().map(|glob| matching_targets(&self.conn, glob)).transpose()?;
        let wanted = match &ids {
            None => "",
            Some(ids) if ids.len() <= FEW_TARGETS => "rotation.target IN (SELECT value FROM json_each(?1)) AND",
            // The plus keeps the planner from the index by target.
            Some(_) => "+rotation.target IN (SELECT value FROM json_each(?1)) AND",
        };
        let mut statement = self.conn.prepare(&format!(
            "SELECT rotation.*, rotation.rowid AS place, name, manager, project_id, cluster_id, mechanism
             FROM rotation JOIN target ON target.id = rotation.target
             WHERE {wanted} began_at >= ?2 AND (began_at, rotation.rowid) < (?3, ?4)
             ORDER BY began_at DESC, rotation.rowid DESC LIMIT ?5"
        ))?;
        let (ids, since) = (ids.map(Json), Micros(filter.since.unwrap_or(Timestamp::MIN)));
        let mut before = (Micros(filter.until.unwrap_or(Timestamp::MAX)), i64::MIN);
        let mut left = filter.limit.unwrap_or(u32::MAX);
        while left > 0 {
            let limit = left.min(PAGE);
            let page = statement
                .query_map(params![ids, since, before.0, before.1, limit], |row| {
                    Ok((row.get::<_, i64>("place")?, rotation_row(row)?))
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let whole = page.len() == limit as usize;
            for (place, row) in page {
                before = (Micros(row.began_at), place);
                if let ControlFlow::Break(why) = each(row) {
                    return Ok(ControlFlow::Break(why));
                }
            }
            left = if !whole {
                0
            } else if filter.limit.is_some() {
                left - limit
            } else {
                left
            };
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn matching_targets(conn: &Connection, glob: &str) -> rusqlite::Result<Vec<String>> {
    let glob = WildMatch::new(glob);
    let mut ids = Vec::new();
    let mut statement = conn.prepare("SELECT id, name FROM target")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if glob.matches(row.get_ref("name")?.as_str()?) {
            ids.push(row.get("id")?);
        }
    }
    Ok(ids)
}

pub(super) fn rotation_row(row: &Row<'_>) -> rusqlite::Result<RotationRow> {
    let key = |column| row.get::<_, Option<String>>(column).map(|id| id.map(KeyId::new));
    Ok(RotationRow {
        target: TargetId::new(row.get::<_, String>("target")?),
        name: TargetName::new(row.get::<_, String>("name")?),
        manager: ManagerName::new(row.get::<_, String>("manager")?),
        project_id: ProjectId::new(row.get::<_, String>("project_id")?),
        cluster_id: ClusterId::new(row.get::<_, String>("cluster_id")?),
        mechanism: row.get::<_, Word<_>>("mechanism")?.0,
        id: RotationId { slot: row.get("slot")?, attempt: row.get("attempt")? },
        actor: row.get("actor")?,
        state: row.get::<_, Word<_>>("state")?.0,
        how: row.get::<_, Option<Word<_>>>("how")?.map(|Word(how)| how),
        due_at: row.get::<_, Micros>("due_at")?.0,
        began_at: row.get::<_, Micros>("began_at")?.0,
        key_before: key("key_before")?,
        key_after: key("key_after")?,
        intended_at: time(row, "intended_at")?,
        sent_at: time(row, "sent_at")?,
        accepted_at: time(row, "accepted_at")?,
        ended_at: time(row, "ended_at")?,
        stage: row.get::<_, Option<Word<_>>>("stage")?.map(|Word(stage)| stage),
        failure: json(row, "failure")?,
        retry_at: time(row, "retry_at")?,
        why: row.get("why")?,
        seq: row.get("seq")?,
    })
}
