//! Opens the ledger, for the daemon and for what is recorded by hand while none runs.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;

use super::{StartError, SystemClock, checkpoints};
use crate::config::Settings;
use crate::domain::{Actor, Entry, Event, Fleet, LedgerFilter};
use crate::ports::{Archive, Journal};
use crate::store::Store;

/// Opens the ledger beside the runtime's threads: a migration may take its time.
pub(super) async fn open(dir: PathBuf) -> Result<Store, StartError> {
    let mut id = [0; 32];
    getrandom::fill(&mut id).map_err(StartError::Random)?;
    let path = dir.clone();
    let opened = tokio::task::spawn_blocking(move || Store::open(&path, id)).await;
    opened.expect("opening a store returns its errors").map_err(|source| StartError::State { dir, source })
}

/// What came of a record that was made while no daemon ran.
pub struct ByHand {
    /// What was known before it.
    pub fleet: Arc<Fleet>,
    /// What was recorded.
    pub events: Vec<Event>,
    /// Why no signed checkpoint covers it; none if one does.
    pub unsigned: Option<String>,
}

/// Records what an operator decided while no daemon runs; the lock sees to that. Signs a checkpoint of it with `key`, or with
/// the key in the state directory if the configuration names none.
pub async fn record_by_hand(
    settings: &Settings,
    key: Result<Option<SecretString>, String>,
    actor: Actor,
    decide: impl FnOnce(&Fleet) -> Vec<Event>,
) -> Result<ByHand, StartError> {
    let store = open(settings.state_dir.clone()).await?;
    let fleet = store.fleet();
    let events = decide(&fleet);
    let mut unsigned = None;
    if !events.is_empty() {
        let signer =
            key.and_then(|key| checkpoints::signer(settings, key.as_ref(), &store).map_err(|error| error.to_string()));
        let unnamed = signer.as_ref().ok().and_then(|signer| signer.unnamed.clone());
        let named = unnamed.map(|key| (Actor::Daemon, Event::CheckpointKeySet { key }));
        let told = named.into_iter().chain(events.iter().map(|event| (actor, event.clone())));
        let at = SystemClock::now();
        store.record(told.map(|(actor, event)| Entry { at, actor, event }).collect()).await?;
        unsigned = match signer {
            Ok(signer) => store.keep_checkpoints(signer.keeping).await.map(|()| store.anchor().failure)?,
            Err(why) => Some(why),
        };
    }
    store.close().await?;
    Ok(ByHand { fleet, events, unsigned })
}

/// Whether the newest life of a daemon left no record of its end: it was killed, or the ledger could not be written. Where that
/// cannot be read it may have.
pub(super) async fn was_cut_off(store: &Arc<Store>) -> bool {
    let store = Arc::clone(store);
    let kinds = vec!["daemon_started".to_owned(), "daemon_stopped".to_owned()];
    let filter = LedgerFilter { kinds, ..LedgerFilter::default() };
    let newest = tokio::task::spawn_blocking(move || store.records(&filter, 1)).await;
    newest.is_ok_and(|page| page.map_or(true, |page| page.rows.iter().any(|row| row.kind == "daemon_started")))
}
