//! Everything that is known, folded from events: what the planner plans on, the engine works on and people are shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::alert::{AlertKind, AlertSubject};
use super::api_key::{ApiKey, ApiKeyRecord, Reach};
use super::event::{Event, of_a_rotation, of_a_target};
use super::failure::Trouble;
use super::freeze::{Freeze, OrderedFreeze};
use super::glob::Glob;
use super::ids::{ApiKeyId, ManagerName, PolicyName, ReceiverName, TargetId};
use super::order::Pause;
use super::period::Period;
use super::receiver::ReceiverRecord;
use super::record::TargetRecord;
use super::span::Span;
use super::target::Gap;

/// An event that cannot follow from what is known. It must not be recorded: a bug speaks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("impossible event: {0}")]
pub struct Contradiction(pub String);

/// Everything that is known. Cheap to clone: records are shared until they change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    /// Every target ever listed, the gone ones too.
    pub targets: BTreeMap<TargetId, Arc<TargetRecord>>,
    /// Every manager that something is known of.
    pub managers: BTreeMap<ManagerName, ManagerRecord>,
    /// The alerts that fire, and since when.
    pub alerts: BTreeMap<(AlertKind, AlertSubject), Timestamp>,
    /// The policies in force, in words.
    pub policies: BTreeMap<PolicyName, String>,
    /// The pauses that stand, by the glob of target names that they hold up.
    pub pauses: BTreeMap<String, Pause>,
    /// The freezes that were ordered, by their names; those that are over, too.
    pub freezes: BTreeMap<String, OrderedFreeze>,
    /// Everyone who was ever told of alerts and is still configured.
    pub receivers: BTreeMap<ReceiverName, Arc<ReceiverRecord>>,
    /// Every API key that a list names.
    pub api_keys: BTreeMap<(ManagerName, ApiKeyId), Arc<ApiKeyRecord>>,
    /// The newest step of the wall clock.
    pub clock_step: Option<ClockStep>,
}

/// A step of the wall clock, against the clock that only runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockStep {
    /// When it was noticed, by the clock that had stepped.
    pub at: Timestamp,
    /// By so many seconds; negative: it was set back.
    pub by_s: i64,
}

/// A step ahead of this is more than the ordinary work of time servers, and than a machine that was suspended for a moment.
const DOUBTED_STEP: Period = Period::minutes(15);
/// A time server corrects a clock that it trusts wrongly, or that leapt by itself, within this.
const CLOCK_SETTLES: Period = Period::minutes(60);

impl ClockStep {
    /// Until when nobody should go by the clock because of this step; none if it was set back, which makes nothing due, or
    /// ahead by minutes only.
    pub fn doubted_until(&self) -> Option<Timestamp> {
        (self.by_s > 0 && self.by_s.unsigned_abs() > DOUBTED_STEP.as_secs()).then(|| CLOCK_SETTLES.after(self.at))
    }
}

/// What is known of a manager.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManagerRecord {
    /// Set while it does not answer or refuses the credential.
    pub outage: Option<Trouble>,
    /// Sharded clusters that it lists without config servers, and since when.
    pub gaps: BTreeMap<Gap, Timestamp>,
    /// Projects that cannot be listed, since when, and why.
    pub unread: BTreeMap<String, Trouble>,
    /// The lists of API keys that were asked for; set for those that cannot be read: since when, and why.
    pub key_lists: BTreeMap<Reach, Option<Trouble>>,
    /// As whom it is asked.
    pub credential: Option<Credential>,
}

/// Our own API key at a manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The public half.
    pub public_key: String,
    /// Since when it is in use here.
    pub since: Timestamp,
}

