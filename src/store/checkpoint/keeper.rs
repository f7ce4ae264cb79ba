//! Writes checkpoints to their file, and knows what it means when that fails. Works on the ledger's thread.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::key::CheckpointKey;
use super::note::{Checkpoint, origin_of};
use super::read::{CheckpointsError, parse_checkpoints};
use crate::domain::{Event, OnCheckpointFailure, State};
use crate::durable;
use crate::ports::{Anchor, Head};

/// So many bytes at the end of a long file hold its newest checkpoint, and one that was not written to its end.
const END: u64 = 64 << 10;

/// Where checkpoints go, who signs them, and what it means if they cannot be written.
#[derive(Debug)]
pub struct Keeping {
    /// The file; better on another disk, best on another machine.
    pub file: PathBuf,
    /// Who signs.
    pub key: CheckpointKey,
    /// What to do while the file cannot be written.
    pub on_failure: OnCheckpointFailure,
    /// Whether the ledger named a key before this start: then the file holds checkpoints already, unless someone took it away.
    pub begun: bool,
}

/// Why no checkpoint can be written.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    File(#[from] io::Error),
    #[error("it is no regular file")]
    Irregular,
    #[error("{0}; move it away, and keep it")]
    Malformed(#[from] CheckpointsError),
    /// What stands behind the last checkpoint is not one of this ledger that was cut off. It is not ours to take away.
    #[error("it ends with something that belongs to no checkpoint of this ledger; move it away, and keep it")]
    Unknown,
    #[error("it belongs to another ledger, {0}; move it away, and keep it")]
    Foreign(String),
    /// A signer must never sign what contradicts what it signed before: then the ledger was cut, or is another one.
    #[error(
        "its newest checkpoint is of record {0}, and the ledger holds no such record: it was cut off, restored or rewritten; see what `rekeyd audit verify` says, and move the file away, and keep it"
    )]
    Contradicts(u64),
    #[error("the ledger cannot be read to compare it: {0}")]
    Ledger(#[from] rusqlite::Error),
}

pub(crate) struct Keeper {
    origin: String,
    keeping: Keeping,
    anchor: Anchor,
    /// The file as it was left; none before it was read, and found to agree with the ledger.
    left: Option<Place>,
}

/// Which file it is, and how long.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    device: u64,
    inode: u64,
    bytes: u64,
}

impl Place {
    fn of(file: &File) -> io::Result<Self> {
        let data = file.metadata()?;
        Ok(Self { device: data.dev(), inode: data.ino(), bytes: data.len() })
    }
}

impl Keeper {
    pub(crate) fn new(ledger_id: &[u8; 32], keeping: Keeping) -> Self {
        let origin = origin_of(ledger_id);
        let key = Some(keeping.key.verifier(&origin).to_string());
        Self { origin, keeping, anchor: Anchor { key, ..Anchor::default() }, left: None }
    }

    pub(crate) fn anchor(&self) -> &Anchor {
        &self.anchor
    }

    /// Whether an event wants a checkpoint behind it: an outcome, a beginning or an end of the daemon, a new key, or what may
    /// be recorded while no daemon runs.
    pub(crate) fn is_wanted_by(event: &Event) -> bool {
        if let Event::DaemonStarted { .. }
        | Event::DaemonStopped { .. }
        | Event::CheckpointKeySet { .. }
        | Event::TargetRearmed { .. } = event
        {
            return true;
        }
        matches!(
            event.transition().map(|step| step.to),
            Some(State::Done | State::Failed | State::Unconfirmed | State::Withdrawn)
        )
    }

    /// Whether a checkpoint is wanted that could not be written.
    pub(crate) fn is_late(&self) -> bool {
        self.anchor.failure.is_some()
    }

    /// Whether nothing may be recorded until it has been written.
    pub(crate) fn blocks(&self) -> bool {
        self.is_late() && self.keeping.on_failure == OnCheckpointFailure::Block
    }

    /// Anchors the head, which is durable. `hash_of` tells the hash of a record by its number; none if there is no such record.
    pub(crate) fn keep(
        &mut self,
        head: &Head,
        hash_of: impl Fn(u64) -> rusqlite::Result<Option<[u8; 32]>>,
    ) -> Result<(), String> {
        self.anchor.wanted = head.seq;
        if head.seq == self.anchor.written && self.anchor.failure.is_none() {
            return Ok(());
        }
        let file = self.keeping.file.display().to_string();
        match self.write(head, hash_of) {
            Ok(note) => {
                if self.anchor.failure.take().is_some() {
                    tracing::info!(file, "checkpoints can be written again");
                }
                self.anchor.written = head.seq;
                let signature = note.lines().next_back().and_then(|line| line.rsplit(' ').next()).unwrap_or_default();
                let hash = crate::domain::hex(&head.hash);
                tracing::info!(seq = head.seq, hash, signature, origin = self.origin, "checkpoint {} {hash}", head.seq);
                Ok(())
            }
            Err(why) => {
                let why = format!("{file}: {why}");
                if self.anchor.failure.as_ref() != Some(&why) {
                    let consequence = match self.keeping.on_failure {
                        OnCheckpointFailure::Warn => "the ledger goes on without",
                        OnCheckpointFailure::Block => "nothing is recorded, and nothing rotated, until it can",
                    };
                    tracing::warn!(error = why, "a checkpoint cannot be written; {consequence}: {why}");
                }
                self.anchor.failure = Some(why.clone());
                Err(why)
            }
        }
    }

