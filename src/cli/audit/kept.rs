//! What was kept of a ledger: its own checkpoint file, and heads that an auditor brings along.

use std::io::Read;
use std::path::Path;

use super::super::Stop;
use crate::ports::Head;
use crate::store::{Checkpoint, Demands, VerifierKey, parse_checkpoints};

/// What the ledger's own checkpoint file holds.
#[derive(Default)]
pub(super) struct Own {
    pub(super) checkpoints: Vec<Checkpoint>,
    /// It ends with one whose writing was cut off, as by a crash; the daemon takes that away when it signs the next.
    pub(super) cut_off: bool,
}

/// The ledger's own checkpoints; none if there is no such file.
pub(super) fn checkpoints_of(file: &Path) -> Result<Option<Own>, Stop> {
    let said = |why: &dyn std::fmt::Display| Stop::Words(format!("the checkpoint file {}: {why}", file.display()));
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(said(&error)),
    };
    let (checkpoints, whole) = parse_checkpoints(&bytes).map_err(|error| said(&error))?;
    Ok(Some(Own { checkpoints, cut_off: whole < bytes.len() }))
}

/// Adds what an auditor kept: checkpoints, or lines of a number and a hash as `audit head` prints them. All of it is
/// understood, or it is refused: what is passed over would pass for held.
pub(super) fn against(file: &Path, demands: &mut Demands) -> Result<(), Stop> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|error| Stop::Words(format!("cannot read {}: {error}", file.display())))?;
    // Copied by hand, the last line may have lost its end.
    text.truncate(text.trim_end_matches('\n').len());
    text.push('\n');
    let heads: Option<Vec<Head>> = text.lines().filter(|line| !line.trim().is_empty()).map(head).collect();
    match (heads.filter(|heads| !heads.is_empty()), parse_checkpoints(text.as_bytes())) {
        (Some(heads), _) => demands.kept.extend(heads),
        (None, Ok((found, whole))) if !found.is_empty() && whole == text.len() => demands.checkpoints.extend(found),
        (None, _) => {
            return Err(Stop::Words(format!(
                "{} does not hold whole checkpoints, nor lines of a record's number and hash as `rekeyd audit head` prints them",
                file.display()
            )));
        }
    }
    Ok(())
}

/// The verifier keys that an auditor kept, one a line.
pub(super) fn keys_of(file: &Path) -> Result<Vec<VerifierKey>, Stop> {
    let said = |why: &dyn std::fmt::Display| Stop::Words(format!("the keys in {}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| said(&error))?;
    let keys = text.lines().filter(|line| !line.trim().is_empty()).map(str::parse).collect::<Result<Vec<_>, _>>();
    let keys = keys.map_err(|error| said(&error))?;
    if keys.is_empty() { Err(said(&"there is none")) } else { Ok(keys) }
}

fn head(line: &str) -> Option<Head> {
    let (seq, hash) = line.trim().split_once(' ')?;
    let bytes: Option<Vec<u8>> =
        (0..hash.len()).step_by(2).map(|at| u8::from_str_radix(hash.get(at..at + 2)?, 16).ok()).collect();
    Some(Head { seq: seq.parse().ok()?, hash: bytes?.try_into().ok()? })
}