/// One part of the fleet with the value that it takes; absent values are removals.
#[derive(Clone, Debug)]
pub enum Change {
    /// A target's record.
    Target(TargetId, Option<Arc<TargetRecord>>),
    /// A manager's record.
    Manager(ManagerName, Option<ManagerRecord>),
    /// An alert, and since when it fires.
    Alert(AlertKind, AlertSubject, Option<Timestamp>),
    /// A policy's words.
    Policy(PolicyName, Option<String>),
    /// A pause, by its scope.
    Pause(String, Option<Pause>),
    /// A freeze that was ordered, by its name.
    Freeze(String, Option<OrderedFreeze>),
    /// A receiver's record.
    Receiver(ReceiverName, Option<Arc<ReceiverRecord>>),
    /// An API key's record.
    ApiKey(ManagerName, ApiKeyId, Option<Arc<ApiKeyRecord>>),
    /// The newest step of the wall clock.
    ClockStep(Option<ClockStep>),
}

/// What an event changed.
#[derive(Debug)]
pub enum Folded<'a> {
    /// This target, whose record is this after it.
    Target(TargetId, &'a TargetRecord),
    /// Something else.
    Rest(Box<Change>),
}

impl Fleet {
    /// What `event` changes, given everything known; the event itself changes nothing here.
    ///
    /// # Errors
    /// If the event cannot follow from what is known.
    pub fn consequence(&self, at: Timestamp, event: &Event) -> Result<Option<Change>, Contradiction> {
        Ok(match event {
            Event::DaemonStarted { .. }
            | Event::DaemonStopped { .. }
            | Event::LedgerRecovered { .. }
            | Event::CheckpointKeySet { .. }
            | Event::ConfigReloaded { .. }
            | Event::ConfigRefused { .. }
            | Event::LookRequested { .. } => None,
            Event::ClockStepped { by_s } => Some(Change::ClockStep(Some(ClockStep { at, by_s: *by_s }))),
            Event::PauseSet { scope, until, reason, by } => {
                let pause = Pause { since: at, until: *until, reason: reason.clone(), by: by.clone() };
                Some(Change::Pause(scope.clone(), Some(pause)))
            }
            // Two may end it at once.
            Event::PauseEnded { scope, .. } => Some(Change::Pause(scope.clone(), None)),
            Event::FreezeSet { name, scope, start, end, reason, by } => {
                // A name is given once: what fell due in the former one would pass for missed.
                if self.freezes.contains_key(name) || end <= start {
                    let words = format!("freeze {name} until {end}: the name is taken, or it ends before it begins");
                    return Err(Contradiction(words));
                }
                let span = Span { start: *start, end: *end };
                let freeze = Freeze { name: name.clone(), reason: reason.clone(), span, scope: Glob::new(scope) };
                let ordered = OrderedFreeze { freeze, ordered_at: at, by: by.clone(), ended: false };
                Some(Change::Freeze(name.clone(), Some(ordered)))
            }
            // Two may end it at once.
            Event::FreezeEnded { name, .. } => {
                // One that ended by a clock that ran ahead stands again when the clock is right.
                let standing = self.freezes.get(name).filter(|known| !known.ended || at < known.freeze.span.end);
                standing.map(|standing| Change::Freeze(name.clone(), standing.ended(at)))
            }
            Event::PolicySet { policy, words } => Some(Change::Policy(policy.clone(), Some(words.clone()))),
            Event::ManagerFailing { manager, failure } => Some(self.manager_after(manager, |record| {
                let since = record.outage.as_ref().map_or(at, |outage| outage.since);
                record.outage = Some(Trouble { since, failure: failure.clone() });
            })),
            Event::ManagerAnswering { manager } => Some(self.manager_after(manager, |record| record.outage = None)),
            Event::ProjectUnread { manager, project, failure } => Some(self.manager_after(manager, |record| {
                record.unread.insert(project.clone(), Trouble { since: at, failure: failure.clone() });
            })),
            Event::ProjectRead { manager, project } => Some(self.manager_after(manager, |record| {
                record.unread.remove(project);
            })),
            Event::GapFound { manager, gap } => Some(self.manager_after(manager, |record| {
                record.gaps.insert(gap.clone(), at);
            })),
            Event::GapClosed { manager, gap } => Some(self.manager_after(manager, |record| {
                record.gaps.remove(gap);
            })),
            Event::ApiKeyAdded { manager, key, baseline } => {
                if self.api_keys.contains_key(&(manager.clone(), key.id.clone())) {
                    return Err(Contradiction(format!("API key {} of {manager} was listed before", key.id)));
                }
                let record = ApiKeyRecord::added(at, key.clone(), *baseline);
                Some(Change::ApiKey(manager.clone(), key.id.clone(), Some(Arc::new(record))))
            }
            Event::ApiKeyRolesChanged { manager, key, .. } | Event::ApiKeyChanged { manager, key } => {
                let record = self.api_key(manager, key)?.changed(at, key.clone());
                Some(Change::ApiKey(manager.clone(), key.id.clone(), Some(Arc::new(record))))
            }
            Event::ApiKeyRemoved { manager, key } => {
                self.api_key(manager, key)?;
                Some(Change::ApiKey(manager.clone(), key.id.clone(), None))
            }
            Event::ApiKeysRead { manager, list } => Some(self.manager_after(manager, |record| {
                record.key_lists.insert(list.clone(), None);
            })),
            Event::ApiKeysUnread { manager, list, failure } => Some(self.manager_after(manager, |record| {
                record.key_lists.insert(list.clone(), Some(Trouble { since: at, failure: failure.clone() }));
            })),
            Event::CredentialUsed { manager, public_key } => Some(self.manager_after(manager, |record| {
                record.credential = Some(Credential { public_key: public_key.clone(), since: at });
            })),
            Event::AlertRaised { alert, subject, .. } => Some(Change::Alert(*alert, subject.clone(), Some(at))),
            Event::AlertCleared { alert, subject } => Some(Change::Alert(*alert, subject.clone(), None)),
            Event::AlertsDelivered { receiver, firing, resolved } => {
                Some(self.receiver_after(receiver, |record| record.hear(firing, resolved)))
            }
            Event::ReceiverFailing { receiver, error } => Some(self.receiver_after(receiver, |record| {
                let since = record.failing.as_ref().map_or(at, |(since, _)| *since);
                record.failing = Some((since, error.clone()));
            })),
            Event::ReceiverAnswering { receiver } => {
                Some(self.receiver_after(receiver, |record| record.failing = None))
            }
            Event::ReceiverDropped { receiver } => Some(Change::Receiver(receiver.clone(), None)),
            Event::TargetFound { description, listing } => {
                let id = description.id();
                if self.targets.contains_key(&id) {
                    return Err(Contradiction(format!("{id} was found before")));
                }
                let record = TargetRecord::found(at, description.clone(), listing.clone());
                Some(Change::Target(id, Some(Arc::new(record))))
            }
            Event::TargetChanged { .. } | of_a_target!(..) | of_a_rotation!(..) => {
                let id = event.target().expect("each of these events names its target");
                let record = self.targets.get(&id).ok_or_else(|| Contradiction(format!("{id} is not known")))?;
                Some(Change::Target(id, Some(Arc::new(record.after(at, event)?))))
            }
        })
    }

