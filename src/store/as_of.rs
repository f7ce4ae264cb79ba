//! What was known at a moment of the past: the ledger replayed up to there, and verified on the way.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use jiff::Timestamp;
use rusqlite::params;

use super::columns::{Columns, Micros};
use super::life::key_life;
use super::reader::Reader;
use super::relay::relay;
use super::replay::Replay;
use super::rotations::{About, rotation_of};
use super::unsettled::{Cells, Settled, Table};
use super::verify::{Broken, VerifyError, told};
use super::walk::Walk;
use super::witness::Witnesses;
use super::{Checkpoint, VerifierKey, load};
use crate::domain::{Entry, Event, Fleet, KeyLife, LedgerRow, RotationRow, Target, TargetId};
use crate::ports::Head;

/// What a ledger said at a moment.
pub struct AsOf {
    /// Everything known then.
    pub fleet: Fleet,
    /// The newest record then.
    pub head: Head,
    /// Those of the checkpoints that are of records up to there; they agree, and are signed.
    pub checkpoints: Vec<Checkpoint>,
    /// The keys that sign checkpoints, those that were named by then.
    pub checkpoint_keys: Vec<VerifierKey>,
}

/// What a ledger tells on the way to a moment.
pub enum Telling<'a> {
    /// Everything known before the first record of the stretch.
    Before(&'a Fleet),
    /// What happened, in the record of this number, and everything known after it.
    Event(u64, &'a Entry, &'a Fleet),
    /// That record, if it is of the stretch.
    Record(Box<LedgerRow>),
    /// What became of an attempt that was not over when the stretch began: told when nothing can change it any more.
    Rotation(Box<RotationRow>),
    /// The use of a key that was not over when the stretch began; told when it ended.
    Key(Box<KeyLife>),
    /// So many records were read, of so many.
    Progress(u64, u64),
}

/// The stretch of a ledger that is told.
///
/// Stretches that follow on each other in time do so in the ledger, too: each record is of one, whatever its date, as long as no
/// clock is set back to before the end of one that was told.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// From the first record behind the last from before this time.
    pub since: Timestamp,
    /// To the last record from before this time.
    pub until: Timestamp,
}

