//! Has the ledger's checkpoints signed: finds or makes the key, and says when the ledger does not name it yet.

use secrecy::{ExposeSecret, SecretString};

use super::StartError;
use crate::config::Settings;
use crate::store::{CheckpointKey, Keeping, Reader, Store};

/// Begins, with the key that was given or the one in the state directory. Returns the verifier key if the ledger is to be told
/// of it.
pub(super) async fn begin(
    settings: &Settings,
    given: Option<&SecretString>,
    store: &Store,
) -> Result<Option<String>, StartError> {
    let key = match given {
        Some(pem) => CheckpointKey::from_pem(pem.expose_secret())?,
        None => {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(StartError::Random)?;
            CheckpointKey::of_state_dir(&settings.state_dir, seed)?
        }
    };
    let (file, on_failure) = (settings.ledger.checkpoint_file.clone(), settings.ledger.on_checkpoint_failure);
    let key = store.keep_checkpoints(Keeping { file, key, on_failure }).await?;
    let known = Reader::open(&settings.state_dir)?.checkpoint_keys()?;
    Ok((known.last().map(ToString::to_string).as_ref() != Some(&key)).then_some(key))
}
