//! The chain from record to record, and the heads that others kept of it.

use jiff::Timestamp;

use super::page::Sight;
use super::verify::Broken;
use crate::ports::Head;

/// Goes along the chain. Of each record it keeps nothing but the head.
pub(super) struct Walk {
    pub(super) head: Head,
    pub(super) first_at: Option<Timestamp>,
    pub(super) last_at: Option<Timestamp>,
    pins: Pins,
    /// Room for what the next hash is made of.
    bytes: Vec<u8>,
}

/// Hashes that records must have, and who says so.
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

    fn hold(&mut self, head: &Head) -> Result<(), Broken> {
        let since = self.held + 1;
        while let Some((pin, who)) = self.ahead.pop_if(|(pin, _)| pin.seq == head.seq) {
            if pin.hash != head.hash {
                let why = format!("is not the one of {who}: from record {since} on, the ledger was written anew");
                return Err(Broken { seq: head.seq, why });
            }
            self.held = head.seq;
        }
        Ok(())
    }
}

impl Walk {
    /// Begins behind `start`, which is trusted: the ledger's id, or a record that nobody asked about.
    pub(super) fn begin(start: Head, pins: Pins) -> Self {
        Self { head: start, first_at: None, last_at: None, pins, bytes: Vec::new() }
    }

    /// Checks the next record against the chain and against what is pinned.
    pub(super) fn take(&mut self, record: &Sight<'_>) -> Result<(), Broken> {
        let next = self.head.seq + 1;
        let broken = |why: &str| Broken { seq: next, why: why.to_owned() };
        if record.seq != next {
            return Err(broken(&format!("is missing; {} follows on {}", record.seq, self.head.seq)));
        }
        if *record.prev_hash != self.head.hash {
            return Err(broken("does not continue the chain: prev_hash is not the hash of the one before"));
        }
        if *record.hash != record.expected_hash(&mut self.bytes) {
            return Err(broken("does not have the hash that its fields demand"));
        }
        self.head = record.head();
        self.first_at.get_or_insert(record.at);
        self.last_at = Some(record.at);
        self.pins.hold(&self.head)
    }

    /// Sees that the ledger reaches as far as others have seen it reach.
    pub(super) fn finish(&self) -> Result<(), Broken> {
        let Some((pin, who)) = self.pins.ahead.first() else { return Ok(()) };
        let why = format!("is missing: {who} names record {}, so the ledger's tail was cut off", pin.seq);
        Err(Broken { seq: self.head.seq + 1, why })
    }
}
