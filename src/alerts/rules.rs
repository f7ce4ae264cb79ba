//! When each kind of alert fires, and its words.
//!
//! A condition is a comparison of moments, never of lengths: a clock that was set back makes nothing old.

mod gone;
mod target;
mod upkeep;

use std::collections::HashSet;

use jiff::Timestamp;

use self::target::Look;

use super::words::length;
use super::{About, Alert, Severity, advice};
use crate::domain::{
    AlertKind, AlertSubject, ApiKeyRecord, Gap, ManagerName, ManagerRecord, Period, Power, ReceiverName,
    ReceiverRecord, Trouble,
};
use crate::policy::Rules;
use crate::ports::Situation;

/// So long it is news that a key can rotate, or that a target is gone.
const NEWS: Period = Period::days(7);
/// So long a step of the wall clock is: every policy's hours have come by then.
const STEPPED_FOR: Period = Period::days(1);

/// Everything that is wrong now, each kind at most once a subject.
///
/// Of targets whose manager is not configured nothing is said, and of those that are gone only that they are; targets that are
/// not rotated speak only if they once had a key.
pub fn fire(situation: &Situation, rules: &Rules) -> Vec<Alert> {
    let fleet = &situation.fleet;
    let managers = fleet
        .managers
        .iter()
        .filter(|(name, _)| rules.managers.contains_key(*name))
        .flat_map(|(name, record)| of_manager(name, record, rules, situation.now));
    let targets = fleet.targets.iter().filter_map(|(id, record)| Look::at(situation, rules, id, record));
    let api_keys = fleet.api_keys.iter().filter(|((manager, _), _)| rules.managers.contains_key(manager));
    let api_keys = api_keys.filter_map(|((manager, _), record)| of_api_key(manager, record, situation.now));
    let receivers = fleet.receivers.iter().filter_map(|(name, record)| receiver(name, record, situation.now));
    let alerts = ledger(situation)
        .into_iter()
        .chain(upkeep::upkeep(situation))
        .chain(scheduler(situation, rules))
        .chain(clock(situation))
        .chain(receivers)
        .chain(managers)
        .chain(api_keys)
        .chain(targets.flat_map(|look| look.alerts()))
        .chain(gone::gone(situation, rules));
    told_apart(alerts.collect())
}

/// Targets of one name have their ids behind it, as in the series: to a receiver two alerts of one name would be one.
fn told_apart(mut alerts: Vec<Alert>) -> Vec<Alert> {
    let mut once = HashSet::new();
    let again = alerts.iter().filter(|alert| !once.insert((alert.kind, alert.name.as_str())));
    let twice: HashSet<_> = again.map(|alert| (alert.kind, alert.name.clone())).collect();
    for alert in alerts.iter_mut().filter(|alert| twice.contains(&(alert.kind, alert.name.clone()))) {
        if let AlertSubject::Target(id) = &alert.subject
            && let Some((_, ids)) = id.as_str().split_once('/')
        {
            alert.name = format!("{} ({ids})", alert.name);
        }
    }
    alerts
}

/// No record, no rotation: whoever is told by this alert has to make room, or the fleet grows old.
fn ledger(situation: &Situation) -> Option<Alert> {
    let (since, error) = situation.unwritable.as_ref()?;
    let words = format!(
        "Nothing is rotated since {since:.0}, for {}: {error}. Next: make room on the disk of the state directory, or \
         mend it; it goes on by itself.",
        length(*since, situation.now)
    );
    Some(alert(AlertKind::LedgerUnwritable, AlertSubject::Daemon, "rekeyd".to_owned(), Some(*since), words))
}

/// The record still says what is due; nobody does it.
fn scheduler(situation: &Situation, rules: &Rules) -> Option<Alert> {
    if !rules.is_stalled(situation.since_sweep) {
        return None;
    }
    let seconds = situation.since_sweep.as_secs();
    let words = format!(
        "Nothing is rotated: no plan was made for {seconds}s, and one should be every few seconds. \
         Next: keep the daemon's log, then restart it; what was in hand is settled by looking."
    );
    let since = rules.stalled_after.after(situation.last_sweep.unwrap_or(situation.started_at));
    Some(alert(AlertKind::SchedulerStalled, AlertSubject::Daemon, "rekeyd".to_owned(), Some(since), words))
}

