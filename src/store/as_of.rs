//! What was known at a moment of the past: the ledger replayed up to there, and verified on the way.

use jiff::Timestamp;
use rusqlite::Connection;

use super::chain::Record;
use super::columns::Micros;
use super::reader::Reader;
use super::replay::Replay;
use super::verify::{Demands, VerifyError, check_signatures};
use super::walk::Walk;
use super::{Checkpoint, load};
use crate::domain::{Entry, Fleet};
use crate::ports::Head;

/// What a ledger said at a moment.
pub struct AsOf {
    /// Answers as it would have answered then.
    pub reader: Reader,
    /// Everything known then.
    pub fleet: Fleet,
    /// The newest record then.
    pub head: Head,
    /// Those of the checkpoints that are of records up to there; they agree, and are signed.
    pub checkpoints: Vec<Checkpoint>,
}

/// Records read at a time.
const PAGE: u32 = 4096;

impl Reader {
    /// Replays the records from before `until`, in the order of the ledger, and verifies them on the way: it depends on
    /// nothing but these records. `each` is shown each one, with what is known after it.
    ///
    /// The last of them is the last that is dated before `until`; where the clock was set back, one before it may be dated
    /// later.
    ///
    /// # Errors
    /// If the ledger is broken before that, or holds records that this version does not know.
    pub fn as_of(
        &self,
        until: Timestamp,
        checkpoints: &[Checkpoint],
        mut each: impl FnMut(&Record, &Entry, &Fleet),
    ) -> Result<AsOf, VerifyError> {
        let last: Option<u64> =
            self.conn.query_row("SELECT max(seq) FROM ledger WHERE at < ?", [Micros(until)], |row| row.get(0))?;
        let last = last.unwrap_or(0);
        let up_to = checkpoints.iter().filter(|checkpoint| checkpoint.head.seq <= last);
        let demands = Demands { checkpoints: up_to.cloned().collect(), ..Demands::default() };
        let start = Head { seq: 0, hash: load::identity(&self.conn)?.unwrap_or_default() };
        let mut walk = Walk::begin(start, self.pins(&demands, 0)?);
        let mut replay = Replay::begin()?;
        while walk.head.seq < last {
            let page = load::records(&self.conn, walk.head.seq, PAGE)?;
            for record in page.iter().take_while(|record| record.seq <= last) {
                walk.take(record)?;
                match replay.take(record)? {
                    Some(entry) => each(record, &entry, &replay.fleet),
                    None => return Err(VerifyError::Later { seq: record.seq, kind: record.kind.clone() }),
                }
            }
        }
        check_signatures(&demands.checkpoints, &load::checkpoint_keys(&self.conn)?)?;
        let conn: Connection = replay.scratch;
        conn.execute_batch("COMMIT")?;
        Ok(AsOf { reader: Reader { conn }, fleet: replay.fleet, head: walk.head, checkpoints: demands.checkpoints })
    }
}