    /// Until when the wall clock may be one that leapt ahead, and by how many seconds it did; none if it may be gone by.
    pub fn doubts_clock(&self, now: Timestamp) -> Option<(Timestamp, i64)> {
        let step = self.clock_step?;
        // Of a date that a clock set back since has left in the future nothing is held against this one.
        let until = step.doubted_until().filter(|until| (step.at..*until).contains(&now))?;
        Some((until, step.by_s))
    }

    /// Takes an event in without a way back, for who goes through a long history: a target that is known is changed where it
    /// is. Returns what changed.
    ///
    /// # Errors
    /// If the event cannot follow from what is known; nothing has changed then.
    pub fn fold(&mut self, at: Timestamp, event: &Event) -> Result<Option<Folded<'_>>, Contradiction> {
        let apart = matches!(event, Event::TargetFound { .. } | Event::AlertRaised { .. } | Event::AlertCleared { .. });
        if let Some(id) = event.target().filter(|_| !apart) {
            let record = self.targets.get_mut(&id).ok_or_else(|| Contradiction(format!("{id} is not known")))?;
            Arc::make_mut(record).advance(at, event)?;
            return Ok(Some(Folded::Target(id, record)));
        }
        let Some(change) = self.consequence(at, event)? else { return Ok(None) };
        self.adopt(change.clone());
        if let Change::Target(id, _) = change {
            let record = self.targets.get(&id).expect("it was just taken in");
            return Ok(Some(Folded::Target(id, record)));
        }
        Ok(Some(Folded::Rest(Box::new(change))))
    }

    /// What a look at a target's unchanged key changes: when it was last seen. None if that is no news. After the clock
    /// was set back that may be earlier than before: the newest look is the one that counts.
    pub fn seen_again(&self, target: &TargetId, at: Timestamp) -> Option<Change> {
        let record = self.targets.get(target)?;
        let mut next = TargetRecord::clone(record);
        let key = next.key.as_mut()?;
        if at == key.last_seen {
            return None;
        }
        key.last_seen = at;
        Some(Change::Target(target.clone(), Some(Arc::new(next))))
    }

    /// Since when the manager does not answer or refuses the credential, and why; none while it works.
    pub fn outage_of(&self, manager: &ManagerName) -> Option<&Trouble> {
        self.managers.get(manager)?.outage.as_ref()
    }

    /// The pauses that hold something up at this moment, by their scopes. One that is over stays until that is recorded, and
    /// one that was ordered by a clock that has been set back since holds from its order on.
    pub fn standing_pauses(&self, at: Timestamp) -> impl Iterator<Item = (&String, &Pause)> {
        self.pauses.iter().filter(move |(_, pause)| at < pause.until)
    }

    /// Takes a change in, and returns the one that undoes it.
    pub fn adopt(&mut self, change: Change) -> Change {
        /// Puts a value in or takes it out, and returns what was there.
        fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) -> Option<V> {
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            }
        }
        match change {
            Change::Target(id, value) => Change::Target(id.clone(), set(&mut self.targets, id, value)),
            Change::Manager(name, value) => Change::Manager(name.clone(), set(&mut self.managers, name, value)),
            Change::Alert(kind, subject, value) => {
                Change::Alert(kind, subject.clone(), set(&mut self.alerts, (kind, subject), value))
            }
            Change::Policy(name, value) => Change::Policy(name.clone(), set(&mut self.policies, name, value)),
            Change::Pause(scope, value) => Change::Pause(scope.clone(), set(&mut self.pauses, scope, value)),
            Change::Freeze(name, value) => Change::Freeze(name.clone(), set(&mut self.freezes, name, value)),
            Change::Receiver(name, value) => Change::Receiver(name.clone(), set(&mut self.receivers, name, value)),
            Change::ApiKey(manager, id, value) => {
                Change::ApiKey(manager.clone(), id.clone(), set(&mut self.api_keys, (manager, id), value))
            }
            Change::ClockStep(value) => Change::ClockStep(std::mem::replace(&mut self.clock_step, value)),
        }
    }

    fn api_key(&self, manager: &ManagerName, key: &ApiKey) -> Result<&ApiKeyRecord, Contradiction> {
        let known = self.api_keys.get(&(manager.clone(), key.id.clone()));
        known.map(Arc::as_ref).ok_or_else(|| Contradiction(format!("API key {} of {manager} is not known", key.id)))
    }

    fn manager_after(&self, manager: &ManagerName, fold: impl FnOnce(&mut ManagerRecord)) -> Change {
        let mut record = self.managers.get(manager).cloned().unwrap_or_default();
        fold(&mut record);
        Change::Manager(manager.clone(), Some(record))
    }

    fn receiver_after(&self, receiver: &ReceiverName, fold: impl FnOnce(&mut ReceiverRecord)) -> Change {
        let mut record = self.receivers.get(receiver).map(|record| ReceiverRecord::clone(record)).unwrap_or_default();
        fold(&mut record);
        Change::Receiver(receiver.clone(), Some(Arc::new(record)))
    }
}
