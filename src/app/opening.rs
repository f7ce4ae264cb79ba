//! What the ledger is told when a daemon begins, and what of it a reload tells again.

use super::VERSION;
use crate::config::{self, Config};
use crate::domain::{Event, Fleet, ReceiverName};
use crate::policy::Rules;

/// What the ledger is told first: that we are here, who signs, by which rules, with which API keys, and whom we tell no more.
pub(super) fn events(fleet: &Fleet, config: &Config, checkpoint_key: Option<String>) -> Vec<Event> {
    let started = Event::DaemonStarted { version: VERSION.to_owned(), pid: std::process::id(), host: hostname() };
    let key = checkpoint_key.map(|key| Event::CheckpointKeySet { key });
    let policies = set_policies(fleet, &config.settings.rules);
    let configured = |name: &ReceiverName| config.receivers.iter().any(|receiver| receiver.name == *name);
    let dropped = fleet.receivers.keys().filter(|name| !configured(name));
    let dropped = dropped.map(|name| Event::ReceiverDropped { receiver: name.clone() });
    let credentials = use_credentials(fleet, config);
    [started].into_iter().chain(key).chain(policies).chain(credentials).chain(dropped).collect()
}

/// The API keys that come into use with this configuration.
pub(super) fn use_credentials(fleet: &Fleet, config: &Config) -> Vec<Event> {
    let credentials = config.managers.iter().filter_map(|config::Manager { name, public_key, .. }| {
        let known = fleet.managers.get(name).and_then(|record| record.credential.as_ref());
        let (manager, public_key) = (name.clone(), public_key.clone());
        (known.map(|known| &known.public_key) != Some(&public_key))
            .then_some(Event::CredentialUsed { manager, public_key })
    });
    credentials.collect()
}

/// The policies that come into force with these rules.
pub(super) fn set_policies(fleet: &Fleet, rules: &Rules) -> Vec<Event> {
    let policies = rules.policies().into_iter().filter_map(|(policy, settings)| {
        let words = settings.to_string();
        (fleet.policies.get(&policy) != Some(&words)).then_some(Event::PolicySet { policy, words })
    });
    policies.collect()
}

/// The name that this machine goes by.
pub(super) fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}
