//! What was kept of a ledger: its own checkpoint file, and heads that an auditor brings along.

use std::io::Read;
use std::path::Path;

use super::super::Stop;
use crate::ports::Head;
use crate::store::{Checkpoint, Demands, parse_checkpoints};

/// The ledger's own checkpoints; none if there is no such file.
pub(super) fn checkpoints_of(file: &Path) -> Result<Option<Vec<Checkpoint>>, Stop> {
    let said = |why: &dyn std::fmt::Display| Stop::Words(format!("the checkpoint file {}: {why}", file.display()));
    match std::fs::read_to_string(file) {
        Ok(text) => parse_checkpoints(&text).map(|(found, _)| Some(found)).map_err(|error| said(&error)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(said(&error)),
    }
}

/// Adds what an auditor kept: checkpoints, or lines of a number and a hash as `audit head` prints them.
pub(super) fn against(file: &Path, demands: &mut Demands) -> Result<(), Stop> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|error| Stop::Words(format!("cannot read {}: {error}", file.display())))?;
    let heads: Option<Vec<Head>> = text.lines().filter(|line| !line.trim().is_empty()).map(head).collect();
    match (heads.filter(|heads| !heads.is_empty()), parse_checkpoints(&text)) {
        (Some(heads), _) => demands.kept.extend(heads),
        (None, Ok((found, _))) if !found.is_empty() => demands.checkpoints.extend(found),
        (None, _) => {
            return Err(Stop::Words(format!(
                "{} holds neither a checkpoint nor a line of a record's number and hash, as `rekeyd audit head` prints them",
                file.display()
            )));
        }
    }
    Ok(())
}

fn head(line: &str) -> Option<Head> {
    let (seq, hash) = line.trim().split_once(' ')?;
    let bytes: Option<Vec<u8>> =
        (0..hash.len()).step_by(2).map(|at| u8::from_str_radix(hash.get(at..at + 2)?, 16).ok()).collect();
    Some(Head { seq: seq.parse().ok()?, hash: bytes?.try_into().ok()? })
}
