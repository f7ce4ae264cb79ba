//! The chain from record to record, and the heads that others kept of it.

use jiff::Timestamp;
use rusqlite::Connection;

use super::page::Page;
use super::verify::Broken;
use crate::ports::Head;

/// A page whose records hold one by one and among themselves. Whether it follows on the page before it, a [`Walk`] finds.
pub(super) struct Linked {
    /// Without the first record that does not hold, and those behind it.
    pub(super) page: Page,
    /// The number and the `prev_hash` of the first record that was read.
    enters: Option<(u64, [u8; 32])>,
    broken: Result<(), Broken>,
}

impl Linked {
    /// Checks each record's hash, and that it continues the one before it in the page.
    pub(super) fn check(mut page: Page) -> Self {
        let enters = page.records().next().map(|first| (first.seq, *first.prev_hash));
        let (mut before, mut bytes): (Option<Head>, _) = (None, Vec::new());
        let broken = page.records().try_for_each(|record| {
            before.as_ref().map_or(Ok(()), |before| follows(before, record.seq, record.prev_hash))?;
            if *record.hash != record.expected_hash(&mut bytes) {
                let why = "does not have the hash that its fields demand".to_owned();
                return Err(Broken { seq: record.seq, why });
            }
            before = Some(record.head());
            Ok(())
        });
        let broken = broken.and_then(|()| match page.unreadable() {
            Some((seq, error)) => Err(Broken { seq: *seq, why: format!("cannot be read: {error}") }),
            None => Ok(()),
        });
        if let Err(Broken { seq, .. }) = &broken {
            page.cut_before(*seq);
        }
        Self { page, enters, broken }
    }
}

/// Whether a record with this number and `prev_hash` is the next.
fn follows(head: &Head, seq: u64, prev_hash: &[u8; 32]) -> Result<(), Broken> {
    let next = head.seq + 1;
    let why = if seq != next {
        format!("is missing; {seq} follows on {}", head.seq)
    } else if *prev_hash != head.hash {
        "does not continue the chain: prev_hash is not the hash of the one before".to_owned()
    } else {
        return Ok(());
    };
    Err(Broken { seq: next, why })
}

/// Goes along the chain, page by page. Of each it keeps nothing but the head.
pub(super) struct Walk {
    pub(super) head: Head,
    pub(super) first_at: Option<Timestamp>,
    pub(super) last_at: Option<Timestamp>,
    pins: Pins,
}

/// Hashes that records must have, and who says so.
#[derive(Default)]
pub(super) struct Pins {
    /// Those of the records to come; the nearest stands last.
    ahead: Vec<(Head, &'static str)>,
    /// The newest record that was held against one; what was written anew came after it.
    held: u64,
}

impl Pins {
    /// Each text completes "is not the one of …".
    pub(super) fn new(mut ahead: Vec<(Head, &'static str)>) -> Self {
        ahead.sort_by_key(|(head, _)| head.seq);
        ahead.reverse();
        Self { ahead, held: 0 }
    }

    /// Holds the next page against those of its records. On an error the page ends before the record that is not the one.
    fn hold(&mut self, page: &mut Page) -> Result<(), Broken> {
        let last = page.head().map_or(0, |head| head.seq);
        while let Some(seq) = self.ahead.last().map(|(pin, _)| pin.seq).filter(|seq| *seq <= last) {
            let found = page.hash_of(seq);
            while let Some((pin, who)) = self.ahead.pop_if(|(pin, _)| pin.seq == seq) {
                if found != Some(pin.hash) {
                    page.cut_before(seq);
                    let since = self.held + 1;
                    let why = format!("is not the one of {who}: from record {since} on, the ledger was written anew");
                    return Err(Broken { seq, why });
                }
            }
            self.held = seq;
        }
        Ok(())
    }
}

impl Walk {
    /// Begins behind `start`, which is trusted: the ledger's id, or a record that nobody asks about.
    pub(super) fn begin(start: Head, pins: Pins) -> Self {
        Self { head: start, first_at: None, last_at: None, pins }
    }

    /// Goes along the next page, if it continues the chain and is what is pinned. On an error the page holds what is good
    /// of it.
    pub(super) fn take(&mut self, linked: &mut Linked) -> Result<(), Broken> {
        let Linked { page, enters, broken } = linked;
        if let Some((seq, prev_hash)) = enters {
            follows(&self.head, *seq, prev_hash).inspect_err(|_| page.cut_before(0))?;
        }
        let pinned = self.pins.hold(page);
        if let (Some((first_at, last_at)), Some(head)) = (page.times(), page.head()) {
            self.first_at.get_or_insert(first_at);
            self.last_at = Some(last_at);
            self.head = head;
        }
        pinned.and(broken.clone())
    }

    /// Goes along the records behind it, up to number `last`.
    pub(super) fn go_on(&mut self, conn: &Connection, last: u64) -> rusqlite::Result<Result<(), Broken>> {
        while self.head.seq < last {
            let mut linked = Linked::check(Page::read(conn, self.head.seq, last)?);
            if let Err(broken) = self.take(&mut linked) {
                return Ok(Err(broken));
            }
            if linked.page.head().is_none() {
                break;
            }
        }
        Ok(Ok(()))
    }

    /// Sees that the ledger reaches as far as others have seen it reach.
    pub(super) fn finish(&self) -> Result<(), Broken> {
        let Some((pin, who)) = self.pins.ahead.first() else { return Ok(()) };
        let why = format!("is missing: {who} names record {}, so the ledger's tail was cut off", pin.seq);
        Err(Broken { seq: self.head.seq + 1, why })
    }
}
