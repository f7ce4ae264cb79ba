//! Has the ledger's checkpoints signed: finds or makes the key, and says when the ledger does not name it yet.

use secrecy::ExposeSecret;

use super::StartError;
use crate::config::Config;
use crate::store::{CheckpointKey, Keeping, Reader, Store};

/// Begins. Returns the verifier key if the ledger is to be told of it.
pub(super) async fn begin(config: &Config, store: &Store) -> Result<Option<String>, StartError> {
    let settings = &config.settings;
    let key = match &config.checkpoint_key {
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
