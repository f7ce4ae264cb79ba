//! What was kept of a ledger: its own checkpoint file, and heads that an auditor brings along.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::super::Stop;
use crate::ports::Head;
use crate::store::{Checkpoints, Demands, VerifierKey, parse_checkpoints};

/// The ledger's own checkpoints, the newest last; none if there is no such file.
pub(super) fn checkpoints_of(file: &Path) -> Result<Option<Checkpoints<BufReader<File>>>, Stop> {
    match File::open(file) {
        Ok(opened) => Ok(Some(Checkpoints::of(BufReader::new(opened)))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(file, &error)),
    }
}

/// Why the ledger's own checkpoints cannot be read.
pub(super) fn unreadable(file: &Path, why: &dyn std::fmt::Display) -> Stop {
    Stop::Words(format!("the checkpoint file {}: {why}", file.display()))
}

/// Adds what an auditor kept: checkpoints, or lines of a number and a hash as `audit head` prints them. All of it is
/// understood, or it is refused: what is passed over would pass for held.
pub(super) fn against(file: &Path, demands: &mut Demands) -> Result<(), Stop> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)
    } else {
        File::open(file).and_then(|mut file| file.read_to_string(&mut text))
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
