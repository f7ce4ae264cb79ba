//! Verifies a ledger: the chain, the checkpoints that were made of it, and that every table follows from it.

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, Transaction};

use super::checkpoint::{Checkpoint, CheckpointsError};
use super::columns::Micros;
use super::compare::{compare_long_tables, compare_short_tables};
use super::guards::{Looked, first_difference};
use super::integrity::IntegrityCheck;
use super::page::Page;
use super::reader::{ReadError, Reader};
use super::relay::relay;
use super::replay::Replay;
use super::seal::Seals;
use super::signatures::SignedBy;
use super::walk::{Linked, Walk};
use super::witness::{CheckpointFile, Witnesses};
use super::{OpenError, VerifierKey, load, schema};
use crate::ports::Head;

/// What a ledger is held against, beside itself.
#[derive(Clone, Debug, Default)]
pub struct Demands {
    /// The file that the daemon writes its checkpoints to.
    pub checkpoint_file: Option<PathBuf>,
    /// Checkpoints that someone kept. The ledger's keys must have signed these, too.
    pub checkpoints: Vec<Checkpoint>,
    /// Heads that someone kept, and believes without a signature.
    pub kept: Vec<Head>,
    /// Keys that someone kept: one checkpoint at least must be signed by one of them, and the others vouch for nothing; the
    /// ledger must name them all. None: the keys that the ledger names are believed.
    pub trusted: Vec<VerifierKey>,
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
    /// The records that this version cannot read. With any, the tables are not compared.
    pub unread: Option<Unread>,
    /// Whether the tables were compared.
    pub tables: bool,
    /// How many signed checkpoints agree.
    pub checkpoints: u64,
    /// Who signed them.
    pub signed_by: Vec<SignedBy>,
    /// The first record that names a key for checkpoints: from there on the daemon signs.
    pub named: Option<u64>,
    /// The checkpoint file ends with one that was not written to its end. The daemon takes it away when it signs the next.
    pub cut_off: bool,
    /// The newest record that a checkpoint by a key that is believed or a kept head names; what came after it, they cannot
    /// vouch for.
    pub anchored: Option<u64>,
}

/// Records whose kind or contents this version does not know. A later version wrote them, or somebody who wants the tables
/// not to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The number of the first.
    pub first: u64,
    /// Its kind.
    pub kind: String,
    /// How many they are.
    pub records: u64,
}

impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, kind, records } = self;
        write!(f, "this version cannot read {records} records, the first of them {first}, of kind {kind:?}")
    }
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
    /// The checkpoint file cannot be read, or understood.
    #[error("the checkpoint file {}: {source}", path.display())]
    Checkpoints {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CheckpointsError,
    },
    /// Whoever is told of the progress broke off.
    #[error("broken off")]
    BrokenOff,
    /// A later version wrote it, as it seems.
    #[error("this version cannot read record {seq}, of kind {kind:?}; use the version that wrote it")]
    Later {
        /// The first such record.
        seq: u64,
        /// Its kind.
        kind: String,
    },
    /// The system gave no random numbers, by which the tables are compared.
    #[error("the system gives no random numbers: {0}")]
    Random(std::io::Error),
    /// The scratch database for the comparison could not be made.
    #[error("no room to work in: {0}")]
    Scratch(OpenError),
}

impl From<rusqlite::Error> for VerifyError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unreadable(error.into())
    }
}

/// Two connections are asked so often at most for the same head. Beside a busy daemon the second or third try finds it.
const TRIES: usize = 10_000;

