//! A page of consecutive records: read once, then hashed and replayed from the same memory.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};
use sha2::{Digest, Sha256};

use super::chain::lay_out;
use super::columns::Micros;
use crate::domain::{Event, LedgerRow, TargetName, UnknownEvent};
use crate::ports::Head;

/// So many records at most are in a page: some hundred kilobytes.
pub(super) const RECORDS: u64 = 1024;
/// Room for the texts of so many, as they mostly are.
const BYTES: usize = 256 << 10;

/// Records one behind the other.
pub(super) struct Page {
    /// The texts of all records.
    texts: String,
    places: Vec<Place>,
    /// The number of the record behind them, and what is wrong with it, if its columns are no record's.
    unreadable: Option<(u64, rusqlite::Error)>,
}

struct Place {
    seq: u64,
    at: Timestamp,
    prev_hash: [u8; 32],
    hash: [u8; 32],
    /// In bytes, of its texts.
    lengths: [usize; 5],
}

/// One record of a page, borrowed from it.
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
    /// Reads the next records behind number `after`, up to number `last`.
    pub(super) fn read(conn: &Connection, after: u64, last: u64) -> rusqlite::Result<Self> {
        let mut texts = String::with_capacity(BYTES);
        let mut places = Vec::with_capacity(RECORDS as usize);
        let mut statement = conn.prepare_cached(
            "SELECT seq, at, kind, actor, target, rotation, payload, prev_hash, hash FROM ledger
             WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?",
        )?;
        let mut rows = statement.query(params![after, last, RECORDS])?;
        let mut unreadable = None;
        while let Some(row) = rows.next()? {
            match Place::of(row, &mut texts) {
                Ok(place) => places.push(place),
                Err(error) => {
                    unreadable = Some((row.get(0)?, error));
                    break;
                }
            }
        }
        Ok(Self { texts, places, unreadable })
    }

    /// The record behind its last one, if its columns are no record's, and what is wrong with them.
    pub(super) fn unreadable(&self) -> Option<&(u64, rusqlite::Error)> {
        self.unreadable.as_ref()
    }

    /// Its last record, as the head that a ledger has there; none if it is empty.
    pub(super) fn head(&self) -> Option<Head> {
        self.places.last().map(|place| Head { seq: place.seq, hash: place.hash })
    }

    /// When its first and its last record are from.
    pub(super) fn times(&self) -> Option<(Timestamp, Timestamp)> {
        Some((self.places.first()?.at, self.places.last()?.at))
    }

    /// The hash of the record of this number, if it is here.
    pub(super) fn hash_of(&self, seq: u64) -> Option<[u8; 32]> {
        let place = self.places.binary_search_by_key(&seq, |place| place.seq).ok()?;
        self.places.get(place).map(|place| place.hash)
    }

    /// Forgets the record of this number, and all behind it.
    pub(super) fn cut_before(&mut self, seq: u64) {
        self.places.truncate(self.places.partition_point(|place| place.seq < seq));
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

impl Place {
    fn of(row: &Row<'_>, texts: &mut String) -> rusqlite::Result<Self> {
        let (seq, Micros(at), prev_hash, hash) = (row.get(0)?, row.get(1)?, row.get(7)?, row.get(8)?);
        let mut text = |column| {
            let text = row.get_ref(column)?.as_str()?;
            texts.push_str(text);
            Ok::<_, rusqlite::Error>(text.len())
        };
        Ok(Self { seq, at, prev_hash, hash, lengths: [text(2)?, text(3)?, text(4)?, text(5)?, text(6)?] })
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
