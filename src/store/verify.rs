//! Verifies a ledger: the chain, the checkpoints that were made of it, and that every table follows from it.

use std::ops::ControlFlow;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Transaction};

use super::checkpoint::{Checkpoint, origin_of};
use super::columns::Micros;
use super::compare::{compare_guards, compare_long_tables, compare_short_tables};
use super::page::Page;
use super::reader::{ReadError, Reader};
use super::relay::relay;
use super::replay::Replay;
use super::seal::Seals;
use super::walk::{Pins, Walk};
use super::{OpenError, VerifierKey, load, schema};
use crate::ports::Head;

/// What a ledger is held against, beside itself.
#[derive(Clone, Debug, Default)]
pub struct Demands {
    /// Checkpoints that the ledger's keys must have signed.
    pub checkpoints: Vec<Checkpoint>,
    /// Heads that someone kept, and believes without a signature.
    pub kept: Vec<Head>,
    /// Walk only the records from the first of this time or later on. The tables are not compared then: they follow from
    /// all records.
    pub since: Option<Timestamp>,
}

/// A ledger that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many records were walked.
    pub records: u64,
    /// The newest of them. Whether it is the newest ever written only a head kept elsewhere can tell.
    pub head: Head,
    /// The first record's time.
    pub first_at: Option<Timestamp>,
    /// The newest record's time.
    pub last_at: Option<Timestamp>,
    /// Records of kinds that this version does not know. With any, the tables are not compared.
    pub unknown: u64,
    /// Whether the tables were compared.
    pub tables: bool,
    /// How many signed checkpoints agree.
    pub checkpoints: u64,
    /// The newest record that a signed checkpoint or a kept head names; what came after it, they can not vouch for.
    pub anchored: Option<u64>,
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
    /// Whoever is told of the progress broke off.
    #[error("broken off")]
    BrokenOff,
    /// A later version wrote it.
    #[error("record {seq} is of kind {kind:?}, which this version does not know; use the version that wrote it")]
    Later {
        /// The first such record.
        seq: u64,
        /// Its kind.
        kind: String,
    },
    /// The scratch database for the comparison could not be made.
    #[error("no room to work in: {0}")]
    Scratch(OpenError),
}

impl From<rusqlite::Error> for VerifyError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unreadable(error.into())
    }
}

/// A daemon at work seldom writes between two glances, and never so often.
const TRIES: usize = 10_000;

/// How a pin of each kind is told.
const SIGNED: &str = "a signed checkpoint";
const KEPT: &str = "a head that was kept";

impl Reader {
    /// Walks the whole ledger, replays it, and compares what follows from it with the tables, row by row.
    ///
    /// `progress` is told records done and to do.
    ///
    /// # Errors
    /// [`VerifyError::Broken`] names the first record that does not hold.
    pub fn verify(&self, mut progress: impl FnMut(u64, u64)) -> Result<Verified, VerifyError> {
        self.verify_against(&Demands::default(), |done, total| {
            progress(done, total);
            ControlFlow::Continue(())
        })
    }