impl Reader {
    /// Replays the records from before the end of the stretch, in the order of the ledger, and verifies them on the way: it
    /// depends on nothing but these records. `tell` is told each record, and what became of rotations and keys, with the names
    /// that their targets have at the end; what was open then is told last.
    ///
    /// Where clocks are right the stretch ends with the last record from before its end; where one was wrong, few records stand on
    /// the wrong side. Checkpoints of later records are held against the ledger: none may be missing, and up to the first of
    /// them the chain is checked, too, so that it vouches for what is told.
    ///
    /// # Errors
    /// If the ledger is broken before that, or holds records that this version does not know; if `tell` breaks off.
    pub fn as_of(
        &self,
        stretch: Stretch,
        checkpoints: &[Checkpoint],
        mut tell: impl FnMut(Telling<'_>) -> ControlFlow<()>,
    ) -> Result<AsOf, VerifyError> {
        self.check_beginning()?;
        let (before, last) = (self.last_before(stretch.since)?, self.last_before(stretch.until)?);
        let start = Head { seq: 0, hash: load::identity(&self.conn)?.unwrap_or_default() };
        let named = load::checkpoint_keys(&self.conn)?;
        let mut witnesses = Witnesses::of(&self.conn, 0, &named)?;
        checkpoints.iter().try_for_each(|checkpoint| witnesses.hear(checkpoint))?;
        let mut walk = Walk::begin(start, witnesses.pins());
        let (checkpoints, later): (Vec<_>, Vec<_>) =
            checkpoints.iter().cloned().partition(|checkpoint| checkpoint.head.seq <= last);
        self.hold(&later)?;
        let mut replay = Replay::begin()?;
        let targets = self.described(last)?;
        let mut begun = false;
        relay(self.path(), &mut walk, last, |page| {
            for record in page.records() {
                if !begun && record.seq > before {
                    begun = true;
                    told(tell(Telling::Before(&replay.fleet)))?;
                }
                let Some(entry) = replay.take(&record)? else {
                    return Err(VerifyError::Later { seq: record.seq, kind: record.kind.to_owned() });
                };
                told(tell(Telling::Event(record.seq, &entry, &replay.fleet)))?;
                if begun {
                    let name = targets.get(record.target).map(Target::name);
                    told(tell(Telling::Record(Box::new(record.to_row(name)))))?;
                }
                for settled in std::mem::take(&mut replay.settled) {
                    over(&settled, &replay, &targets, before)?.map_or(Ok(()), |telling| told(tell(telling)))?;
                }
            }
            told(tell(Telling::Progress(page.head().map_or(last, |head| head.seq), last)))
        })?;
        if !begun {
            told(tell(Telling::Before(&replay.fleet)))?;
        }
        replay.settle_all();
        for settled in std::mem::take(&mut replay.settled) {
            over(&settled, &replay, &targets, before)?.map_or(Ok(()), |telling| told(tell(telling)))?;
        }
        let head = walk.head.clone();
        if let Some(next) = later.iter().map(|checkpoint| checkpoint.head.seq).min() {
            relay(self.path(), &mut walk, next, |_| Ok(()))?;
        }
        witnesses.signed_by()?;
        let checkpoint_keys = named.into_iter().filter(|(seq, _)| *seq <= last).map(|(_, key)| key).collect();
        Ok(AsOf { fleet: replay.fleet, head, checkpoints, checkpoint_keys })
    }

    /// The number of the last record from before a time; 0 if there is none. It asks the table and no index: one that hides
    /// records would move the end.
    ///
    /// It is the one before the first that is dated at the time or later, as long as clocks are right. If a clock ran ahead,
    /// records behind that one are dated before the time again, and not before what came before it. The end is then where the
    /// fewest records stand on the wrong side. So neither a record from the future hides those behind it, nor does a boot with
    /// a clock that stands years back move an end that was passed. A clock that is set back to the period's last days soon
    /// after its end does move it: with more records dated in the period again than behind it, nothing tells which were right.
    fn last_before(&self, time: Timestamp) -> rusqlite::Result<u64> {
        let time = Micros(time);
        let first: Option<u64> =
            self.conn.query_row("SELECT min(seq) FROM ledger NOT INDEXED WHERE at >= ?", [time], |row| row.get(0))?;
        let Some(first) = first else { return Ok(load::head(&self.conn)?.seq) };
        let mut behind = self.conn.prepare(
            "WITH known (at) AS (SELECT max(at) FROM ledger NOT INDEXED WHERE at < ?1 AND seq < ?2)
             SELECT seq, at >= ?1 FROM ledger NOT INDEXED WHERE seq >= ?2
               AND (at >= ?1 OR at >= coalesce((SELECT at FROM known), at))
               AND seq <= (SELECT max(seq) FROM ledger NOT INDEXED WHERE at < ?1 AND at >= coalesce((SELECT at FROM known), at))
             ORDER BY seq",
        )?;
        let mut rows = behind.query(params![time, first])?;
        // How many more stand on the wrong side than if the end were before the first; negative: fewer.
        let (mut last, mut more, mut fewest) = (first - 1, 0_i64, 0);
        while let Some(row) = rows.next()? {
            more += if row.get(1)? { 1 } else { -1 };
            if more <= fewest {
                (last, fewest) = (row.get(0)?, more);
            }
        }
        Ok(last)
    }

    /// Holds checkpoints against the records that the ledger has by their numbers, without asking for the chain.
    fn hold(&self, checkpoints: &[Checkpoint]) -> Result<(), VerifyError> {
        for Checkpoint { head: Head { seq, hash }, .. } in checkpoints {
            let found = load::hash_of(&self.conn, *seq)?;
            if found.is_none() {
                let missing = (load::head(&self.conn)?.seq + 1).min(*seq);
                let why =
                    format!("is missing: a signed checkpoint names record {seq}, so the ledger's tail was cut off");
                return Err(Broken { seq: missing, why }.into());
            }
            if found != Some(*hash) {
                let why = "is not the one of a signed checkpoint: the ledger was written anew".to_owned();
                return Err(Broken { seq: *seq, why }.into());
            }
        }
        Ok(())
    }

    /// How the targets are described last, in the records up to a number.
    fn described(&self, last: u64) -> Result<BTreeMap<TargetId, Target>, VerifyError> {
        let mut statement = self.conn.prepare(
            "SELECT kind, payload FROM ledger NOT INDEXED WHERE kind IN ('target_found', 'target_changed') AND seq <= ? ORDER BY seq",
        )?;
        let mut rows = statement.query(params![last])?;
        let mut targets = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let event = Event::from_record(&row.get::<_, String>(0)?, &row.get::<_, String>(1)?);
            if let Ok(Event::TargetFound { description, .. } | Event::TargetChanged { description, .. }) = event {
                targets.insert(description.id(), description);
            }
        }
        Ok(targets)
    }
}

/// What to tell of a settled row; nothing if it was over by record number `before`.
fn over<'a>(
    settled: &Settled,
    replay: &Replay,
    targets: &BTreeMap<TargetId, Target>,
    before: u64,
) -> Result<Option<Telling<'a>>, VerifyError> {
    let cells = Cells { shapes: &replay.shapes, settled };
    let ended = cells.time(match settled.table {
        Table::Rotation => "ended_at",
        Table::Key => "replaced_at",
    })?;
    let (seq, id) = (cells.get::<u64>("seq")?, cells.get::<String>("target")?);
    if ended.is_some() && seq <= before {
        return Ok(None);
    }
    let undescribed = || Broken { seq, why: format!("is about {id}, which no record describes") };
    let target = targets.get(id.as_str()).ok_or_else(undescribed)?;
    Ok(Some(match settled.table {
        Table::Rotation => Telling::Rotation(Box::new(rotation_of(&cells, About::of(target))?)),
        Table::Key => {
            let record = replay.fleet.targets.get(id.as_str());
            let next = ended.and_then(|_| Some(record?.key.as_ref()?.id.clone()));
            Telling::Key(Box::new(key_life(&cells, target.name(), next)?))
        }
    }))
}
