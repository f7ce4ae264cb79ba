//! The series that are computed from the state of affairs at each scrape: what is true now, not what was counted.
//!
//! Times are Unix timestamps, not ages: an age that stops growing because its computation stopped would look healthy.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use jiff::Timestamp;

use crate::alerts::{self, Alert};
use crate::domain::{AlertKind, AlertSubject, Grant, ManagerName, Standing, TargetId, TargetName, TargetRecord};
use crate::policy::{Policy, Rules, begins_at};
use crate::ports::{Anchor, Check, Situation};
use crate::telemetry::{Gauges, Labels};

/// Every computed series. Targets that are gone have none.
pub(super) fn series(situation: &Situation, rules: &Rules) -> Vec<Gauges> {
    let fired = alerts::fire(situation, rules);
    let mut all = of_targets(situation, rules, &fired);
    all.push(alerts_active(&fired));

    let mut head = Gauges::new("ledger_head_seq", "Number of the newest record of the ledger; it never goes back.");
    head.push(&Labels::default(), situation.head.seq as f64);
    all.push(head);
    let mut writable =
        Gauges::new("ledger_writable", "Whether the ledger can be written; while not, nothing is rotated.");
    writable.push(&Labels::default(), f64::from(u8::from(situation.unwritable.is_none())));
    all.push(writable);
    all.push(managers_failing(situation, rules));
    all.push(receivers_failing(situation));
    all.extend(api_keys(situation, rules));

    let mut sweep = Gauges::new(
        "scheduler_last_sweep_timestamp_seconds",
        "When the newest plan was made, or found as good as new; absent before the first.",
    );
    if let Some(at) = situation.last_sweep {
        sweep.push(&Labels::default(), Value::At(at));
    }
    all.push(sweep);
    let upkeep = situation.upkeep.clone().unwrap_or_default();
    all.extend(of_checkpoints(&upkeep.anchor));
    all.push(of_check(&upkeep.check));
    all
}

/// How far the ledger is anchored by signed checkpoints; nothing if none are made.
fn of_checkpoints(anchor: &Anchor) -> Vec<Gauges> {
    let mut written = Gauges::new(
        "ledger_checkpoint_seq",
        "Number of the record of the newest signed checkpoint that was written since the start; 0 before the first.",
    );
    let mut wanted = Gauges::new(
        "ledger_checkpoint_wanted_seq",
        "Number of the newest record that wants a signed checkpoint; beyond ledger_checkpoint_seq while none can be written.",
    );
    if anchor.key.is_some() {
        written.push(&Labels::default(), anchor.written as f64);
        wanted.push(&Labels::default(), anchor.wanted as f64);
    }
    vec![written, wanted]
}

/// Whether the ledger was found to hold.
fn of_check(check: &Check) -> Gauges {
    let mut verified = Gauges::new(
        "ledger_verified",
        "Whether the whole ledger was found to hold, at the start or in the daily check; absent until that is known.",
    );
    match check {
        Check::Pending => {}
        Check::Whole { .. } => verified.push(&Labels::default(), 1.0),
        Check::Broken { .. } | Check::Unchecked { .. } => verified.push(&Labels::default(), 0.0),
    }
    verified
}

/// What the series of one target follow from.
struct Row<'a> {
    record: &'a TargetRecord,
    /// The policy that it is rotated by; none if it is not rotated.
    policy: Option<&'a Policy>,
    next: Option<Timestamp>,
    stale_since: Option<Timestamp>,
    pending_since: Option<Timestamp>,
}