/// Ages, windows and due times are read off this clock. It ends by itself: the ledger keeps what was said.
fn clock(situation: &Situation) -> Option<Alert> {
    // One that is dated in the future was set right since, while nobody was there to see.
    let is_fresh = |at: Timestamp| at <= situation.now && situation.now <= STEPPED_FOR.after(at);
    let step = situation.fleet.clock_step.filter(|step| is_fresh(step.at))?;
    let (way, seconds) = (if step.by_s < 0 { "back" } else { "ahead" }, step.by_s.unsigned_abs());
    let held = step.doubted_until().map_or(String::new(), |until| {
        format!(" If it was not set right again, it is gone by from {until:.0} on, and nothing is begun before.")
    });
    let words = format!(
        "The wall clock of this machine was set {way} by {seconds}s at {:.0}: ages and due times are read off it.{held} \
         Next: see that the machine follows a time server (`timedatectl`), and that what was due was rotated.",
        step.at
    );
    Some(alert(AlertKind::ClockStepped, AlertSubject::Daemon, "rekeyd".to_owned(), Some(step.at), words))
}

/// Told by all the others: whoever cannot be reached hears nothing of it.
fn receiver(name: &ReceiverName, record: &ReceiverRecord, now: Timestamp) -> Option<Alert> {
    let (since, error) = record.failing.as_ref()?;
    let words = format!(
        "{name} cannot be told of alerts since {since:.0}, for {}: {error}. \
         Next: check its address in the configuration, and that it runs; what it missed it is told then.",
        length(*since, now)
    );
    let subject = AlertSubject::Receiver(name.clone());
    Some(alert(AlertKind::ReceiverFailing, subject, name.to_string(), Some(*since), words))
}

fn of_manager(manager: &ManagerName, record: &ManagerRecord, rules: &Rules, now: Timestamp) -> Vec<Alert> {
    let failing = record.outage.as_ref().map(|Trouble { since, failure }| {
        let (kind, what) = if failure.reason.mends_itself() {
            (AlertKind::ManagerFailing, "has been failing")
        } else {
            (AlertKind::CredentialsRefused, "has refused our API key")
        };
        let words = format!(
            "{manager} {what} since {since:.0}, for {}: {failure}. None of its keys are rotated or read. Next: {}.",
            length(*since, now),
            advice::against(About::Manager, failure.reason)
        );
        alert(kind, AlertSubject::Manager(manager.clone()), manager.to_string(), Some(*since), words)
    });
    let is_wanted = |gap: &Gap| rules.exclusion(manager, &gap.project_id, &gap.project, &gap.cluster).is_none();
    let gaps = record.gaps.iter().filter(|(gap, _)| is_wanted(gap)).map(|(gap, since)| {
        let name = format!("{manager}/{}/{}", gap.project, gap.cluster);
        let words = format!(
            "{name} is sharded and {manager} lists no config servers for it: their key is not rotated and the cluster \
             cannot be called covered. Next: check in the manager that the backup of the whole cluster is started."
        );
        let subject = AlertSubject::cluster(manager, &gap.project_id, &gap.cluster);
        alert(AlertKind::ConfigServersMissing, subject, name, Some(*since), words)
    });
    let unread = record.unread.iter().map(|(project, Trouble { since, failure })| {
        let name = format!("{manager}/{project}");
        let words = format!(
            "{name} cannot be listed since {since:.0}, for {}: {failure}. What is new in it is not rotated. Next: {}.",
            length(*since, now),
            advice::against(About::Project, failure.reason)
        );
        alert(AlertKind::ProjectUnread, AlertSubject::project_by_name(manager, project), name, Some(*since), words)
    });
    failing.into_iter().chain(gaps).chain(unread).collect()
}

/// A key that came, or came to power, under our eyes. It ends by itself: the ledger keeps what was said.
fn of_api_key(manager: &ManagerName, record: &ApiKeyRecord, now: Timestamp) -> Option<Alert> {
    let (key, since) = (&record.key, record.empowered_at?);
    if now > NEWS.after(since) {
        return None;
    }
    let can = if key.power() == Power::Rotates { "can rotate keys" } else { "can give itself the role to rotate keys" };
    let roles = key.grants.iter().filter(|grant| grant.power() >= Power::Grants);
    let roles = roles.take(3).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let words = format!(
        "{manager}: the API key {} ({}) {can} since {since:.0} at the latest, by {roles}. Next: ask who made it and for \
         what; if nobody knows, delete it in the manager. `rekeyd keys` lists all that can.",
        key.public_key, key.description
    );
    let subject = AlertSubject::api_key(manager, &key.id);
    Some(alert(AlertKind::ApiKeyNew, subject, format!("{manager}/{}", key.public_key), Some(since), words))
}

fn alert(kind: AlertKind, subject: AlertSubject, name: String, since: Option<Timestamp>, words: String) -> Alert {
    Alert { kind, subject, name, severity: Severity::of(kind), since, words }
}

#[cfg(test)]
mod tests;
