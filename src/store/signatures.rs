//! Who signed the checkpoints, and whether the key was in use then. Whom to believe, others decide.

use std::ops::RangeInclusive;

use super::verify::Broken;
use super::{Checkpoint, VerifierKey};

/// A key that signed checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedBy {
    /// The key.
    pub key: VerifierKey,
    /// The record that names it.
    pub named: u64,
    /// How many checkpoints it signed.
    pub checkpoints: u64,
    /// The first record that one of them names.
    pub first: u64,
    /// The newest record that one of them names.
    pub newest: u64,
}

/// The keys that the ledger names, and what each was found to have signed.
pub(super) struct Signers<'a> {
    /// What the ledger names, the newest first: each with its records, from the one that names it to the one that names the next.
    terms: Vec<(RangeInclusive<u64>, &'a VerifierKey)>,
    found: Vec<SignedBy>,
}

impl<'a> Signers<'a> {
    /// Of the ledger's keys, in order, each with the record that names it.
    pub(super) fn of(keys: &'a [(u64, VerifierKey)]) -> Self {
        let ends = keys.iter().skip(1).map(|(named, _)| *named).chain([u64::MAX]);
        let mut terms: Vec<_> = keys.iter().zip(ends).map(|((named, key), end)| (*named..=end, key)).collect();
        terms.reverse();
        Self { terms, found: Vec::new() }
    }

    /// A checkpoint must be signed by the key that was in use at its record: from the record that names it, which may be the
    /// last that its predecessor signed.
    pub(super) fn take(&mut self, checkpoint: &Checkpoint) -> Result<(), Broken> {
        let seq = checkpoint.head.seq;
        let in_use = self.terms.iter().find(|(term, key)| term.contains(&seq) && key.signed(checkpoint));
        let Some((term, key)) = in_use else {
            let why = match self.terms.iter().rfind(|(_, key)| key.signed(checkpoint)) {
                Some((term, _)) if *term.start() > seq => {
                    format!("has a checkpoint that is signed by a key which only record {} names", term.start())
                }
                Some(_) => "has a checkpoint that is signed by a key whose successor was named before".to_owned(),
                None => "has a checkpoint that is not signed by a key that the ledger names".to_owned(),
            };
            return Err(Broken { seq, why });
        };
        match self.found.iter_mut().find(|signed| signed.key == **key) {
            Some(signed) => {
                signed.checkpoints += 1;
                (signed.first, signed.newest) = (signed.first.min(seq), signed.newest.max(seq));
            }
            None => self.found.push(SignedBy {
                key: (*key).clone(),
                named: *term.start(),
                checkpoints: 1,
                first: seq,
                newest: seq,
            }),
        }
        Ok(())
    }

    /// Who signed what was taken.
    pub(super) fn found(self) -> Vec<SignedBy> {
        self.found
    }
}