/// A gauge with a value for each target: its name, its help, and the value, or that there is none.
type OfTarget = (&'static str, &'static str, fn(&Row<'_>) -> Option<Value>);

/// Who leaves a target out has decided: nobody is called for what became of it before, so what rules call people for has its
/// policy's word.
const OF_TARGETS: &[OfTarget] = &[
    (
        "key_created_timestamp_seconds",
        "The earliest that the key may have been made; absent if it was there before the daemon.",
        |row| row.record.key.as_ref()?.not_before.map(Value::At),
    ),
    ("key_first_seen_timestamp_seconds", "When the key was first seen.", |row| {
        row.record.key.as_ref().map(|key| Value::At(key.first_seen))
    }),
    ("key_alert_after_seconds", "A key older than this is too old; absent if the target is not rotated.", |row| {
        row.policy.map(|policy| Value::Number(policy.alert_after.as_secs()))
    }),
    ("last_rotation_timestamp_seconds", "When a rotation was last proved; absent if none was.", |row| {
        row.record.last_rotation_at.map(Value::At)
    }),
    (
        "next_rotation_timestamp_seconds",
        "When the next rotation may begin, or might have; absent if that is unknown or the target is not rotated.",
        |row| row.next.map(Value::At),
    ),
    ("last_observation_timestamp_seconds", "When the key was last read.", |row| {
        row.record.key.as_ref().map(|key| Value::At(key.last_seen))
    }),
    (
        "rotation_in_progress_since_timestamp_seconds",
        "When the rotation in hand was begun; absent if there is none.",
        |row| row.record.rotation.as_ref().map(|rotation| Value::At(rotation.intended_at)),
    ),
    ("target_quarantined", "Whether the target waits for an operator.", |row| {
        Some(Value::Number((row.policy.is_some() && row.record.quarantine.is_some()).into()))
    }),
    (
        "rotation_failed_attempts",
        "How many attempts at the rotation that is due have failed by the target's own doing, not by its manager's.",
        |row| row.policy.map(|_| Value::Number(row.record.failures.into())),
    ),
    (
        "key_regressed_timestamp_seconds",
        "When the key went back to an earlier one; absent if it did not, or was rotated since.",
        |row| row.policy.and(row.record.regressed_at).map(Value::At),
    ),
    (
        "observation_stale_since_timestamp_seconds",
        "Since when the key is unread for longer than it may be; absent while it is not.",
        |row| row.stale_since.map(Value::At),
    ),
    (
        "rotation_pending_since_timestamp_seconds",
        "Since when the rotation in hand is unsettled for longer than it may be; absent while it is not.",
        |row| row.pending_since.map(Value::At),
    ),
];

fn of_targets(situation: &Situation, rules: &Rules, fired: &[Alert]) -> Vec<Gauges> {
    let mut info = Gauges::new("target_info", "Always 1; what identifies a target and how it stands.");
    let mut gauges: Vec<_> = OF_TARGETS.iter().map(|(name, help, _)| Gauges::new(name, help)).collect();
    // Their limits follow from a target's policy and state: one place knows them.
    let stale_since = since_of(fired, AlertKind::ObservationStale);
    let pending_since = since_of(fired, AlertKind::RotationPending);
    for (name, id, record) in named(situation) {
        let target = &record.target;
        let standing = record.standing();
        let policy = rules.policy_of(target);
        info.push(
            &Labels::of(&[
                ("manager", target.manager.as_str()),
                ("target", name.as_str()),
                ("project_id", target.project_id.as_str()),
                ("cluster_id", target.cluster_id.as_str()),
                ("role", target.role.as_str()),
                ("mechanism", target.mechanism.as_str()),
                ("policy", policy.map_or("", |policy| policy.name.as_str())),
                ("standing", standing.word()),
            ]),
            1.0,
        );
        let policy = policy.filter(|_| standing == Standing::Managed).map(AsRef::as_ref);
        let row = Row {
            record,
            policy,
            next: policy.and_then(|policy| begins_at(record, policy, &situation.fleet, rules)),
            stale_since: stale_since.get(id).copied(),
            pending_since: pending_since.get(id).copied(),
        };
        let labels = Labels::of(&[("manager", target.manager.as_str()), ("target", name.as_str())]);
        for (gauge, (_, _, value)) in gauges.iter_mut().zip(OF_TARGETS) {
            if let Some(value) = value(&row) {
                gauge.push(&labels, value);
            }
        }
    }
    gauges.push(info);
    gauges
}

fn managers_failing(situation: &Situation, rules: &Rules) -> Gauges {
    let mut failing = Gauges::new(
        "manager_failing_since_timestamp_seconds",
        "Since when a manager does not answer or refuses the credential; absent while all is well.",
    );
    for (name, record) in situation.fleet.managers.iter().filter(|(name, _)| rules.managers.contains_key(*name)) {
        if let Some(outage) = &record.outage {
            let labels = Labels::of(&[("manager", name.as_str()), ("reason", outage.failure.reason.as_str())]);
            failing.push(&labels, Value::At(outage.since));
        }
    }
    failing
}

fn receivers_failing(situation: &Situation) -> Gauges {
    let mut failing = Gauges::new(
        "receiver_failing_since_timestamp_seconds",
        "Since when a receiver of alerts cannot be reached; absent while all is well.",
    );
    for (name, record) in &situation.fleet.receivers {
        if let Some((since, _)) = &record.failing {
            failing.push(&Labels::of(&[("receiver", name.as_str())]), Value::At(*since));
        }
    }
    failing
}

fn api_keys(situation: &Situation, rules: &Rules) -> [Gauges; 2] {
    let mut by_role = Gauges::new("api_keys", "How many API keys that the manager lists have the role.");
    let mut able =
        Gauges::new("api_keys_able_to_rotate", "How many of them can rotate keys, or give themselves the role to.");
    let mut counts: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let lists =
        |name: &ManagerName| situation.fleet.managers.get(name).is_some_and(|record| !record.key_lists.is_empty());
    let mut powerful: BTreeMap<&str, u32> =
        rules.managers.keys().filter(|name| lists(name)).map(|name| (name.as_str(), 0)).collect();
    for ((manager, _), record) in &situation.fleet.api_keys {
        let Some(powerful) = powerful.get_mut(manager.as_str()) else { continue };
        *powerful += u32::from(record.key.reaches_rotation());
        let roles: BTreeSet<&str> = record.key.grants.iter().map(Grant::label).collect();
        for role in roles {
            *counts.entry((manager.as_str(), role)).or_default() += 1;
        }
    }
    for ((manager, role), count) in counts {
        by_role.push(&Labels::of(&[("manager", manager), ("role", role)]), f64::from(count));
    }
    for (manager, count) in powerful {
        able.push(&Labels::of(&[("manager", manager)]), f64::from(count));
    }
    [by_role, able]
}

/// Every target that is not gone, with the value of its label `target`: its name, or where several have one name, the
/// name with the ids behind it. No value comes twice: a label set that does would cost the whole scrape.
fn named(situation: &Situation) -> Vec<(TargetName, &TargetId, &TargetRecord)> {
    let listed = situation.fleet.targets.iter().filter(|(_, record)| record.gone_since.is_none());
    let mut named: Vec<_> = listed.map(|(id, record)| (record.target.name(), id, record.as_ref())).collect();
    let mut uses: HashMap<TargetName, usize> = HashMap::new();
    for (name, ..) in &named {
        *uses.entry(name.clone()).or_default() += 1;
    }
    for (name, _, record) in &mut named {
        if uses.get(name).is_some_and(|uses| *uses > 1) {
            let ids = format!("{name} ({}/{})", record.target.project_id, record.target.cluster_id);
            *name = TargetName::new(ids);
        }
    }
    // Two can still be alike if somebody gave a deployment a name that ends in another one's ids. The first one stays.
    let mut taken = HashSet::new();
    named.retain(|(name, ..)| taken.insert(name.clone()));
    named
}

fn alerts_active(fired: &[Alert]) -> Gauges {
    let mut active = Gauges::new("alerts_active", "How many alerts of each kind fire; /api/v1/alerts spells them out.");
    for &kind in AlertKind::ALL {
        let count = fired.iter().filter(|alert| alert.kind == kind).count();
        active.push(&Labels::of(&[("alert", kind.as_str())]), count as f64);
    }
    active
}

/// Since when an alert of this kind fires, by the target that it is about.
fn since_of(fired: &[Alert], wanted: AlertKind) -> HashMap<&TargetId, Timestamp> {
    let about = fired.iter().filter(|alert| alert.kind == wanted);
    about
        .filter_map(|alert| if let AlertSubject::Target(id) = &alert.subject { Some((id, alert.since?)) } else { None })
        .collect()
}

/// The value of a series.
enum Value {
    Number(u64),
    /// In Unix seconds, exact to the microsecond, as a double would be written until the year 2255: most of what a scrape writes
    /// are times, and whole numbers are written in a third of the time.
    At(Timestamp),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let microseconds = match self {
            Self::Number(number) => return write!(f, "{number}"),
            Self::At(at) => at.as_microsecond(),
        };
        let (sign, microseconds) = (if microseconds < 0 { "-" } else { "" }, microseconds.unsigned_abs());
        write!(f, "{sign}{}", microseconds / 1_000_000)?;
        let (mut fraction, mut digits) = (microseconds % 1_000_000, 6);
        if fraction == 0 {
            return Ok(());
        }
        while fraction % 10 == 0 {
            (fraction, digits) = (fraction / 10, digits - 1);
        }
        write!(f, ".{fraction:0digits$}")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::domain::{Fleet, Glob, Listing, ProjectSelector, Reason, Trouble, sample};
    use crate::policy::{ManagerRules, Policy, ProjectRules};
    use crate::ports::Head;
    use crate::telemetry::Metrics;

    /// Whoever is called by Prometheus' rules is called by the daemon, and nobody else is: of a target that is left out, or that
    /// nothing configures, no rule has anything to say, whatever became of it before.
    #[test]
    fn the_rules_speak_of_the_targets_of_which_the_daemon_speaks() {
        let at: Timestamp = "2026-05-01T00:00:00Z".parse().unwrap();
        let target = sample::target();
        let rules = |project: &str, exclude: &[&str]| {
            let mut rules = ManagerRules::new(1, Arc::new(Policy::with_defaults("default".into())));
            let (project, policy) = (ProjectSelector::Name(project.to_owned()), None);
            let exclude = exclude.iter().map(|glob| Glob::new(glob)).collect();
            rules.projects = vec![ProjectRules { project, policy, exclude }];
            Rules { managers: [(target.manager.clone(), rules)].into(), ..Rules::default() }
        };
        for (listing, rules, spoken_of) in [
            (Listing::Eligible, rules(&target.project, &[]), true),
            (Listing::Excluded { pattern: "*".to_owned() }, rules(&target.project, &["*"]), false),
            (Listing::Eligible, rules("another", &[]), false),
        ] {
            let mut record = TargetRecord::found(at, target.clone(), listing);
            let failure = sample::failure(Reason::NotFound);
            record.key = Some(sample::key(at));
            record.regressed_at = Some(at);
            record.setback = Some((Box::new(failure.clone()), at));
            record.failures = 3;
            let fleet = |record: &TargetRecord| Fleet {
                targets: [(target.id(), Arc::new(record.clone()))].into(),
                ..Fleet::default()
            };
            let mut situation = Situation {
                now: at,
                fleet: Arc::new(fleet(&record)),
                head: Head { seq: 1, hash: [0; 32] },
                unwritable: None,
                started_at: at,
                recovered: BTreeMap::new(),
                last_sweep: Some(at),
                since_sweep: Duration::ZERO,
                upkeep: None,
            };
            let fires =
                |situation: &Situation, kind| alerts::fire(situation, &rules).iter().any(|alert| alert.kind == kind);
            let text = |situation: &Situation| {
                String::from_utf8(Metrics::new("1", at, []).encode(of_targets(situation, &rules, &[]))).unwrap()
            };
            let scrape = text(&situation);
            assert_eq!(fires(&situation, AlertKind::KeyRegression), spoken_of);
            assert_eq!(scrape.contains("rekeyd_key_regressed_timestamp_seconds{"), spoken_of, "{scrape}");
            assert_eq!(fires(&situation, AlertKind::RotationFailing), spoken_of);
            assert_eq!(scrape.contains("rekeyd_rotation_failed_attempts{"), spoken_of, "{scrape}");
            record.quarantine = Some(Box::new(Trouble { since: at, failure }));
            situation.fleet = Arc::new(fleet(&record));
            let scrape = text(&situation);
            assert_eq!(fires(&situation, AlertKind::TargetQuarantined), spoken_of);
            let waits =
                scrape.lines().any(|line| line.starts_with("rekeyd_target_quarantined{") && line.ends_with(" 1"));
            assert_eq!(waits, spoken_of, "{scrape}");
        }
    }

    /// What a double would be written as, and Prometheus reads.
    #[test]
    fn seconds_are_written_as_numbers() {
        for microseconds in [0, 1, -1, 999_999, 1_000_000, 1_769_901_000_000_001, 1_769_901_000_250_000, -1_500_000] {
            let at = Timestamp::from_microsecond(microseconds).unwrap();
            assert_eq!(Value::At(at).to_string(), (microseconds as f64 / 1e6).to_string());
        }
    }
}
