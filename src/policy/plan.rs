//! The planner: what is to be done with every target now, each with its reason. There is no second opinion anywhere.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::due::due_at;
use super::gate::{Gates, Shut};
use super::line::Line;
use super::pace::waits;
use super::rules::{ManagerRules, Rules};
use super::settings::Policy;
use super::turn::{Candidate, Places, in_turn};
use crate::domain::{Decision, Failure, Fleet, Phase, Planned, Standing, TargetId, TargetRecord, WaitReason};

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
    let gates = Gates::new(now, fleet, rules);
    for (id, record) in &fleet.targets {
        // What nobody may settle any more must not hold the others for ever.
        let open = record.rotation.is_some() && rules.policy_of(&record.target).is_some();
        if open || in_hand.contains(id) {
            places.take(record);
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
                    if places.stopped_by(&candidate).is_none() {
                        plan.line.add(&candidate, &reason);
                    }
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
    plan.line.set_places(places);
    plan.decisions.sort_by(|a, b| a.target.cmp(&b.target));
    plan
}

impl Plan {
    fn again_at(&mut self, at: Timestamp) {
        self.next_at = Some(self.next_at.map_or(at, |next| next.min(at)));
    }
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
    let outage = fleet.outage_of(&target.manager);
    let due_at = unmanaged.as_ref().ok().and_then(|(_, policy)| due_at(record, policy));
    let wait = |until, reason| Assessment::Decided(Decision::Wait { until, due_at, reason });
    let failing = outage.map(|outage| WaitReason::ManagerFailing {
        manager: target.manager.clone(),
        since: outage.since,
        failure: outage.failure.clone(),
    });
    if let Some(rotation) = &record.rotation {
        let unsent = policy.filter(|_| rotation.phase == Phase::Intended);
        let shut = unsent.and_then(|policy| gates.shut(record, policy)).map(|shut| shut.reason.to_string());
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
        let (since, failure) = (quarantine.since, quarantine.failure.clone());
        return Assessment::Decided(Decision::Quarantined { since, due_at, failure });
    }
    // The moment of an order may lie ahead, if the clock was set back since.
    if now < due && record.request.is_none() {
        return wait(Some(due), WaitReason::NotDue);
    }
    if let Some(Shut { until, reason }) = gates.held(record) {
        return wait(until, reason);
    }
    if let Some((failure, retry_at)) = &record.setback
        && waits(now, *retry_at)
    {
        let reason = WaitReason::BackingOff { attempt: record.attempt, failure: Failure::clone(failure) };
        return wait(Some(*retry_at), reason);
    }
    if let Some(Shut { until, reason }) = gates.outside(record, policy) {
        return wait(until, reason);
    }
    match failing {
        Some(failing) => wait(None, failing),
        None => Assessment::Due { due_at: due, manager, policy },
    }
}

#[cfg(test)]
mod tests;
