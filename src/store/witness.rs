//! Checkpoints and heads that were kept outside of the ledger, and the hashes that its records must therefore have.

use std::fs::File;
use std::io::{self, BufReader, Read, Take};
use std::path::Path;

use rusqlite::Connection;

use super::checkpoint::{Checkpoints, CheckpointsError, origin_of};
use super::signatures::{SignedBy, Signers};
use super::verify::{Broken, VerifyError};
use super::walk::Pins;
use super::{Checkpoint, VerifierKey, load};
use crate::ports::Head;

/// How each kind is told.
const SIGNED: &str = "a signed checkpoint";
const KEPT: &str = "a head that was kept";

/// What is known of a ledger from elsewhere. Of a checkpoint it holds the head only: there may be millions.
pub(super) struct Witnesses<'a> {
    ledger: &'a Connection,
    origin: String,
    /// The record that is trusted; those up to there are not walked.
    start: u64,
    ahead: Vec<(Head, &'static str)>,
    signers: Signers<'a>,
    /// The first checkpoint that nobody who may signed.
    unsigned: Option<Broken>,
    checkpoints: u64,
}

impl<'a> Witnesses<'a> {
    /// None yet. `keys` are those that the ledger names.
    pub(super) fn of(ledger: &'a Connection, start: u64, keys: &'a [(u64, VerifierKey)]) -> rusqlite::Result<Self> {
        let origin = origin_of(&load::identity(ledger)?.unwrap_or_default());
        let signers = Signers::of(keys);
        Ok(Self { ledger, origin, start, ahead: Vec::new(), signers, unsigned: None, checkpoints: 0 })
    }

    /// Hears a head that someone kept.
    pub(super) fn hear_head(&mut self, head: &Head) -> Result<(), VerifyError> {
        if head.seq == 0 && origin_of(&head.hash) != self.origin {
            let why = format!("does not continue the one of {KEPT}: what came before it was written anew");
            return Err(Broken { seq: 1, why }.into());
        }
        self.pin(head, KEPT)
    }

    /// Hears a checkpoint. Whether it is signed as it must be is told last: where the chain is broken, that comes first.
    pub(super) fn hear(&mut self, checkpoint: &Checkpoint) -> Result<(), VerifyError> {
        if checkpoint.origin != self.origin {
            let (foreign, own) = (&checkpoint.origin, &self.origin);
            let why = format!("belongs to another ledger: a checkpoint is of {foreign}, and this is {own}");
            return Err(Broken { seq: 1, why }.into());
        }
        self.checkpoints += 1;
        if self.unsigned.is_none() {
            self.unsigned = self.signers.take(checkpoint).err();
        }
        self.pin(&checkpoint.head, SIGNED)
    }

    /// Hears all checkpoints of a file, and says whether it ends with one that was not written to its end.
    pub(super) fn hear_file(&mut self, file: CheckpointFile<'_>) -> Result<bool, VerifyError> {
        let CheckpointFile { path, mut checkpoints } = file;
        for checkpoint in &mut checkpoints {
            self.hear(&checkpoint.map_err(|source| unreadable(path, source))?)?;
        }
        let (_, cut_off) = checkpoints.whole();
        Ok(cut_off)
    }

    fn pin(&mut self, head: &Head, who: &'static str) -> Result<(), VerifyError> {
        if head.seq > self.start {
            self.ahead.push((head.clone(), who));
        } else if head.seq > 0 && load::hash_of(self.ledger, head.seq)? != Some(head.hash) {
            let why = format!("is not the one of {who}: the ledger was written anew");
            return Err(Broken { seq: head.seq, why }.into());
        }
        Ok(())
    }

    /// What the records to come must be.
    pub(super) fn pins(&mut self) -> Pins {
        Pins::new(std::mem::take(&mut self.ahead))
    }

    /// How many checkpoints there are, and who signed them.
    pub(super) fn signed_by(self) -> Result<(u64, Vec<SignedBy>), Broken> {
        self.unsigned.map_or(Ok((self.checkpoints, self.signers.found())), Err)
    }
}

/// The daemon's checkpoint file, as long as it was when it was opened.
pub(super) struct CheckpointFile<'p> {
    path: &'p Path,
    checkpoints: Checkpoints<BufReader<Take<File>>>,
}

impl<'p> CheckpointFile<'p> {
    pub(super) fn open(path: &'p Path) -> Result<Self, VerifyError> {
        let open = || {
            let file = File::open(path)?;
            let long = file.metadata()?.len();
            Ok(Checkpoints::of(BufReader::new(file.take(long))))
        };
        let checkpoints = open().map_err(|source: io::Error| unreadable(path, source.into()))?;
        Ok(Self { path, checkpoints })
    }
}

fn unreadable(path: &Path, source: CheckpointsError) -> VerifyError {
    VerifyError::Checkpoints { path: path.to_owned(), source }
}
