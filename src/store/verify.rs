//! Verifies a ledger: the chain from its first record to its last, and that every table follows from it.

use jiff::Timestamp;
use rusqlite::Connection;

use super::chain::Record;
use super::compare::{compare_guards, compare_tables};
use super::fault::Fault;
use super::reader::{ReadError, Reader};
use super::{OpenError, load, project, schema};
use crate::domain::{Actor, Entry, Fleet};
use crate::ports::Head;

/// A ledger that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many records it has.
    pub records: u64,
    /// The newest of them. Whether it is the newest ever written only a head kept elsewhere can tell.
    pub head: Head,
    /// The first record's time.
    pub first_at: Option<Timestamp>,
    /// The newest record's time.
    pub last_at: Option<Timestamp>,
    /// Records of kinds that this version does not know. With any, the tables are not compared.
    pub unknown: u64,
}

/// Where a ledger is not whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {seq}: {why}")]
pub struct Broken {
    /// The first record at which it shows; of a table's row, the record that it should follow from.
    pub seq: u64,
    /// What is wrong.
    pub why: String,
}

/// Why a ledger is not verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is not whole.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// It could not be read to its end.
    #[error(transparent)]
    Unreadable(#[from] ReadError),
    /// The scratch database for the comparison could not be made.
    #[error("no room to work in: {0}")]
    Scratch(OpenError),
}

impl From<rusqlite::Error> for VerifyError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unreadable(error.into())
    }
}

/// Records read at a time.
const PAGE: u32 = 4096;

impl Reader {
    /// Walks the whole ledger, replays it, and compares what follows from it with the tables, row by row.
    ///
    /// Holds one page of records and the fleet in memory; the replayed tables stand in a temporary file. Records are
    /// read in pages that do not hold up a working daemon; only the last page and the comparison see one moment.
    /// When a present key was last seen has no record, and is not compared. `progress` is told records done and to do.
    ///
    /// # Errors
    /// [`VerifyError::Broken`] names the first record that does not hold.
    pub fn verify(&self, mut progress: impl FnMut(u64, u64)) -> Result<Verified, VerifyError> {
        let mut replay = Replay::begin(load::identity(&self.conn)?.unwrap_or_default())?;
        let total = load::head(&self.conn)?.seq;
        loop {
            let moment = self.conn.unchecked_transaction()?;
            let page = load::records(&moment, replay.head.seq, PAGE)?;
            for record in &page {
                replay.take(record)?;
            }
            progress(replay.head.seq, total.max(replay.head.seq));
            if page.len() < PAGE as usize {
                return replay.finish(&moment);
            }
        }
    }
}

/// The fold over a ledger, beside a database of its own that it fills as the writer would.
struct Replay {
    scratch: Connection,
    fleet: Fleet,
    head: Head,
    first_at: Option<Timestamp>,
    last_at: Option<Timestamp>,
    unknown: u64,
}

impl Replay {
    fn begin(ledger_id: [u8; 32]) -> Result<Self, VerifyError> {
        let scratch = schema::connect_scratch().map_err(VerifyError::Scratch)?;
        scratch.execute_batch("BEGIN")?;
        let head = Head { seq: 0, hash: ledger_id };
        Ok(Self { scratch, fleet: Fleet::default(), head, first_at: None, last_at: None, unknown: 0 })
    }

    /// Checks the next record against the chain and takes it in.
    fn take(&mut self, record: &Record) -> Result<(), VerifyError> {
        let next = self.head.seq + 1;
        let broken = |seq, why: &str| Broken { seq, why: why.to_owned() };
        if record.seq != next {
            return Err(broken(next, &format!("is missing; {} follows on {}", record.seq, self.head.seq)).into());
        }
        if record.prev_hash != self.head.hash {
            return Err(broken(next, "does not continue the chain: prev_hash is not the hash of the one before").into());
        }
        if record.hash != record.expected_hash() {
            return Err(broken(next, "does not have the hash that its fields demand").into());
        }
        self.head = record.head();
        self.first_at.get_or_insert(record.at);
        self.last_at = Some(record.at);
        self.replay(record)
    }

    fn replay(&mut self, record: &Record) -> Result<(), VerifyError> {
        let (Ok(event), Some(actor)) = (record.event(), Actor::from_word(&record.actor)) else {
            self.unknown += 1;
            return Ok(());
        };
        // Without the unknown ones a later record may seem impossible, and the tables can not be foretold.
        if self.unknown > 0 {
            return Ok(());
        }
        let broken = |why: String| Broken { seq: record.seq, why };
        let target = event.target().map(|target| target.as_str().to_owned()).unwrap_or_default();
        let rotation = event.transition().map(|step| step.id.to_string()).unwrap_or_default();
        if (&target, &rotation) != (&record.target, &record.rotation) {
            return Err(broken("target or rotation is not the one in its payload".to_owned()).into());
        }
        match project::apply(&self.scratch, &mut self.fleet, record.seq, &Entry { at: record.at, actor, event }) {
            Ok(_) => Ok(()),
            Err(Fault::Impossible(contradiction)) => Err(broken(contradiction.to_string()).into()),
            Err(Fault::Row(error) | Fault::Ledger(error)) => {
                Err(broken(format!("its consequences do not fit the tables: {error}")).into())
            }
        }
    }

    fn finish(self, moment: &Connection) -> Result<Verified, VerifyError> {
        if self.unknown == 0 {
            compare_tables(moment, &self.scratch)?;
        }
        compare_guards(moment, &self.scratch, self.head.seq)?;
        let Self { head, first_at, last_at, unknown, .. } = self;
        Ok(Verified { records: head.seq, head, first_at, last_at, unknown })
    }
}
