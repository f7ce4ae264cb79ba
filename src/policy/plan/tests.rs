//! What holds of every plan, over fleets of any kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::domain::sample::failure;
use crate::domain::{
    KeyOrigin, KeyRecord, Listing, ManagerRecord, Mechanism, Period, Reason, Refusal, Role, Rotation, RotationId,
    Target, Trouble,
};
use crate::policy::{FirstRotation, Policy, ProjectRules, Spread};

const NOW: &str = "2026-05-01T00:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn ago(hours: i64) -> Timestamp {
    now() - SignedDuration::from_hours(hours)
}

/// What is known of one target; the numbers are hours before now, negative ones lie ahead.
#[derive(Clone, Debug)]
struct Drawn {
    manager: usize,
    project: usize,
    cluster: usize,
    role: Role,
    key: Option<(Option<i64>, i64)>,
    phase: Option<usize>,
    retry: Option<i64>,
    standing: usize,
    quarantined: bool,
    in_hand: bool,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let key = prop::option::weighted(0.9, (prop::option::of(-50_i64..2000), -50_i64..2000));
    let place = (0..3_usize, 0..2_usize, 0..3_usize, 0..3_usize);
    let state = (prop::option::weighted(0.2, 0..3_usize), prop::option::weighted(0.2, -30_i64..30), 0..8_usize);
    (place, key, state, prop::bool::weighted(0.1), prop::bool::weighted(0.1)).prop_map(
        |((manager, project, cluster, role), key, (phase, retry, standing), quarantined, in_hand)| Drawn {
            manager,
            project,
            cluster,
            role: [Role::ReplicaSet, Role::Shard, Role::ConfigServer][role],
            key,
            phase,
            retry,
            standing,
            quarantined,
            in_hand,
        },
    )
}

/// Managers 0 and 1 are configured, 2 is not; of manager 1 only project 0 is.
fn rules(max_concurrent: usize, spread: u8, first_rotation: FirstRotation) -> Rules {
    let policy = Policy {
        rhythm: Period::days(30).into(),
        spread: Spread::Percent(spread),
        first_rotation,
        ..Policy::with_defaults("default".into())
    };
    let policy = Arc::new(policy);
    let manager = |projects| ManagerRules { projects, ..ManagerRules::new(max_concurrent, Arc::clone(&policy)) };
    let only = ProjectRules {
        project: crate::domain::ProjectSelector::Name("project-0".to_owned()),
        policy: None,
        exclude: Vec::new(),
    };
    let managers = BTreeMap::from([("m0".into(), manager(Vec::new())), ("m1".into(), manager(vec![only]))]);
    Rules { managers, ..Rules::default() }
}

fn record(number: usize, drawn: &Drawn) -> TargetRecord {
    let target = Target {
        manager: format!("m{}", drawn.manager).as_str().into(),
        project_id: format!("{}", drawn.project).as_str().into(),
        project: format!("project-{}", drawn.project),
        cluster_id: format!("{number}").as_str().into(),
        cluster: format!("cluster-{}", drawn.cluster),
        replica_set: format!("rs-{number}"),
        role: drawn.role,
        mechanism: Mechanism::BackupKey,
    };
    let mut record = TargetRecord::found(ago(3000), target, Listing::Eligible);
    record.key = drawn.key.map(|(not_before, first_seen)| KeyRecord {
        id: "key".into(),
        not_before: not_before.map(|before| ago(before.max(first_seen))),
        first_seen: ago(first_seen),
        last_seen: ago(0),
        came: KeyOrigin::FirstSeen,
    });
    match drawn.standing {
        0 => record.gone_since = Some(ago(1)),
        1 => record.refusal = Some(Refusal::OtherMechanism { code: "X".to_owned() }),
        2 => record.listing = Listing::NoBackup,
        _ => {}
    }
    record.setback = drawn.retry.map(|hours| (failure(Reason::ServerError).into(), ago(hours)));
    record.quarantine =
        drawn.quarantined.then(|| Trouble { since: ago(1), failure: failure(Reason::ServerError) }.into());
    if let (Some(phase), Some(_)) = (drawn.phase, &record.key) {
        record.attempt = 1;
        record.rotation = Some(Box::new(Rotation {
            id: RotationId { slot: 1, attempt: 1 },
            due_at: ago(2),
            key_before: "key".into(),
            looked_at: ago(1),
            intended_at: ago(1),
            phase: match phase {
                0 => Phase::Intended,
                1 => Phase::Sending { since: ago(1), lost: None },
                _ => Phase::Confirming { sent_at: ago(1), since: ago(1) },
            },
        }));
    }
    record
}

/// A fleet whose open rotations obey the limits, as every fleet does that these plans led to.
fn fleet(drawn: &[Drawn], outage: bool, limit: usize) -> (Fleet, BTreeSet<TargetId>) {
    let mut fleet = Fleet::default();
    let mut in_hand = BTreeSet::new();
    let mut open: Vec<Target> = Vec::new();
    for (number, drawn) in drawn.iter().enumerate() {
        let mut record = record(number, drawn);
        let at_work = record.rotation.is_some() || drawn.in_hand;
        let full = open.iter().filter(|other| other.manager == record.target.manager).count() >= limit;
        if at_work && (full || open.iter().any(|other| other.is_member_with(&record.target))) {
            record.rotation = None;
        } else if at_work {
            open.push(record.target.clone());
            if drawn.in_hand {
                in_hand.insert(record.target.id());
            }
        }
        fleet.targets.insert(record.target.id(), Arc::new(record));
    }
    if outage {
        let outage = Some(Trouble { since: ago(1), failure: failure(Reason::ServerError) });
        fleet.managers.insert("m0".into(), ManagerRecord { outage, ..ManagerRecord::default() });
    }
    (fleet, in_hand)
}

