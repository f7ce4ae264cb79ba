//! Which targets' keys are to be looked at now, apart from any rotation.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::place::place;
use super::rules::Rules;
use crate::domain::{Fleet, Period, Standing, TargetId, TargetRecord};

/// A target that refuses this mechanism, or waits for an operator, is looked at once a day.
const SELDOM: Period = Period::days(1);

/// The targets to look at now, and when there will be more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looks {
    /// To look at now, the longest unseen first.
    pub now: Vec<TargetId>,
    /// When the next one is to be looked at.
    pub next_at: Option<Timestamp>,
}

/// Decides which keys to look at. `tried` says when a look was last tried, whatever came of it.
///
/// A target with an unsettled rotation is left to that rotation. Looks keep the distance of the policy's `observe_every`, less
/// the target's own place in a tenth of it: however they begin, they drift apart and not together.
pub fn looks(now: Timestamp, fleet: &Fleet, rules: &Rules, tried: &BTreeMap<TargetId, Timestamp>) -> Looks {
    let mut looks = Looks::default();
    let mut due = Vec::new();
    for (id, record) in &fleet.targets {
        let outage = fleet.managers.get(&record.target.manager).is_some_and(|manager| manager.outage.is_some());
        if outage || record.rotation.is_some() {
            continue;
        }
        let Some(every) = distance(record, rules) else { continue };
        let seen = record.key.as_ref().map(|key| key.last_seen);
        // A clock that was set back must not silence the looks until it has caught up, nor let them follow each other.
        let newest = [seen, tried.get(id).copied()].into_iter().flatten().filter(|at| *at <= now).max();
        let at = newest.map_or(Timestamp::MIN, |newest| {
            let early = Period::from_secs(place(id, every.as_secs() / 10)).map_or(newest, |part| part.before(newest));
            every.after(early)
        });
        if at <= now {
            due.push((at, id));
        } else {
            looks.next_at = Some(looks.next_at.map_or(at, |next| next.min(at)));
        }
    }
    // Were there more to look at than there is time for, none must be left out for ever.
    due.sort();
    looks.now = due.into_iter().map(|(_, id)| id.clone()).collect();
    looks
}

fn distance(record: &TargetRecord, rules: &Rules) -> Option<Period> {
    let policy = rules.policy_of(&record.target)?;
    match record.standing() {
        Standing::Managed if record.quarantine.is_none() => Some(policy.observe_every),
        Standing::Managed | Standing::Refused(_) => Some(SELDOM.max(policy.observe_every)),
        Standing::Listed(_) | Standing::Gone => None,
    }
}