impl Reader {
    /// Walks the whole ledger, replays it, compares what follows from it with the tables, row by row, and has `SQLite` check the
    /// database.
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
        self.check_beginning()?;
        let start = self.start(demands.since)?;
        let file = demands.checkpoint_file.as_deref().map(CheckpointFile::open).transpose()?;
        // Behind the opening: no key signed in the file that is not named by now.
        let keys = load::checkpoint_keys(&self.conn)?;
        let mut witnesses = Witnesses::of(&self.conn, start.seq, &keys)?;
        demands.kept.iter().try_for_each(|head| witnesses.hear_head(head))?;
        demands.checkpoints.iter().try_for_each(|checkpoint| witnesses.hear(checkpoint))?;
        let cut_off = file.map_or(Ok(false), |file| witnesses.hear_file(file))?;
        let mut walk = Walk::begin(start.clone(), witnesses.pins());
        let mut expected = if demands.since.is_none() { Some(Expected::begin(self.path())?) } else { None };
        let total = load::head(&self.conn)?.seq;
        let mut take = |page: &Page| {
            expected.as_mut().map_or(Ok(()), |expected| expected.take(page))?;
            let done = page.head().map_or(0, |head| head.seq);
            told(progress(done, total.max(done)))
        };
        relay(self.path(), &mut walk, total, &mut take)?;
        let (moment, twin) = self.one_moment()?;
        // What was written meanwhile.
        loop {
            let mut linked = Linked::check(Page::read(&moment, walk.head.seq, u64::MAX >> 1)?);
            walk.take(&mut linked)?;
            if linked.page.head().is_none() {
                break;
            }
            take(&linked.page)?;
        }
        walk.finish()?;
        let (checkpoints, signed_by) = witnesses.signed_by()?;
        let vouched = vouched_for(&signed_by, &keys, &demands.trusted, &start, &walk.head)?;
        let unread = match expected {
            Some(expected) => self.compare(expected, &moment, twin, &walk.head, &mut progress)?,
            None => None,
        };
        Ok(Verified {
            records: walk.head.seq - start.seq,
            first_at: walk.first_at,
            last_at: walk.last_at,
            tables: demands.since.is_none() && unread.is_none(),
            unread,
            checkpoints,
            signed_by,
            named: keys.first().map(|(seq, _)| *seq),
            cut_off,
            anchored: demands.kept.iter().map(|head| head.seq).max().max(vouched),
            head: walk.head,
        })
    }

    /// Compares what the records demand with what the database holds, seen at one moment through two connections. Returns the
    /// records that cannot be read; with any, the tables are passed over.
    fn compare(
        &self,
        mut expected: Expected,
        moment: &Connection,
        twin: Connection,
        head: &Head,
        progress: &mut impl FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<Option<Unread>, VerifyError> {
        let unread = expected.replay.unread.clone();
        if unread.is_none() && !expected.are_in(moment, twin)? {
            self.explain(moment, progress)?;
        }
        let Expected { replay, integrity, .. } = expected;
        let broken = |why: String| Broken { seq: head.seq, why };
        if let Some(difference) = first_difference(moment, &replay.scratch, Looked::All)? {
            return Err(broken(difference).into());
        }
        if let Some(damage) = integrity.finish(|| progress(head.seq, head.seq))? {
            return Err(broken(format!("SQLite finds the database damaged: {damage}")).into());
        }
        Ok(unread)
    }

    /// Finds the row of a rotation or key that is not what it ought to be: writes down all that follow from the records, and
    /// compares them in order.
    fn explain(
        &self,
        moment: &Connection,
        progress: &mut impl FnMut(u64, u64) -> ControlFlow<()>,
    ) -> Result<(), VerifyError> {
        let total = load::head(moment)?.seq;
        let (mut replay, mut done) = (Replay::begin()?, 0);
        while done < total {
            let page = Page::read(moment, done, total)?;
            for record in page.records() {
                replay.take(&record)?;
            }
            done = page.head().map_or(total, |head| head.seq);
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
        // Read in order, by an index, no row differs: an index hides one, and the database's own look at itself names it.
        Ok(())
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

    /// No walk comes by a record whose number is below 1, and lists show it.
    pub(super) fn check_beginning(&self) -> Result<(), VerifyError> {
        match self.conn.query_row("SELECT min(seq) FROM ledger", [], |row| row.get::<_, Option<i64>>(0))? {
            Some(seq) if seq < 1 => {
                let why = format!("belongs to no chain: a record of number {seq} stands before the first");
                Err(Broken { seq: 0, why }.into())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// What is trusted: the ledger's id, or the record before the first that is asked about.
    fn start(&self, since: Option<Timestamp>) -> Result<Head, VerifyError> {
        let id = load::identity(&self.conn)?.unwrap_or_default();
        let Some(since) = since else { return Ok(Head { seq: 0, hash: id }) };
        let first: Option<u64> =
            self.conn.query_row("SELECT min(seq) FROM ledger WHERE at >= ?", [Micros(since)], |row| row.get(0))?;
        match first.map(|first| first - 1) {
            None => Ok(load::head(&self.conn)?),
            Some(0) => Ok(Head { seq: 0, hash: id }),
            Some(seq) => match load::hash_of(&self.conn, seq)? {
                Some(hash) => Ok(Head { seq, hash }),
                None => Err(Broken { seq, why: "is missing".to_owned() }.into()),
            },
        }
    }
}

/// What the database must hold, by the records so far.
struct Expected {
    replay: Replay,
    seals: Seals,
    integrity: IntegrityCheck,
}

impl Expected {
    fn begin(path: &Path) -> Result<Self, VerifyError> {
        let seals = Seals::new().map_err(VerifyError::Random)?;
        Ok(Self { replay: Replay::begin()?, seals, integrity: IntegrityCheck::begin(path)? })
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

/// The newest record that a believed checkpoint names. If some keys are trusted, one of them must have signed, and the ledger
/// must name each.
fn vouched_for(
    signed_by: &[SignedBy],
    named: &[(u64, VerifierKey)],
    trusted: &[VerifierKey],
    start: &Head,
    head: &Head,
) -> Result<Option<u64>, Broken> {
    let believed = |signed: &&SignedBy| trusted.is_empty() || trusted.contains(&signed.key);
    let vouched = signed_by.iter().filter(believed).map(|signed| signed.newest).max();
    if vouched.is_none() && !trusted.is_empty() && head.seq > start.seq {
        let why = "is not vouched for, nor is any after it: no checkpoint is by a key that is trusted".to_owned();
        return Err(Broken { seq: start.seq + 1, why });
    }
    // By a former key's thief the chain may be written anew from before its successor.
    if let Some(key) = trusted.iter().find(|key| named.iter().all(|(_, named)| named != *key)) {
        let why = format!("is missing: no record names {key}, which is trusted");
        return Err(Broken { seq: head.seq + 1, why });
    }
    Ok(vouched)
}

/// Turns the wish to hear no more into an end of the verification.
pub(super) fn told(answer: ControlFlow<()>) -> Result<(), VerifyError> {
    if answer.is_break() { Err(VerifyError::BrokenOff) } else { Ok(()) }
}
