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
use super::verify::{Demands, VerifyError, check_signatures, told};
use super::walk::Walk;
use super::{Checkpoint, load};
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
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// From the first record of this time or later on.
    pub since: Timestamp,
    /// To the last record from before this time.
    pub until: Timestamp,
}

impl Reader {
    /// Replays the records from before the end of the stretch, in the order of the ledger, and verifies them on the way: it
    /// depends on nothing but these records. `tell` is told each record, and what became of rotations and keys, with the names
    /// that their targets have at the end; what was open then is told last.
    ///
    /// The last record is the last that is dated before the end; where the clock was set back, one before it may be dated
    /// later.
    ///
    /// # Errors
    /// If the ledger is broken before that, or holds records that this version does not know; if `tell` breaks off.
    pub fn as_of(
        &self,
        stretch: Stretch,
        checkpoints: &[Checkpoint],
        mut tell: impl FnMut(Telling<'_>) -> ControlFlow<()>,
    ) -> Result<AsOf, VerifyError> {
        let last: Option<u64> =
            self.conn
                .query_row("SELECT max(seq) FROM ledger WHERE at < ?", [Micros(stretch.until)], |row| row.get(0))?;
        let last = last.unwrap_or(0);
        let up_to = checkpoints.iter().filter(|checkpoint| checkpoint.head.seq <= last);
        let demands = Demands { checkpoints: up_to.cloned().collect(), ..Demands::default() };
        let start = Head { seq: 0, hash: load::identity(&self.conn)?.unwrap_or_default() };
        let mut walk = Walk::begin(start, self.pins(&demands, 0)?);
        let mut replay = Replay::begin()?;
        let targets = self.described(last)?;
        let mut begun = false;
        relay(self.path(), &mut walk, last, |page| {
            for record in page.records() {
                if !begun && record.at >= stretch.since {
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
                    over(&settled, &replay, &targets, stretch.since)?.map_or(Ok(()), |telling| told(tell(telling)))?;
                }
            }
            told(tell(Telling::Progress(page.last_seq().unwrap_or_default(), last)))
        })?;
        if !begun {
            told(tell(Telling::Before(&replay.fleet)))?;
        }
        replay.settle_all();
        for settled in std::mem::take(&mut replay.settled) {
            over(&settled, &replay, &targets, stretch.since)?.map_or(Ok(()), |telling| told(tell(telling)))?;
        }
        check_signatures(&demands.checkpoints, &load::checkpoint_keys(&self.conn)?)?;
        Ok(AsOf { fleet: replay.fleet, head: walk.head, checkpoints: demands.checkpoints })
    }

    /// How the targets are described last, in the records up to a number.
    fn described(&self, last: u64) -> Result<BTreeMap<TargetId, Target>, VerifyError> {
        let mut statement = self.conn.prepare(
            "SELECT kind, payload FROM ledger WHERE kind IN ('target_found', 'target_changed') AND seq <= ? ORDER BY seq",
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

/// What a settled row tells; nothing if it was over before `since`.
fn over<'a>(
    settled: &Settled,
    replay: &Replay,
    targets: &BTreeMap<TargetId, Target>,
    since: Timestamp,
) -> rusqlite::Result<Option<Telling<'a>>> {
    let cells = Cells { shapes: &replay.shapes, settled };
    let ended = cells.time(match settled.table {
        Table::Rotation => "ended_at",
        Table::Key => "replaced_at",
    })?;
    if ended.is_some_and(|ended| ended < since) {
        return Ok(None);
    }
    let id = cells.get::<String>("target")?;
    let target = targets.get(id.as_str()).expect("a target is described before anything happens to it");
    Ok(Some(match settled.table {
        Table::Rotation => Telling::Rotation(Box::new(rotation_of(&cells, About::of(target))?)),
        Table::Key => {
            let record = replay.fleet.targets.get(id.as_str());
            let next = ended.and_then(|_| Some(record?.key.as_ref()?.id.clone()));
            Telling::Key(Box::new(key_life(&cells, target.name(), next)?))
        }
    }))
}
