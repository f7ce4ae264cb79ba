//! The planner: what is to be done with every target now, each with its reason. There is no second opinion anywhere.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::due::due_at;
use super::gate::{Gates, shut};
use super::line::Line;
use super::pace::waits;
use super::pauses::paused;
use super::rules::{ManagerRules, Rules};
use super::settings::{MemberOrder, Policy};
use crate::domain::{
    Decision, Fleet, ManagerName, Phase, Planned, ProjectId, Role, Standing, TargetId, TargetRecord, WaitReason,
};

/// A decision for every target, in the order of the targets' ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The decisions.
    pub decisions: Vec<Planned>,
    /// When time alone will change one of them.
    pub next_at: Option<Timestamp>,
    /// Who begins as places come free.
    pub line: Line,
}

/// Decides, given everything known, the rules, the time, and the targets that the engine has in hand.
///
/// What came due while nobody looked is due now, once, oldest first, in the policy's windows and outside of freezes. The
/// members of one cluster go one after another, in the policy's order; clusters go side by side up to the manager's
/// `max_concurrent`. What a person asked for goes first, and nothing goes that a person has paused.
pub fn plan(now: Timestamp, fleet: &Fleet, rules: &Rules, in_hand: &BTreeSet<TargetId>) -> Plan {
    let mut plan = Plan::default();
    let mut places = Places::default();
    let mut candidates = Vec::new();
    let gates = Gates::new(now, rules);
    for (id, record) in &fleet.targets {
        // What nobody may settle any more must not hold the others for ever.
        let open = record.rotation.is_some() && rules.policy_of(&record.target).is_some();
        if open || in_hand.contains(id) {
            places.take(record);
        }
        if open {
            plan.line.add_open(id);
        }
        places.mind(record);
        match assess(&gates, fleet, record) {
            Assessment::Decided(decision) => {
                if let Decision::Wait { until: Some(until), .. } = &decision {
                    plan.again_at(*until);
                }
                plan.decisions.push(Planned { target: id.clone(), decision });
            }
            Assessment::Due { due_at, manager, policy } => {
                candidates.push(Candidate { due_at, record, manager, policy, id });
            }
        }
    }
    for candidate in in_turn(candidates) {
        let decision = if in_hand.contains(candidate.id) {
            candidate.rotate()
        } else {
            match places.refusal(&candidate) {
                Some(reason) => {
                    // Its window ends by time alone.
                    if let Some(window) = gates.window(candidate.policy, candidate.manager.request_timeout) {
                        plan.again_at(window.end);
                    }
                    plan.line.add(&candidate, &reason);
                    Decision::Wait { until: None, due_at: Some(candidate.due_at), reason }
                }
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

impl Plan {
    fn again_at(&mut self, at: Timestamp) {
        self.next_at = Some(self.next_at.map_or(at, |next| next.min(at)));
    }
}

/// A target that would be rotated now if there is a place for it.
pub(super) struct Candidate<'a> {
    pub(super) due_at: Timestamp,
    pub(super) record: &'a TargetRecord,
    pub(super) manager: &'a ManagerRules,
    pub(super) policy: &'a Policy,
    pub(super) id: &'a TargetId,
}

impl<'a> Candidate<'a> {
    fn rotate(&self) -> Decision {
        Decision::Rotate { rotation: self.record.next_rotation(), due_at: self.due_at }
    }

    fn cluster(&self) -> Cluster<'a> {
        cluster(self.record)
    }

    /// Its turn among the members of its cluster, the due time left aside.
    fn rank(&self) -> u8 {
        let config_server = self.record.target.role == Role::ConfigServer;
        match self.policy.member_order {
            MemberOrder::ConfigServersLast => u8::from(config_server),
            MemberOrder::ConfigServersFirst => u8::from(!config_server),
            MemberOrder::OldestFirst => 0,
        }
    }
}

/// A cluster within everything: its manager, its project, its name.
type Cluster<'a> = (&'a ManagerName, &'a ProjectId, &'a str);

fn cluster(record: &TargetRecord) -> Cluster<'_> {
    (&record.target.manager, &record.target.project_id, record.target.cluster.as_str())
}

/// The candidates in the order in which they are given places: a cluster by its oldest member that is due, the members in
/// their policy's order, each by its due time.
pub(super) fn in_turn(mut candidates: Vec<Candidate<'_>>) -> Vec<Candidate<'_>> {
    let mut oldest: HashMap<Cluster<'_>, Timestamp> = HashMap::new();
    for candidate in &candidates {
        let due_at = oldest.entry(candidate.cluster()).or_insert(candidate.due_at);
        *due_at = candidate.due_at.min(*due_at);
    }
    candidates.sort_by_cached_key(|candidate| {
        let line = match candidate.policy.member_order {
            MemberOrder::OldestFirst => candidate.due_at,
            MemberOrder::ConfigServersLast | MemberOrder::ConfigServersFirst => {
                oldest.get(&candidate.cluster()).copied().unwrap_or(candidate.due_at)
            }
        };
        (candidate.record.request.is_none(), line, candidate.rank(), candidate.due_at, candidate.id)
    });
    candidates
}

pub(super) enum Assessment<'a> {
    Decided(Decision),
    Due { due_at: Timestamp, manager: &'a ManagerRules, policy: &'a Policy },
}