proptest! {
    /// Every target has a decision, the same each time; nobody who may not be touched is touched; members of a cluster go
    /// one at a time and managers keep their limit.
    #[test]
    fn a_plan_is_complete_repeatable_and_within_limits(
        drawn in prop::collection::vec(drawn(), 0..40),
        limit in 1_usize..5,
        spread in 0_u8..=100,
        now_at_first in any::<bool>(),
        outage in any::<bool>(),
    ) {
        let first = if now_at_first { FirstRotation::Now } else { FirstRotation::Spread };
        let rules = rules(limit, spread, first);
        let (fleet, in_hand) = fleet(&drawn, outage, limit);
        let made = plan(now(), &fleet, &rules, &in_hand);
        prop_assert_eq!(&made, &plan(now(), &fleet, &rules, &in_hand));
        let decided: Vec<_> = made.decisions.iter().map(|planned| &planned.target).collect();
        prop_assert_eq!(decided, fleet.targets.keys().collect::<Vec<_>>());
        prop_assert!(made.next_at.is_none_or(|at| at > now()));

        let mut at_work: Vec<&Target> = Vec::new();
        for planned in &made.decisions {
            let record = &fleet.targets[&planned.target];
            let policy = rules.policy_of(&record.target);
            let failing = outage && record.target.manager.as_str() == "m0";
            match &planned.decision {
                Decision::Rotate { rotation, due_at } => {
                    prop_assert!(record.standing() == Standing::Managed && policy.is_some() && !failing);
                    prop_assert!(record.rotation.is_none() && record.quarantine.is_none() && *due_at <= now());
                    prop_assert_eq!(*rotation, record.next_rotation());
                    at_work.push(&record.target);
                }
                Decision::Resume { rotation } => {
                    prop_assert_eq!(Some(*rotation), record.rotation.as_ref().map(|rotation| rotation.id));
                    prop_assert!(policy.is_some() && !failing, "nobody could settle it");
                    at_work.push(&record.target);
                }
                Decision::Withdraw { .. } => {
                    let intended = record.rotation.as_ref().is_some_and(|rotation| rotation.phase == Phase::Intended);
                    prop_assert!(intended && (record.standing() != Standing::Managed || policy.is_none()));
                }
                Decision::Wait { until, .. } => prop_assert!(until.is_none_or(|until| until > now())),
                Decision::Quarantined { .. } | Decision::NotManaged { .. } => {}
            }
        }
        for (n, one) in at_work.iter().enumerate() {
            prop_assert!(at_work.iter().skip(n + 1).all(|other| !one.is_member_with(other)));
            prop_assert!(at_work.iter().filter(|other| other.manager == one.manager).count() <= limit);
        }
    }

    /// Nobody waits for a place that is free: one who waits for a member or for room names somebody at work.
    #[test]
    fn nobody_waits_in_vain(drawn in prop::collection::vec(drawn(), 0..20), limit in 1_usize..5) {
        let rules = rules(limit, 10, FirstRotation::Now);
        let (fleet, in_hand) = fleet(&drawn, false, limit);
        let made = plan(now(), &fleet, &rules, &in_hand);
        let works = |planned: &Planned| {
            let record = &fleet.targets[&planned.target];
            let open = record.rotation.is_some() && rules.policy_of(&record.target).is_some();
            open || in_hand.contains(&planned.target) || matches!(planned.decision, Decision::Rotate { .. })
        };
        let at_work: Vec<_> =
            made.decisions.iter().filter(|planned| works(planned)).map(|planned| &fleet.targets[&planned.target].target).collect();
        for planned in &made.decisions {
            let target = &fleet.targets[&planned.target].target;
            if let Decision::Wait { reason: WaitReason::MemberFirst { member }, .. } = &planned.decision {
                prop_assert!(at_work.iter().any(|other| other.name() == *member && other.is_member_with(target)));
            }
            if let Decision::Wait { reason: WaitReason::ManagerFull { limit }, .. } = &planned.decision {
                prop_assert!(at_work.iter().filter(|other| other.manager == target.manager).count() >= *limit);
            }
        }
    }

    /// A slot falls due never before the interval is over, nor later than the interval and the spread.
    #[test]
    fn due_times_keep_to_interval_and_spread(drawn in drawn(), number in 0_usize..10_000, spread in 0_u8..=100) {
        let rules = rules(1, spread, FirstRotation::Spread);
        let record = record(number, &Drawn { manager: 0, ..drawn });
        let policy = rules.policy_of(&record.target).unwrap();
        let every = policy.rhythm.shortest();
        let (every, widest) = (every.as_secs(), policy.spread.as_secs(every));
        match (&record.key, due_at(&record, policy)) {
            (None, due) => prop_assert_eq!(due, None),
            (Some(key), Some(due)) => {
                let seconds = due.duration_since(key.since()).as_secs();
                let (earliest, latest) = if key.not_before.is_some() { (every, every + widest) } else { (0, every) };
                prop_assert!((earliest..=latest).contains(&u64::try_from(seconds).unwrap()), "{seconds} s");
            }
            (Some(_), None) => prop_assert!(false, "a key without a due time"),
        }
    }
}
