//! The planner: what is to be done with every target now, each with its reason. There is no second opinion anywhere.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::due::due_at;
use super::pace::waits;
use super::rules::{ManagerRules, Rules};
use crate::domain::{
    Decision, Fleet, ManagerName, Phase, Planned, ProjectId, Standing, TargetId, TargetName, TargetRecord, WaitReason,
};

/// A decision for every target, in the order of the targets' ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The decisions.
    pub decisions: Vec<Planned>,
    /// When time alone will change one of them.
    pub next_at: Option<Timestamp>,
}

/// Decides, given everything known, the rules, the time, and the targets that the engine has in hand.
///
/// What came due while nobody looked is due now, once, oldest first. The members of one cluster go one after another,
/// config servers last among equals; clusters go side by side up to the manager's `max_concurrent`.
pub fn plan(now: Timestamp, fleet: &Fleet, rules: &Rules, in_hand: &BTreeSet<TargetId>) -> Plan {
    let mut plan = Plan::default();
    let mut places = Places::default();
    let mut candidates = Vec::new();
    for (id, record) in &fleet.targets {
        // What nobody may settle any more must not hold the others for ever.
        let open = record.rotation.is_some() && rules.policy_of(&record.target).is_some();
        if open || in_hand.contains(id) {
            places.take(record);
        }
        match assess(now, fleet, rules, record) {
            Assessment::Decided(decision) => {
                if let Decision::Wait { until: Some(until), .. } = &decision {
                    plan.next_at = Some(plan.next_at.map_or(*until, |next| next.min(*until)));
                }
                plan.decisions.push(Planned { target: id.clone(), decision });
            }
            Assessment::Due { due_at, manager } => candidates.push(Candidate { due_at, record, manager, id }),
        }
    }
    candidates.sort_by_key(|candidate| (candidate.due_at, candidate.record.target.role, candidate.id));
    for candidate in candidates {
        let decision = if in_hand.contains(candidate.id) {
            candidate.rotate()
        } else {
            match places.refusal(&candidate) {
                Some(reason) => Decision::Wait { until: None, due_at: Some(candidate.due_at), reason },
                None => {
                    places.take(candidate.record);
                    candidate.rotate()
                }
            }
        };
        plan.decisions.push(Planned { target: candidate.id.clone(), decision });
    }
    plan.decisions.sort_by(|a, b| a.target.cmp(&b.target));
    plan
}

/// A target that would be rotated now if there is a place for it.
struct Candidate<'a> {
    due_at: Timestamp,
    record: &'a TargetRecord,
    manager: &'a ManagerRules,
    id: &'a TargetId,
}

impl Candidate<'_> {
    fn rotate(&self) -> Decision {
        Decision::Rotate { rotation: self.record.next_rotation(), due_at: self.due_at }
    }
}

enum Assessment<'a> {
    Decided(Decision),
    Due { due_at: Timestamp, manager: &'a ManagerRules },
}

/// What can be said of a target without looking at the others.
fn assess<'a>(now: Timestamp, fleet: &Fleet, rules: &'a Rules, record: &TargetRecord) -> Assessment<'a> {
    let target = &record.target;
    let standing = record.standing();
    let unmanaged = match (rules.managers.get(&target.manager), rules.policy_of(target)) {
        (Some(manager), Some(policy)) if standing == Standing::Managed => Ok((manager, policy)),
        (Some(_), Some(_)) => Err(standing.to_string()),
        (None, _) | (_, None) => Err("the configuration names neither its manager nor its project".to_owned()),
    };
    let outage = fleet.managers.get(&target.manager).and_then(|manager| manager.outage.as_ref());
    let due_at = unmanaged.as_ref().ok().and_then(|(_, policy)| due_at(record, policy));
    let wait = |until, reason| Assessment::Decided(Decision::Wait { until, due_at, reason });
    let failing = outage.map(|outage| WaitReason::ManagerFailing {
        manager: target.manager.clone(),
        since: outage.since,
        failure: outage.failure.clone(),
    });
    if let Some(rotation) = &record.rotation {
        return match (unmanaged, &rotation.phase, failing) {
            (Err(why), Phase::Intended, _) => Assessment::Decided(Decision::Withdraw { rotation: rotation.id, why }),
            (Err(why), _, _) if rules.policy_of(target).is_none() => Assessment::Decided(Decision::NotManaged {
                why: format!("{why}; rotation {} is unsettled", rotation.id),
            }),
            (_, _, Some(failing)) => wait(None, failing),
            (_, _, None) => Assessment::Decided(Decision::Resume { rotation: rotation.id }),
        };
    }
    let manager = match unmanaged {
        Ok((manager, _)) => manager,
        Err(why) => return Assessment::Decided(Decision::NotManaged { why }),
    };
    let Some(due) = due_at else { return wait(None, WaitReason::KeyUnknown) };
    if let Some(quarantine) = &record.quarantine {
        return Assessment::Decided(Decision::Quarantined { since: quarantine.since, due_at });
    }
    if now < due {
        return wait(Some(due), WaitReason::NotDue);
    }
    if let Some((failure, retry_at)) = &record.setback
        && waits(now, *retry_at)
    {
        let reason = WaitReason::BackingOff { attempt: record.attempt, failure: failure.clone() };
        return wait(Some(*retry_at), reason);
    }
    match failing {
        Some(failing) => wait(None, failing),
        None => Assessment::Due { due_at: due, manager },
    }
}

/// Who is being rotated, and so which places are taken.
#[derive(Default)]
struct Places<'a> {
    clusters: BTreeMap<(&'a ManagerName, &'a ProjectId, &'a str), TargetName>,
    managers: BTreeMap<&'a ManagerName, usize>,
}

impl<'a> Places<'a> {
    fn take(&mut self, record: &'a TargetRecord) {
        let target = &record.target;
        self.clusters.entry((&target.manager, &target.project_id, &target.cluster)).or_insert_with(|| target.name());
        *self.managers.entry(&target.manager).or_default() += 1;
    }

    fn refusal(&self, candidate: &Candidate<'_>) -> Option<WaitReason> {
        let target = &candidate.record.target;
        let cluster = (&target.manager, &target.project_id, target.cluster.as_str());
        if let Some(member) = self.clusters.get(&cluster) {
            return Some(WaitReason::MemberFirst { member: member.clone() });
        }
        let taken = self.managers.get(&target.manager).copied().unwrap_or_default();
        let limit = candidate.manager.max_concurrent;
        (taken >= limit).then_some(WaitReason::ManagerFull { limit })
    }
}

#[cfg(test)]
mod tests;
