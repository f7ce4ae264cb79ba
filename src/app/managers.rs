//! The clients of the managers, made from the configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::StartError;
use crate::config::{self, Config};
use crate::domain::{KeyId, ManagerName, Target};
use crate::engine::Manager;
use crate::ports::{Access, Clock, RequestObserver};
use crate::remote::ops_manager::{OpsManager, Settings};
use crate::remote::second_reader;

/// Who may come in, by manager.
pub(super) type Accesses = BTreeMap<ManagerName, Arc<dyn Access>>;

/// One for each manager, as who works on its targets and as who asks it for its API keys.
pub(super) fn all(
    config: &Config,
    clock: &Arc<dyn Clock>,
    observer: &Arc<dyn RequestObserver>,
) -> Result<(BTreeMap<ManagerName, Manager>, Accesses), StartError> {
    let (mut managers, mut accesses) = (BTreeMap::new(), BTreeMap::new());
    for settings in &config.managers {
        let service = ops_manager(settings, clock, observer)?;
        accesses.insert(settings.name.clone(), Arc::clone(&service) as Arc<dyn Access>);
        let (discover_every, max_concurrent) = (settings.discover_every, settings.max_concurrent);
        managers.insert(settings.name.clone(), Manager { service, discover_every, max_concurrent });
    }
    Ok((managers, accesses))
}

/// A manager's client.
pub(super) fn ops_manager(
    manager: &config::Manager,
    clock: &Arc<dyn Clock>,
    observer: &Arc<dyn RequestObserver>,
) -> Result<Arc<OpsManager>, StartError> {
    // Another part of the process may have chosen the same already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    OpsManager::new(connection(manager), Arc::clone(clock), Arc::clone(observer))
        .map(Arc::new)
        .map_err(|source| StartError::Manager { name: manager.name.clone(), source })
}

fn connection(manager: &config::Manager) -> Settings {
    Settings {
        name: manager.name.clone(),
        url: manager.url.to_string(),
        public_key: manager.public_key.clone(),
        private_key: manager.private_key.clone(),
        ca_pem: manager.ca_pem.clone(),
        identity_pem: manager.client_identity.as_ref().map(config::ClientIdentity::to_pem),
        proxy: manager.proxy.as_ref().map(ToString::to_string),
        request_timeout: manager.request_timeout.as_duration(),
        requests_per_second: manager.requests_per_second,
        max_concurrent: manager.max_concurrent,
        projects: manager.projects.clone(),
    }
}

/// Reads one target's key with a client that shares no code with the daemon's.
pub async fn second_opinion(config: &Config, target: &Target) -> Option<KeyId> {
    let manager = config.managers.iter().find(|manager| manager.name == target.manager)?;
    second_reader::read_key(&connection(manager), target).await.ok()
}