    /// The same, held against what is known from elsewhere.
    ///
    /// Holds some pages of records, the fleet, and a few rows for each target in memory. Records are read in pages that do
    /// not hold up a working daemon; only what was written meanwhile and the comparison see one moment. When a present key
    /// was last seen has no record, and is not compared.
    ///
    /// # Errors
    /// [`VerifyError::Broken`] names the first record that does not hold.
    pub fn verify_against(
        &self,
        demands: &Demands,
        mut progress: impl FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<Verified, VerifyError> {
        let start = self.start(demands.since)?;
        let mut walk = Walk::begin(start.clone(), self.pins(demands, start.seq)?);
        let mut expected = if demands.since.is_none() { Some(Expected::begin()?) } else { None };
        let total = load::head(&self.conn)?.seq;
        let mut take = |page: &Page| {
            expected.as_mut().map_or(Ok(()), |expected| expected.take(page))?;
            let done = page.last_seq().unwrap_or_default();
            told(progress(done, total.max(done)))
        };
        relay(self.path(), &mut walk, total, &mut take)?;
        let (moment, twin) = self.one_moment()?;
        let mut page = Page::default();
        loop {
            page.fill(&moment, walk.head.seq, i64::MAX.unsigned_abs())?;
            if page.last_seq().is_none() {
                break;
            }
            page.records().try_for_each(|record| walk.take(&record))?;
            take(&page)?;
        }
        walk.finish()?;
        check_signatures(&demands.checkpoints, &load::checkpoint_keys(&moment)?)?;
        let unknown = expected.as_ref().map_or(0, |expected| expected.replay.unknown);
        let tables = expected.is_some() && unknown == 0;
        if let Some(expected) = &mut expected {
            if unknown == 0 && !expected.are_in(&moment, twin)? {
                self.explain(&moment, &mut progress)?;
            }
            compare_guards(&moment, &expected.replay.scratch, walk.head.seq)?;
        }
        let checkpoints = demands.checkpoints.iter().map(|checkpoint| &checkpoint.head);
        Ok(Verified {
            records: walk.head.seq - start.seq,
            first_at: walk.first_at,
            last_at: walk.last_at,
            unknown,
            tables,
            checkpoints: demands.checkpoints.len() as u64,
            anchored: checkpoints.chain(&demands.kept).map(|head| head.seq).max(),
            head: walk.head,
        })
    }

    /// Finds the row that is not what it ought to be: writes down all that follow from the records, and compares them in
    /// order.
    fn explain(
        &self,
        moment: &Connection,
        progress: &mut impl FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<(), VerifyError> {
        let total = load::head(moment)?.seq;
        let (mut replay, mut page) = (Replay::begin()?, Page::default());
        let mut done = 0;
        while done < total {
            page.fill(moment, done, total)?;
            for record in page.records() {
                replay.take(&record)?;
            }
            done = page.last_seq().unwrap_or(total);
            if done == total {
                replay.finish()?;
            }
            for settled in std::mem::take(&mut replay.settled) {
                let fits = replay.insert(&settled);
                fits.map_err(|error| Broken {
                    seq: done,
                    why: format!("what follows from it does not fit the tables: {error}"),
                })?;
            }
            told(progress(done, total))?;
        }
        compare_long_tables(moment, &replay.scratch)?;
        let why = "the rows of rotations or keys are not those that follow from the records, and an index hides which: \
                   ask SQLite's `PRAGMA integrity_check`";
        Err(Broken { seq: total, why: why.to_owned() }.into())
    }

    /// A moment of the database that two threads can read: both connections see the same records, and so the same tables.
    pub(super) fn one_moment(&self) -> Result<(Transaction<'_>, Connection), ReadError> {
        let twin = schema::connect_read_only(self.path())?;
        for _ in 0..TRIES {
            let moment = self.conn.unchecked_transaction()?;
            twin.execute_batch("BEGIN")?;
            if load::head(&moment)? == load::head(&twin)? {
                return Ok((moment, twin));
            }
            // The daemon wrote between the one and the other.
            twin.execute_batch("ROLLBACK")?;
        }
        Err(ReadError::Damaged("another file was put in its place meanwhile".to_owned()))
    }

    pub(super) fn path(&self) -> &Path {
        Path::new(self.conn.path().unwrap_or_default())
    }

    /// What is trusted: the ledger's id, or the record before the first that is asked about.
    fn start(&self, since: Option<Timestamp>) -> Result<Head, VerifyError> {
        let id = load::identity(&self.conn)?.unwrap_or_default();
        let Some(since) = since else { return Ok(Head { seq: 0, hash: id }) };
        let first: Option<u64> = self
            .conn
            .query_row("SELECT seq FROM ledger WHERE at >= ? ORDER BY at, seq LIMIT 1", [Micros(since)], |row| {
                row.get(0)
            })
            .optional()?;
        match first.map(|first| first - 1) {
            None => Ok(load::head(&self.conn)?),
            Some(0) => Ok(Head { seq: 0, hash: id }),
            Some(seq) => match load::hash_of(&self.conn, seq)? {
                Some(hash) => Ok(Head { seq, hash }),
                None => Err(Broken { seq, why: "is missing".to_owned() }.into()),
            },
        }
    }

    /// What the records must be, those up to `start` being held against it at once.
    pub(super) fn pins(&self, demands: &Demands, start: u64) -> Result<Pins, VerifyError> {
        let origin = origin_of(&load::identity(&self.conn)?.unwrap_or_default());
        if let Some(foreign) = demands.checkpoints.iter().find(|checkpoint| checkpoint.origin != origin) {
            let why = format!("belongs to another ledger: a checkpoint is of {}, and this is {origin}", foreign.origin);
            return Err(Broken { seq: 1, why }.into());
        }
        let mut ahead = Vec::new();
        let signed = demands.checkpoints.iter().map(|checkpoint| (&checkpoint.head, SIGNED));
        for (head, who) in demands.kept.iter().map(|head| (head, KEPT)).chain(signed) {
            if head.seq > start {
                ahead.push((head.clone(), who));
            } else if head.seq > 0 && load::hash_of(&self.conn, head.seq)? != Some(head.hash) {
                let why = format!("is not the one of {who}: the ledger was written anew");
                return Err(Broken { seq: head.seq, why }.into());
            }
        }
        Ok(Pins::new(ahead))
    }
}

/// What the tables must hold, by the records so far.
struct Expected {
    replay: Replay,
    seals: Seals,
}

impl Expected {
    fn begin() -> Result<Self, VerifyError> {
        Ok(Self { replay: Replay::begin()?, seals: Seals::new() })
    }

    fn take(&mut self, page: &Page) -> Result<(), VerifyError> {
        for record in page.records() {
            self.replay.take(&record)?;
            self.seal();
        }
        Ok(())
    }

    fn seal(&mut self) {
        for settled in self.replay.settled.drain(..) {
            self.seals.demand(&self.replay.shapes, &settled);
        }
    }

    /// Compares what a database holds, seen at one moment through two connections. False: the rows of rotations and keys are
    /// not those that they ought to be.
    fn are_in(&mut self, found: &Connection, twin: Connection) -> Result<bool, VerifyError> {
        self.replay.finish()?;
        self.seal();
        compare_short_tables(found, &self.replay.scratch)?;
        Ok(self.seals.hold(found, twin, &self.replay.shapes)?)
    }
}

/// Whether whoever is told wants to hear more.
pub(super) fn told(answer: ControlFlow<()>) -> Result<(), VerifyError> {
    if answer.is_break() { Err(VerifyError::BrokenOff) } else { Ok(()) }
}

/// Each must be signed by a key that the ledger names at that point.
pub(super) fn check_signatures(checkpoints: &[Checkpoint], keys: &[(u64, VerifierKey)]) -> Result<(), Broken> {
    for checkpoint in checkpoints {
        let seq = checkpoint.head.seq;
        if !keys.iter().any(|(named, key)| *named <= seq && key.signed(checkpoint)) {
            let why = "has a checkpoint that is not signed by a key that the ledger names".to_owned();
            return Err(Broken { seq, why });
        }
    }
    Ok(())
}
