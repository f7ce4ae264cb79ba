//! A stretch of the ledger as it lies in the database: read once, and hashed and followed where it lies.

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
    /// The texts of all records.
    texts: String,
    places: Vec<Place>,
}

struct Place {
    seq: u64,
    at: Timestamp,
    prev_hash: [u8; 32],
    hash: [u8; 32],
    /// In bytes, of its texts.
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
}

impl Page {
    /// Takes in the next records behind number `after`, up to number `last`, instead of those that it had.
    pub(super) fn fill(&mut self, conn: &Connection, after: u64, last: u64) -> rusqlite::Result<()> {
        self.texts.clear();
        self.places.clear();
        let mut statement = conn.prepare_cached(
            "SELECT seq, at, kind, actor, target, rotation, payload, prev_hash, hash FROM ledger
             WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
        )?;
        let mut rows = statement.query(params![after, last, RECORDS])?;
        while let Some(row) = rows.next()? {
            let (seq, Micros(at), prev_hash, hash) = (row.get(0)?, row.get(1)?, row.get(7)?, row.get(8)?);
            let mut text = |column| {
                let text = row.get_ref(column)?.as_str()?;
                self.texts.push_str(text);
                Ok::<_, rusqlite::Error>(text.len())
            };
            let lengths = [text(2)?, text(3)?, text(4)?, text(5)?, text(6)?];
            self.places.push(Place { seq, at, prev_hash, hash, lengths });
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
        let mut rest = self.texts.as_str();
        self.places.iter().map(move |Place { seq, at, prev_hash, hash, lengths }| {
            let [kind, actor, target, rotation, payload] = lengths.map(|length| {
                let (text, behind) = rest.split_at(length);
                rest = behind;
                text
            });
            Sight { seq: *seq, at: *at, kind, actor, target, rotation, payload, prev_hash, hash }
        })
    }
}

impl Sight<'_> {
    /// The hash that its other fields demand; `bytes` are room to lay them out in.
    pub(super) fn expected_hash(&self, bytes: &mut Vec<u8>) -> [u8; 32] {
        bytes.clear();
        let texts = [self.kind, self.actor, self.target, self.rotation, self.payload];
        lay_out(bytes, self.prev_hash, self.seq, self.at, texts);
        Sha256::digest(bytes).into()
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
        let Self { seq, at, kind, actor, target, rotation, payload, prev_hash, hash } = self;
        let [kind, actor, target, rotation, payload] = [kind, actor, target, rotation, payload].map(str::to_owned);
        LedgerRow { seq, at, kind, actor, target, name, rotation, payload, prev_hash: *prev_hash, hash: *hash }
    }
}
