//! Who is next when a place comes free between two plans: in the plan's own order, and by the plan's own rules.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;

use super::gate::Gates;
use super::plan::{Assessment, assess};
use super::rules::Rules;
use super::turn::{Candidate, Places};
use crate::domain::{Fleet, ManagerName, RotationId, TargetId, TargetRecord, WaitReason};

/// The targets that a plan found due and without a place, and the places that are taken.
///
/// Their order is the plan's, until the next one: a cluster keeps the place that its oldest member had when that one is done.
/// It serves only while nothing fails: what failed may hold up the others of its cluster, and only a plan sees that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// By manager, in the order in which places are given, each with its record at the time of the plan.
    waiting: BTreeMap<ManagerName, VecDeque<(TargetId, Arc<TargetRecord>)>>,
    /// Those with an open rotation hold one, whoever has them in hand.
    places: Places,
}

impl Line {
    pub(super) fn add(&mut self, candidate: &Candidate<'_>, reason: &WaitReason) {
        if let WaitReason::MemberFirst { .. } | WaitReason::ManagerFull { .. } = reason {
            let manager = candidate.record.target.manager.clone();
            self.waiting.entry(manager).or_default().push_back((candidate.id.clone(), Arc::clone(candidate.record)));
        }
    }

    pub(super) fn set_places(&mut self, places: Places) {
        self.places = places;
    }

    /// The rotation of this target has ended: its place is free.
    pub fn leave(&mut self, record: &Arc<TargetRecord>) {
        self.places.leave(record);
    }

