//! Whether the ledger's checkpoints can be signed, and written where they are to be.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::Access;
use secrecy::{ExposeSecret, SecretString};

use super::{Line, Step};
use crate::config::Settings;
use crate::domain::OnCheckpointFailure;
use crate::store::{CheckpointKey, KeyError, Reader, signed_by_file};

/// Whether there is a key, the one that was given or that of the state directory, and a file that goes on with the ledger.
pub(super) fn rehearse(settings: &Settings, given: Option<&SecretString>) -> Line {
    let step = Step::Checkpoints;
    let dir = &settings.state_dir;
    if dir.exists() && !dir.is_dir() {
        return step.skip("not reached");
    }
    let key = match given {
        Some(pem) => CheckpointKey::from_pem(pem.expose_secret()).map(Some),
        None => CheckpointKey::in_state_dir(dir),
    };
    match key {
        Err(error @ KeyError::Malformed) => {
            let whose = given.map_or("the state directory's own key", |_| "`checkpoint_key`");
            return step.fail(format!("{whose}: {error}"), "put such a key there; a start is refused until then");
        }
        Err(error @ (KeyError::Open { .. } | KeyError::File { .. })) => {
            return step.fail(error.to_string(), "see to the file; a start is refused until then");
        }
        Ok(_) => {}
    }
    let file = &settings.ledger.checkpoint_file;
    match (written(file, dir), settings.ledger.on_checkpoint_failure) {
        (Ok(words), _) => step.pass(format!("{} {words}", file.display())),
        (Err(why), OnCheckpointFailure::Block) => {
            let words = format!("{}: {why}. Nothing would be recorded, and nothing rotated", file.display());
            step.fail(words, "mend that, or set `checkpoint_file` to another place")
        }
        (Err(why), OnCheckpointFailure::Warn) => {
            let words = format!("{}: {why}. The ledger would go on without checkpoints", file.display());
            step.warn(words, "mend that, or set `checkpoint_file` to another place")
        }
    }
}

/// What the file is to the ledger, or why nothing can be written behind it.
fn written(file: &Path, state_dir: &Path) -> Result<String, String> {
    match fs::metadata(file) {
        Ok(data) if !data.is_file() => Err("it is no plain file".to_owned()),
        Ok(_) => {
            let may = rustix::fs::access(file, Access::READ_OK | Access::WRITE_OK);
            may.map_err(|error| format!("it cannot be read and written: {}", io::Error::from(error)))?;
            let ledger = Reader::open(state_dir).ok();
            let id = ledger.as_ref().and_then(|ledger| ledger.ledger_id().ok());
            let hash_of = |seq: u64| Some(ledger.as_ref()?.records(seq.checked_sub(1)?, 1).ok()?.pop()?.hash);
            Ok(match signed_by_file(file, id.as_ref(), hash_of)? {
                Some(seq) => format!("agrees with the ledger, up to record {seq}"),
                None => "holds no checkpoint yet".to_owned(),
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = file.parent().unwrap_or(file);
            // A start makes the state directory.
            if parent != state_dir || parent.exists() {
                let may = rustix::fs::access(parent, Access::WRITE_OK | Access::EXEC_OK);
                may.map_err(|error| format!("no file can be made there: {}", io::Error::from(error)))?;
            }
            Ok("will be made".to_owned())
        }
        Err(error) => Err(error.to_string()),
    }
}
