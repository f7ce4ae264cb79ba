//! Who signs the ledger's checkpoints: finds or makes the key, and says when the ledger does not name it yet.

use secrecy::{ExposeSecret, SecretString};

use super::StartError;
use crate::config::Settings;
use crate::store::{CheckpointKey, Keeping, Reader, Store};

/// Who signs, and where to. Nothing is signed before the ledger names the key: nobody could verify that.
pub(super) struct Signer {
    pub(super) keeping: Keeping,
    /// The verifier key, if the ledger is to be told of it first.
    pub(super) unnamed: Option<String>,
}

/// The key is the one that was given, or the one in the state directory.
pub(super) fn signer(settings: &Settings, given: Option<&SecretString>, store: &Store) -> Result<Signer, StartError> {
    let key = match given {
        Some(pem) => CheckpointKey::from_pem(pem.expose_secret())?,
        None => {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(StartError::Random)?;
            CheckpointKey::of_state_dir(&settings.state_dir, seed)?
        }
    };
    let known = Reader::open(&settings.state_dir)?.checkpoint_keys()?;
    let own = store.verifier_of(&key);
    let unnamed = (known.last() != Some(&own)).then(|| own.to_string());
    let (file, on_failure) = (settings.ledger.checkpoint_file.clone(), settings.ledger.on_checkpoint_failure);
    Ok(Signer { keeping: Keeping { file, key, on_failure, begun: !known.is_empty() }, unnamed })
}