    /// Takes out the target of `manager` that may begin now, given everything known, gives it a place, and says which attempt
    /// that is and when its slot fell due. None if nobody may.
    pub fn next<'a>(
        &mut self,
        now: Timestamp,
        fleet: &'a Fleet,
        rules: &Rules,
        manager: &ManagerName,
    ) -> Option<(TargetId, &'a Arc<TargetRecord>, RotationId, Timestamp)> {
        let (waiting, places) = (self.waiting.get_mut(manager)?, &mut self.places);
        if places.are_full(manager, rules.managers.get(manager)?) {
            return None;
        }
        let gates = Gates::new(now, fleet, rules);
        let mut place = 0;
        while let Some((id, planned)) = waiting.get(place) {
            if places.member_of(planned).is_some() {
                place += 1;
                continue;
            }
            let assessed = fleet.targets.get(id).map(|record| (record, assess(&gates, fleet, record)));
            let Some((record, Assessment::Due { due_at, manager, policy })) = assessed else {
                // Things have changed for it; the next plan says how.
                waiting.remove(place);
                continue;
            };
            if places.refusal(&Candidate { due_at, record, manager, policy, id }).is_none() {
                places.take(record);
                return waiting.remove(place).map(|(id, _)| (id, record, record.next_rotation(), due_at));
            }
            place += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::SignedDuration;

    use super::*;
    use crate::domain::{Decision, Event, How, Listing, Mechanism, Reason, Role, Stage, Target, sample};
    use crate::policy::{ManagerRules, MemberOrder, Policy, plan};

    /// Ten clusters of three members, every slot due.
    fn fleet(now: Timestamp) -> Fleet {
        let mut fleet = Fleet::default();
        for number in 0..30_i64 {
            let description = Target {
                manager: if number % 10 < 7 { "emea".into() } else { "apac".into() },
                project_id: "5f".into(),
                project: "billing".to_owned(),
                cluster_id: format!("6a{number}").as_str().into(),
                cluster: format!("ledger-{}", number % 10),
                replica_set: format!("shard-{}", number / 10),
                role: if number < 10 { Role::ConfigServer } else { Role::Shard },
                mechanism: Mechanism::BackupKey,
            };
            let target = description.id();
            let seen_at = now - SignedDuration::from_hours(24 * 100 + number * 7 % 11);
            let seen = Event::KeySeen { target, key: "first".into(), looked_at: None };
            for event in [Event::TargetFound { description, listing: Listing::Eligible }, seen] {
                fleet.fold(seen_at, &event).unwrap().unwrap();
            }
        }
        fleet
    }

    fn answer(fleet: &mut Fleet, now: Timestamp, target: &TargetId) {
        let record = &fleet.targets[target];
        let done = Event::RotationDone {
            target: target.clone(),
            rotation: record.next_rotation(),
            due_at: now,
            how: How::FoundChanged,
            key_before: "first".into(),
            key_after: "second".into(),
            last_seen: now,
            looked_at: None,
        };
        fleet.fold(now, &done).unwrap().unwrap();
    }

    /// There is no second opinion: whoever ends, the line gives as many places as a new plan would, in the policy's order of
    /// members, and to the very same targets where their order does not depend on who is done.
    #[test]
    fn the_line_says_what_a_new_plan_would() {
        let now: Timestamp = "2026-05-01T00:00:00Z".parse().unwrap();
        for order in [MemberOrder::ConfigServersLast, MemberOrder::OldestFirst] {
            let policy = Arc::new(Policy { member_order: order, ..Policy::with_defaults("default".into()) });
            let managers = ["emea", "apac"].map(|name| (name.into(), ManagerRules::new(3, Arc::clone(&policy))));
            let rules = Rules { managers: managers.into(), ..Rules::default() };
            let mut fleet = fleet(now);
            let planned = |fleet: &Fleet, in_hand: &BTreeSet<TargetId>| {
                let decisions = plan(now, fleet, &rules, in_hand).decisions;
                let begin = decisions.into_iter().filter_map(|planned| {
                    let Decision::Rotate { rotation, due_at } = planned.decision else { return None };
                    (!in_hand.contains(&planned.target)).then_some((planned.target, rotation, due_at))
                });
                begin.collect::<BTreeSet<_>>()
            };
            let mut in_hand = BTreeSet::new();
            let mut line = plan(now, &fleet, &rules, &in_hand).line;
            in_hand.extend(planned(&fleet, &in_hand).into_iter().map(|(target, ..)| target));
            assert_eq!(in_hand.len(), 6);
            for turn in 0..30 {
                let ended = in_hand.iter().nth(turn * 5 % in_hand.len()).unwrap().clone();
                let manager = fleet.targets[&ended].target.manager.clone();
                answer(&mut fleet, now, &ended);
                in_hand.remove(&ended);
                let wanted = planned(&fleet, &in_hand);
                let mut begun = BTreeSet::new();
                line.leave(&fleet.targets[&ended]);
                while let Some((target, _, rotation, due_at)) = line.next(now, &fleet, &rules, &manager) {
                    in_hand.insert(target.clone());
                    begun.insert((target, rotation, due_at));
                }
                match order {
                    MemberOrder::OldestFirst => assert_eq!(begun, wanted, "turn {turn}"),
                    MemberOrder::ConfigServersLast | MemberOrder::ConfigServersFirst => {
                        assert_eq!(begun.len(), wanted.len(), "turn {turn}");
                        let is_early = |id: &TargetId| {
                            let record = &fleet.targets[id];
                            let mut others =
                                fleet.targets.values().filter(|one| one.target.is_member_with(&record.target));
                            record.target.role == Role::ConfigServer
                                && others.any(|other| other.slot == 1 && other.target.role == Role::Shard)
                        };
                        assert!(
                            !begun.iter().any(|(id, ..)| is_early(id)),
                            "turn {turn}: a config server before a shard"
                        );
                    }
                }
            }
            assert!(in_hand.is_empty());
        }
    }

    /// Where one member has failed and the policy stops its cluster, no place is passed on there: a plan would not.
    #[test]
    fn a_cluster_that_is_stopped_stands_in_no_line() {
        let now: Timestamp = "2026-05-01T00:00:00Z".parse().unwrap();
        for stops in [true, false] {
            let policy = Arc::new(Policy { stop_cluster_on_failure: stops, ..Policy::with_defaults("default".into()) });
            let rules = Rules { managers: [("emea".into(), ManagerRules::new(1, policy))].into(), ..Rules::default() };
            // Three members of one cluster: one has failed, one is in hand, one is due.
            let mut fleet = fleet(now);
            fleet.targets.retain(|_, record| record.target.cluster == "ledger-0");
            let [failed, in_hand, _]: [TargetId; 3] =
                fleet.targets.keys().cloned().collect::<Vec<_>>().try_into().unwrap();
            let rotation = fleet.targets[&failed].next_rotation();
            let retry_at = now + SignedDuration::from_hours(1);
            let event = Event::RotationFailed {
                target: failed,
                rotation,
                due_at: now,
                stage: Stage::Precheck,
                failure: sample::failure(Reason::ServerError),
                retry_at,
            };
            sample::tell(&mut fleet, now, &event);
            let mut line = plan(now, &fleet, &rules, &BTreeSet::from([in_hand.clone()])).line;
            answer(&mut fleet, now, &in_hand);
            line.leave(&fleet.targets[&in_hand]);
            let next = line.next(now, &fleet, &rules, &"emea".into());
            assert_eq!(next.is_some(), !stops, "{next:?}");
        }
    }
}
