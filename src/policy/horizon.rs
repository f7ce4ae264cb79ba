//! Every slot to come, by the planner that the daemon obeys: what it decides at a moment is taken for done, and it is asked
//! again.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::due::LONGEST_CHAIN;
use super::gate::{Gates, margin};
use super::plan::{Assessment, assess};
use super::rules::Rules;
use super::turn::{Candidate, Places, in_turn};
use crate::domain::{
    Decision, Event, Fleet, How, KeyId, PolicyName, RotationId, Span, TargetId, TargetRecord, WaitReason,
};

/// A slot to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Occasion {
    /// When its attempt begins, if nothing fails and each takes no time.
    pub at: Timestamp,
    /// Whose key is rotated.
    pub target: TargetId,
    /// Which slot, and the attempt at it.
    pub rotation: RotationId,
    /// When it falls due.
    pub due_at: Timestamp,
    /// The window that it falls into; none where any time will do.
    pub window: Option<Span>,
    /// The target's policy.
    pub policy: PolicyName,
    /// What it will have waited for since it fell due: a freeze or a pause, if a window would have opened in it, or a window.
    /// None if for nothing.
    pub waited_for: Option<WaitReason>,
}

/// More slots than this are not planned ahead: they would fill the memory. A hundred thousand targets with an interval of
/// 30 days come to as many in five months.
const MOST_SLOTS: usize = 500_000;

/// Too many slots to plan them all; continues no sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{limit} rotations and more fall before {before:.0} already, and no more are planned ahead; \
     ask for a shorter time, or see whether an interval is shorter than it was meant to be"
)]
pub struct TooMany {
    /// So many may be planned.
    pub limit: usize,
    /// When the last of them would begin.
    pub before: Timestamp,
}

/// Every slot from `now` until before `until`, by time.
///
/// It is supposed that nothing fails: what fails now is well, what is in hand is done, what waits for an operator or has no
/// known key stays as it is, and no target comes or goes.
///
/// # Errors
/// If there are more than 500,000: a plan is whole, or there is none.
pub fn horizon(now: Timestamp, until: Timestamp, fleet: &Fleet, rules: &Rules) -> Result<Vec<Occasion>, TooMany> {
    at_most(MOST_SLOTS, now, until, fleet, rules)
}

/// When an attempt at the target's slot begins, as far as can be told now: at once or later. None if it waits for what has no
/// time, or is in hand.
///
/// A manager that fails now is supposed to be well by the time that another wait is over.
pub fn next_at(now: Timestamp, record: &TargetRecord, fleet: &Fleet, rules: &Rules) -> Option<Timestamp> {
    begins(now, record, fleet, rules).0
}

/// What will hold the target up once its slot, which is not due yet, has fallen due. None if nothing will, and of one that is due
/// or has no due time.
pub fn held_then(now: Timestamp, record: &TargetRecord, fleet: &Fleet, rules: &Rules) -> Option<WaitReason> {
    begins(now, record, fleet, rules).1
}

/// When an attempt begins, and what it will have waited for behind its due time, if that is to come.
fn begins(
    now: Timestamp,
    record: &TargetRecord,
    fleet: &Fleet,
    rules: &Rules,
) -> (Option<Timestamp>, Option<WaitReason>) {
    let (mut at, mut is_to_come, mut held) = (now, false, None);
    for _ in 0..LONGEST_CHAIN {
        let decision = match assess(&Gates::new(at, fleet, rules), fleet, record) {
            Assessment::Due { .. } => return (Some(at), held),
            Assessment::Decided(decision) => decision,
        };
        let Decision::Wait { until, reason, .. } = decision else { return (None, held) };
        match reason {
            WaitReason::ManagerFailing { .. } if at > now => return (Some(at), held),
            WaitReason::NotDue => is_to_come = true,
            // A freeze or a pause says more than the window that is waited for before or behind it.
            WaitReason::OutsideWindow { .. } if held.is_some() => {}
            reason => held = Some(reason).filter(|_| is_to_come),
        }
        match until {
            Some(until) => at = until,
            None => return (None, held),
        }
    }
    (None, held)
}