    fn write(
        &mut self,
        head: &Head,
        hash_of: impl Fn(u64) -> rusqlite::Result<Option<[u8; 32]>>,
    ) -> Result<String, KeepError> {
        // Opened each time: a disk that was away and came back is another file by the same name.
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).mode(0o600).open(&self.keeping.file)?;
        let place = Place::of(&file)?;
        let left = self.left.take();
        if left != Some(place) {
            if left.is_some() {
                tracing::warn!(file = %self.keeping.file.display(), "the checkpoint file is not the one that was left: it was moved or changed by another; look for what is missing from it");
            }
            self.take_up(&mut file, hash_of)?;
        }
        let note = self.keeping.key.sign(&Checkpoint::of(&self.origin, head));
        file.write_all(format!("{note}\n").as_bytes()).and_then(|()| file.sync_data())?;
        if place.bytes == 0 {
            durable::sync_name(&self.keeping.file)?;
        }
        // After an error it stays unknown: perhaps half of the note is there, and the next try looks.
        self.left = Some(Place::of(&file)?);
        Ok(note)
    }

    /// Sees that the file agrees with the ledger, and ends with a whole checkpoint.
    fn take_up(
        &self,
        file: &mut File,
        hash_of: impl Fn(u64) -> rusqlite::Result<Option<[u8; 32]>>,
    ) -> Result<(), KeepError> {
        let path = self.keeping.file.display();
        let End { newest, whole, rest } = agreeing(file, &self.origin, hash_of)?;
        if newest.is_none() && self.keeping.begun && self.anchor.written == 0 {
            tracing::warn!(
                file = %path,
                "the checkpoint file holds no checkpoint, though checkpoints of this ledger were signed before: a new file is \
                 begun; hold the ledger against those that were kept, `rekeyd audit verify --against FILE`"
            );
        }
        if rest > 0 {
            tracing::warn!(file = %path, "the newest checkpoint was not written to its end; it is taken away");
            file.set_len(whole)?;
        }
        Ok(())
    }
}

/// How a checkpoint file ends.
struct End {
    /// The record of its newest checkpoint.
    newest: Option<u64>,
    /// So many bytes hold whole checkpoints, and so many one that was not written to its end.
    whole: u64,
    rest: usize,
}

/// How a file ends that agrees with the ledger.
fn agreeing(
    file: &mut File,
    origin: &str,
    hash_of: impl Fn(u64) -> rusqlite::Result<Option<[u8; 32]>>,
) -> Result<End, KeepError> {
    if !file.metadata()?.is_file() {
        return Err(KeepError::Irregular);
    }
    let (bytes, before) = end_of(file, origin)?;
    let (checkpoints, whole) = parse_checkpoints(&bytes)?;
    match checkpoints.last() {
        Some(newest) if newest.origin != origin => return Err(KeepError::Foreign(newest.origin.clone())),
        Some(Checkpoint { head: Head { seq, hash }, .. }) if hash_of(*seq)? != Some(*hash) => {
            return Err(KeepError::Contradicts(*seq));
        }
        Some(_) | None => {}
    }
    let (rest, first_line) = (bytes.get(whole..).unwrap_or_default(), format!("{origin}\n"));
    if !rest.starts_with(first_line.as_bytes()) && !first_line.as_bytes().starts_with(rest) {
        return Err(KeepError::Unknown);
    }
    let newest = checkpoints.last().map(|newest| newest.head.seq);
    Ok(End { newest, whole: before + whole as u64, rest: rest.len() })
}

/// The newest record that a checkpoint file signs, found without writing; none in a file that holds no checkpoint.
///
/// It must agree with the ledger of this id, or nothing would be signed behind it; without an id there is no ledger yet.
///
/// # Errors
/// In words: the file cannot be read, or does not agree.
pub fn signed_by_file(
    file: &Path,
    ledger_id: Option<&[u8; 32]>,
    hash_of: impl Fn(u64) -> Option<[u8; 32]>,
) -> Result<Option<u64>, String> {
    let origin = ledger_id.map(origin_of).unwrap_or_default();
    let end = File::open(file).map_err(KeepError::from);
    let end = end.and_then(|mut file| agreeing(&mut file, &origin, |seq| Ok(hash_of(seq))));
    end.map(|end| end.newest).map_err(|error| error.to_string())
}

/// The end of the file, from where a checkpoint begins, and how many bytes stand before it. All of a file that is short, or
/// whose end shows no beginning of a checkpoint of ours.
fn end_of(file: &mut File, origin: &str) -> io::Result<(Vec<u8>, u64)> {
    let mut bytes = Vec::new();
    let skipped = file.metadata()?.len().saturating_sub(END);
    file.seek(SeekFrom::Start(skipped))?;
    file.read_to_end(&mut bytes)?;
    let beginning = format!("\n\n{origin}\n");
    let found = bytes.windows(beginning.len()).position(|window| window == beginning.as_bytes());
    if let (true, Some(place)) = (skipped > 0, found) {
        return Ok((bytes.split_off(place + 2), skipped + place as u64 + 2));
    }
    bytes.clear();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_end(&mut bytes)?;
    Ok((bytes, 0))
}
