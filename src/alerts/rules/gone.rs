//! When it is told that targets are gone, and the words: one alert for each, or one for a project of which nothing is left.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Alert, NEWS, alert, length};
use crate::domain::{AlertKind, AlertSubject, Listing, ManagerName, ProjectId, Sighting, TargetRecord};
use crate::policy::Rules;
use crate::ports::Situation;

/// Whatever went within the time that it is news. A project went as a whole, and is told once, if no listing names any
/// target of it: then it may be our role in it that went. It ends by itself: the ledger keeps what was said.
pub(super) fn gone(situation: &Situation, rules: &Rules) -> Vec<Alert> {
    let (now, targets) = (situation.now, &situation.fleet.targets);
    let mut projects: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for record in targets.values() {
        if let Some(since) = is_news(record, rules, now) {
            projects.entry(project(record)).or_default().push((since, &**record));
        }
    }
    if projects.is_empty() {
        return Vec::new();
    }
    let listed: BTreeSet<_> =
        targets.values().filter(|record| record.gone_since.is_none()).map(|record| project(record)).collect();
    let alerts = projects.into_iter().flat_map(|(project, gone)| {
        if listed.contains(&project) {
            gone.into_iter().map(|(since, record)| one(since, record, now)).collect()
        } else {
            Vec::from_iter(all(&gone, now))
        }
    });
    alerts.collect()
}

/// Since when a target is gone, if anybody is to be told: it had a key, and the configuration does not leave it out.
fn is_news(record: &TargetRecord, rules: &Rules, now: Timestamp) -> Option<Timestamp> {
    let since = record.gone_since.filter(|since| now <= NEWS.after(*since) && record.key.is_some())?;
    rules.policy_of(&record.target)?;
    let sighting = Sighting { target: record.target.clone(), listing: record.listing.clone() };
    (!matches!(rules.listing_of(&sighting), Listing::Excluded { .. })).then_some(since)
}

fn project(record: &TargetRecord) -> (&ManagerName, &ProjectId) {
    (&record.target.manager, &record.target.project_id)
}

fn one(since: Timestamp, record: &TargetRecord, now: Timestamp) -> Alert {
    let name = record.target.name().to_string();
    let words = format!(
        "{name}: not listed any more since {since:.0}, for {}, though others of its project are: its key is neither \
         rotated nor read. Next: ask who removed it in the manager; if that was meant, nothing is to be done: this ends by \
         itself at {:.0}.",
        length(since, now),
        NEWS.after(since)
    );
    alert(AlertKind::TargetGone, AlertSubject::Target(record.target.id()), name, Some(since), words)
}

/// None of none. It went when the last of it went.
fn all(gone: &[(Timestamp, &TargetRecord)], now: Timestamp) -> Option<Alert> {
    let (since, record) = *gone.iter().max_by_key(|(since, _)| *since)?;
    let name = format!("{}/{}", record.target.manager, record.target.project);
    let words = format!(
        "{name}: nothing of this project is listed any more since {since:.0}, for {}: none of its keys ({}) is rotated or \
         read. Next: see in the manager that the API key still has its role in this project; if the project was removed \
         on purpose, nothing is to be done: this ends by itself at {:.0}.",
        length(since, now),
        gone.len(),
        NEWS.after(since)
    );
    let subject = AlertSubject::project_by_id(&record.target.manager, &record.target.project_id);
    Some(alert(AlertKind::TargetGone, subject, name, Some(since), words))
}
