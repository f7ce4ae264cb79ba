//! One alert as receivers read it: labels that identify it, annotations for people.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::{Key, Tidings};
use crate::alerts::{Severity, rule, runbook};
use crate::domain::{AlertSubject, Told};

/// One alert to be told.
pub(super) struct Item<'a> {
    pub(super) key: &'a Key,
    pub(super) since: Timestamp,
    /// When it ended; none while it fires.
    pub(super) ended: Option<Timestamp>,
    pub(super) name: &'a str,
    words: Option<&'a str>,
}

impl<'a> Item<'a> {
    /// One that fires now. What it was told before names it and dates it: a rename must not make another alert of it.
    pub(super) fn firing(key: &'a Key, tidings: &'a Tidings, told: Option<&'a Told>) -> Option<Self> {
        let firing = tidings.firing.get(key)?;
        Some(Self {
            key,
            since: told.map_or(firing.since, |told| told.since),
            ended: None,
            name: told.map_or(&firing.alert.name, |told| &told.name),
            words: Some(&firing.alert.words),
        })
    }

    /// One that was told and is over.
    pub(super) fn over(key: &'a Key, told: &'a Told, at: Timestamp) -> Self {
        // A clock that was set back ends nothing before it began.
        Self { key, since: told.since, ended: Some(at.max(told.since)), name: &told.name, words: None }
    }

    /// The same in every telling of one alert. Those of the rules for Prometheus, and `alert`, the word in the ledger.
    pub(super) fn labels(&self, instance: &str) -> BTreeMap<&'static str, String> {
        let (kind, subject) = self.key;
        let name = || self.name.to_owned();
        let mut labels = BTreeMap::from([
            ("alertname", rule(*kind).to_owned()),
            ("alert", kind.as_str().to_owned()),
            ("severity", Severity::of(*kind).as_str().to_owned()),
            ("job", "rekeyd".to_owned()),
            ("instance", instance.to_owned()),
        ]);
        let manager = || subject.manager().unwrap_or_default().to_owned();
        match subject {
            AlertSubject::Target(_) => labels.extend([("target", name()), ("manager", manager())]),
            AlertSubject::Manager(_) => labels.extend([("manager", name())]),
            AlertSubject::Cluster(_) => labels.extend([("cluster_name", name()), ("manager", manager())]),
            AlertSubject::Project(_) => labels.extend([("project", name()), ("manager", manager())]),
            AlertSubject::ApiKey(_) => labels.extend([("api_key", name()), ("manager", manager())]),
            AlertSubject::Receiver(_) => labels.extend([("receiver", name())]),
            AlertSubject::Daemon => {}
        }
        labels
    }

    /// For people. Where nobody said where the runbook is, there is no link to it: one to nowhere is worse than none.
    pub(super) fn annotations(&self, base: Option<&str>) -> BTreeMap<&'static str, String> {
        let over = || format!("{}: this is over: {}", self.name, self.key.0.as_str().replace('_', " "));
        let summary = self.words.map_or_else(over, str::to_owned);
        let link = base.map(|base| ("runbook_url", runbook(base, self.key.0)));
        [("summary", summary)].into_iter().chain(link).collect()
    }

    /// 16 hexadecimal digits, the same in every telling of one alert, whatever its subject is called.
    pub(super) fn fingerprint(&self) -> String {
        let (kind, subject) = self.key;
        let digest = Sha256::digest(format!("{}\n{subject}", kind.as_str()));
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}