fn at_most(
    limit: usize,
    now: Timestamp,
    until: Timestamp,
    fleet: &Fleet,
    rules: &Rules,
) -> Result<Vec<Occasion>, TooMany> {
    let mut fleet = hopeful(now, fleet);
    let mut asked: BinaryHeap<Reverse<(Timestamp, TargetId)>> =
        fleet.targets.keys().map(|id| Reverse((now, id.clone()))).collect();
    let mut waited: HashMap<TargetId, WaitReason> = HashMap::new();
    let mut occasions = Vec::new();
    while let Some(Reverse((at, _))) = asked.peek()
        && *at < until
    {
        let at = *at;
        let gates = Gates::new(at, &fleet, rules);
        let mut due: Vec<TargetId> = Vec::new();
        while asked.peek().is_some_and(|Reverse((next, _))| *next == at) {
            let Some(Reverse((_, id))) = asked.pop() else { break };
            let Some(record) = fleet.targets.get(&id) else { continue };
            match assess(&gates, &fleet, record) {
                Assessment::Due { .. } => due.push(id),
                Assessment::Decided(Decision::Wait { until: Some(until), reason, .. }) => {
                    // A freeze in which a window would have opened says more than the window that follows it.
                    let window =
                        rules.policy_of(&record.target).and_then(|policy| gates.window(policy, margin(record, rules)));
                    if let WaitReason::OutsideWindow { .. } = reason {
                        waited.entry(id.clone()).or_insert(reason);
                    } else if reason != WaitReason::NotDue && window.is_none_or(|window| window.start <= until) {
                        waited.insert(id.clone(), reason);
                    }
                    asked.push(Reverse((until, id)));
                }
                Assessment::Decided(_) => {}
            }
        }
        // Who finds no place now finds one when the others are done, which takes no time here.
        for mut occasion in in_their_turn(&gates, &fleet, due) {
            occasion.waited_for = waited.remove(&occasion.target);
            done(&mut fleet, &occasion);
            asked.push(Reverse((at, occasion.target.clone())));
            occasions.push(occasion);
        }
        if occasions.len() > limit {
            return Err(TooMany { limit, before: at });
        }
    }
    Ok(occasions)
}

/// What is due at a moment, in the order in which the planner gives places.
fn in_their_turn(gates: &Gates<'_>, fleet: &Fleet, mut due: Vec<TargetId>) -> Vec<Occasion> {
    let mut occasions = Vec::new();
    while !due.is_empty() {
        let candidates = due.iter().filter_map(|id| {
            let record = fleet.targets.get(id)?;
            match assess(gates, fleet, record) {
                Assessment::Due { due_at, manager, policy } => Some(Candidate { due_at, record, manager, policy, id }),
                Assessment::Decided(_) => None,
            }
        });
        let mut places = Places::default();
        let mut left = Vec::new();
        for candidate in in_turn(candidates.collect()) {
            if places.refusal(&candidate).is_some() {
                left.push(candidate.id.clone());
                continue;
            }
            places.take(candidate.record);
            let window = gates.window(candidate.policy, candidate.manager.request_timeout);
            occasions.push(Occasion {
                at: gates.at,
                target: candidate.id.clone(),
                rotation: candidate.record.next_rotation(),
                due_at: candidate.due_at,
                window: window.filter(|window| window.contains(gates.at)),
                policy: candidate.policy.name.clone(),
                waited_for: None,
            });
        }
        due = left;
    }
    occasions
}

/// The same fleet with all well: managers answer, failed attempts are forgotten, and what is in hand is done.
fn hopeful(now: Timestamp, fleet: &Fleet) -> Fleet {
    let mut fleet = fleet.clone();
    for manager in fleet.managers.values_mut() {
        manager.outage = None;
    }
    for record in fleet.targets.values_mut() {
        if let Some(rotation) = record.rotation.clone() {
            let at = rotation.sent_at().unwrap_or(now).min(now);
            if let Some(next) = after(record, rotation.id, rotation.due_at, at) {
                *record = next;
            }
        } else if record.setback.is_some() && record.quarantine.is_none() {
            Arc::make_mut(record).setback = None;
        }
    }
    fleet
}

fn done(fleet: &mut Fleet, occasion: &Occasion) {
    if let Some(record) = fleet.targets.get_mut(&occasion.target)
        && let Some(next) = after(record, occasion.rotation, occasion.due_at, occasion.at)
    {
        *record = next;
    }
}

/// The target's record after its rotation was done in no time, folded as the daemon folds it.
fn after(record: &TargetRecord, rotation: RotationId, due_at: Timestamp, at: Timestamp) -> Option<Arc<TargetRecord>> {
    let known = &record.key.as_ref()?.id;
    let done = Event::RotationDone {
        target: record.target.id(),
        rotation,
        due_at,
        how: How::Rotated,
        key_before: known.clone(),
        key_after: KeyId::new(format!("after {rotation}")),
        last_seen: at,
        looked_at: Some(at),
    };
    record.after(at, &done).ok().map(Arc::new)
}

#[cfg(test)]
mod tests;
