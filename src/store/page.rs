//! A stretch of the ledger as it lies in the database, each record laid out as its hash wants it: hashed and read in place.

use jiff::Timestamp;
use rusqlite::{Connection, params};
use sha2::{Digest, Sha256};

use super::chain::lay_out;
use super::columns::Micros;
use crate::domain::{Event, LedgerRow, TargetName, UnknownEvent};
use crate::ports::Head;

/// Records read at a time: some hundred kilobytes.
const RECORDS: u64 = 1024;

/// Records one behind the other. One page is filled again and again.
#[derive(Default)]
pub(super) struct Page {
    /// What each record's hash is made of.
    bytes: Vec<u8>,
    places: Vec<Place>,
}

struct Place {
    seq: u64,
    at: Timestamp,
    prev_hash: [u8; 32],
    hash: [u8; 32],
    /// Where it begins in the bytes.
    start: usize,
    lengths: [usize; 5],
}

/// One record of the ledger, where it lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sight<'a> {
    pub(super) seq: u64,
    pub(super) at: Timestamp,
    pub(super) kind: &'a str,
    pub(super) actor: &'a str,
    pub(super) target: &'a str,
    pub(super) rotation: &'a str,
    pub(super) payload: &'a str,
    pub(super) prev_hash: &'a [u8; 32],
    pub(super) hash: &'a [u8; 32],
    /// What its hash is made of.
    bytes: &'a [u8],
}

impl Page {
    /// Takes in the next records behind number `after`, up to number `last`, instead of those that it had.
    pub(super) fn fill(&mut self, conn: &Connection, after: u64, last: u64) -> rusqlite::Result<()> {
        self.bytes.clear();
        self.places.clear();
        let mut statement = conn.prepare_cached(
            "SELECT seq, at, kind, actor, target, rotation, payload, prev_hash, hash FROM ledger
             WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
        )?;
        let mut rows = statement.query(params![after, last, RECORDS])?;
        while let Some(row) = rows.next()? {
            let (seq, Micros(at), prev_hash, hash) = (row.get(0)?, row.get(1)?, row.get(7)?, row.get(8)?);
            let text = |column| Ok::<_, rusqlite::Error>(row.get_ref(column)?.as_str()?);
            let texts = [text(2)?, text(3)?, text(4)?, text(5)?, text(6)?];
            let start = self.bytes.len();
            lay_out(&mut self.bytes, &prev_hash, seq, at, texts);
            self.places.push(Place { seq, at, prev_hash, hash, start, lengths: texts.map(str::len) });
        }
        Ok(())
    }

    /// The number of its last record; none if it is empty.
    pub(super) fn last_seq(&self) -> Option<u64> {
        self.places.last().map(|place| place.seq)
    }

    /// Forgets all but the first `records`.
    pub(super) fn truncate(&mut self, records: usize) {
        self.places.truncate(records);
    }

    /// Its records, in order.
    pub(super) fn records(&self) -> impl Iterator<Item = Sight<'_>> {
        self.places.iter().map(|place| {
            let (_, bytes) = self.bytes.split_at(place.start);
            let (_, mut rest) = bytes.split_at(FIXED);
            let mut end = FIXED;
            let [kind, actor, target, rotation, payload] = place.lengths.map(|length| {
                let (text, after) = rest.split_at(LENGTH).1.split_at(length);
                (rest, end) = (after, end + LENGTH + length);
                std::str::from_utf8(text).expect("it was text when it was read")
            });
            let Place { seq, at, prev_hash, hash, .. } = place;
            let (bytes, _) = bytes.split_at(end);
            Sight { seq: *seq, at: *at, kind, actor, target, rotation, payload, prev_hash, hash, bytes }
        })
    }
}

/// How many bytes stand before a record's texts, and before each of them.
const FIXED: usize = 64;
const LENGTH: usize = 4;

impl Sight<'_> {
    pub(super) fn expected_hash(&self) -> [u8; 32] {
        Sha256::digest(self.bytes).into()
    }

    /// What happened.
    ///
    /// # Errors
    /// If this version does not know such an event.
    pub(super) fn event(&self) -> Result<Event, UnknownEvent> {
        Event::from_record(self.kind, self.payload)
    }

    pub(super) fn head(&self) -> Head {
        Head { seq: self.seq, hash: *self.hash }
    }

    /// With the name that its target has.
    pub(super) fn to_row(self, name: Option<TargetName>) -> LedgerRow {
        let Self { seq, at, kind, actor, target, rotation, payload, prev_hash, hash, bytes: _ } = self;
        let [kind, actor, target, rotation, payload] = [kind, actor, target, rotation, payload].map(str::to_owned);
        LedgerRow { seq, at, kind, actor, target, name, rotation, payload, prev_hash: *prev_hash, hash: *hash }
    }
}