/// What can be said of a target without looking at the others.
pub(super) fn assess<'a>(gates: &Gates<'a>, fleet: &Fleet, record: &TargetRecord) -> Assessment<'a> {
    let (now, rules) = (gates.at, gates.rules);
    let target = &record.target;
    let standing = record.standing();
    let policy = rules.policy_of(target);
    let unmanaged = match (rules.managers.get(&target.manager), policy) {
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
    let paused = paused(fleet, now, record);
    if let Some(rotation) = &record.rotation {
        let shut = policy.filter(|_| rotation.phase == Phase::Intended);
        let shut = shut.and_then(|policy| paused.or_else(|| gates.shut(record, policy)));
        let shut = shut.map(|shut| shut.reason.to_string());
        return match (unmanaged, &rotation.phase, failing, shut) {
            // It would hold its place until the time is right again.
            (Err(why), Phase::Intended, _, _) | (Ok(_), Phase::Intended, _, Some(why)) => {
                Assessment::Decided(Decision::Withdraw { rotation: rotation.id, why })
            }
            (Err(why), _, _, _) if policy.is_none() => Assessment::Decided(Decision::NotManaged {
                why: format!("{why}; rotation {} is unsettled", rotation.id),
            }),
            (_, _, Some(failing), _) => wait(None, failing),
            (_, _, None, _) => Assessment::Decided(Decision::Resume { rotation: rotation.id }),
        };
    }
    let (manager, policy) = match unmanaged {
        Ok(rules) => rules,
        Err(why) => return Assessment::Decided(Decision::NotManaged { why }),
    };
    let Some(due) = due_at else { return wait(None, WaitReason::KeyUnknown) };
    if let Some(quarantine) = &record.quarantine {
        return Assessment::Decided(Decision::Quarantined { since: quarantine.since, due_at });
    }
    // The moment of an order may lie ahead, if the clock was set back since.
    if now < due && record.request.is_none() {
        return wait(Some(due), WaitReason::NotDue);
    }
    if let Some(paused) = paused {
        return wait(paused.until, paused.reason);
    }
    if let Some((failure, retry_at)) = &record.setback
        && waits(now, *retry_at)
    {
        let reason = WaitReason::BackingOff { attempt: record.attempt, failure: failure.clone() };
        return wait(Some(*retry_at), reason);
    }
    if let Some(shut) = gates.shut(record, policy) {
        return wait(shut.until, shut.reason);
    }
    match failing {
        Some(failing) => wait(None, failing),
        None => Assessment::Due { due_at: due, manager, policy },
    }
}

/// What keeps an attempt from being sent at `at`, in words; none if nothing does.
pub fn shut_by(at: Timestamp, record: &TargetRecord, policy: &Policy, rules: &Rules) -> Option<String> {
    shut(at, record, policy, rules).map(|shut| shut.reason.to_string())
}

/// Who is being rotated, and so which places are taken.
#[derive(Default)]
pub(super) struct Places<'a> {
    clusters: BTreeMap<Cluster<'a>, &'a TargetRecord>,
    managers: BTreeMap<&'a ManagerName, usize>,
    failed: BTreeMap<Cluster<'a>, &'a TargetRecord>,
}

impl<'a> Places<'a> {
    pub(super) fn take(&mut self, record: &'a TargetRecord) {
        self.clusters.entry(cluster(record)).or_insert(record);
        *self.managers.entry(&record.target.manager).or_default() += 1;
    }

    /// Remembers a member whose attempt failed: it may stop the others of its cluster.
    fn mind(&mut self, record: &'a TargetRecord) {
        if (record.setback.is_some() || record.quarantine.is_some()) && record.standing() == Standing::Managed {
            self.failed.entry(cluster(record)).or_insert(record);
        }
    }

    pub(super) fn refusal(&self, candidate: &Candidate<'_>) -> Option<WaitReason> {
        let target = &candidate.record.target;
        let cluster = candidate.cluster();
        if let Some(member) = self.clusters.get(&cluster) {
            return Some(WaitReason::MemberFirst { member: member.target.name() });
        }
        // Whoever failed itself may try again, or two that failed would wait for each other.
        if candidate.policy.stop_cluster_on_failure
            && candidate.record.setback.is_none()
            && let Some(failed) = self.failed.get(&cluster)
        {
            return Some(WaitReason::MemberFailed { member: failed.target.name() });
        }
        let taken = self.managers.get(&target.manager).copied().unwrap_or_default();
        let limit = candidate.manager.max_concurrent;
        (taken >= limit).then_some(WaitReason::ManagerFull { limit })
    }
}

#[cfg(test)]
mod tests;
