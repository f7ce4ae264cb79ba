//! All that `run` would do, short of a PUT and short of writing: the place it would work in, each manager, every key,
//! the receivers of alerts, the plan. Each step is a line that passes, warns or fails, and says what to do next.
//!
//! All that needs a network has one limit of time together: what was not reached in it is told as such, and never passed.

mod certificates;
mod checkpoints;
mod control;
mod findings;
mod line;
mod listener;
mod manager;
mod place;
mod receivers;
mod scopes;
mod user;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::task::JoinSet;

use super::managers::ops_manager;
use super::{StartError, SystemClock};
use crate::config::Config;
use crate::domain::{Decision, Event, Failure, Fleet, Glob, KeyId, ManagerName, Planned, Target, TargetId, Verdict};
use crate::policy::{Rules, plan};
use crate::ports::{Clock, Operation, RequestObserver, RequestOutcome};

pub use line::{Line, Outcome, Step};

/// What the plan is told for.
const WEEK: SignedDuration = SignedDuration::from_hours(7 * 24);

/// What a rehearsal found.
pub struct Rehearsal {
    /// The steps, in the order in which a start would meet them.
    pub lines: Vec<Line>,
    /// Every target listed that was asked for, with what would be done with it.
    pub targets: Vec<Rehearsed>,
}

impl Rehearsal {
    /// The worst of all lines.
    pub fn worst(&self) -> Outcome {
        self.lines.iter().map(|line| line.outcome).max().unwrap_or(Outcome::Pass)
    }
}

/// One target, as `run` would meet it.
pub struct Rehearsed {
    /// The target.
    pub target: Target,
    /// Its key; none where it was not asked for.
    pub key: Option<Result<KeyId, Failure>>,
    /// What would be done.
    pub planned: Planned,
}

impl Rehearsed {
    /// Whether `run` would rotate it.
    pub fn is_managed(&self) -> bool {
        !matches!(self.planned.decision, Decision::NotManaged { .. }) && !matches!(self.key, Some(Err(_)))
    }
}

/// Rehearses, asking for the keys of the targets whose names match `glob`. Rotates nothing, tells nobody, writes nothing, and
/// spends at most about `within` on the network.
pub async fn rehearse(config: &Config, glob: &Glob, within: Duration) -> Result<Rehearsal, StartError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let observer: Arc<dyn RequestObserver> = Arc::new(Unobserved);
    let until = clock.monotonic() + within;
    let settings = &config.settings;
    let rules = &settings.rules;
    let (mut lines, mut fleet) = place::rehearse(config, &clock);
    let mut under_way = JoinSet::new();
    for (place, manager) in config.managers.iter().enumerate() {
        let known = fleet.managers.get(&manager.name).and_then(|record| record.credential.clone());
        let patience = manager::patience(within, manager);
        let patient = crate::config::Manager { request_timeout: patience, ..manager.clone() };
        let service = ops_manager(&patient, &clock, &observer)?;
        let check = manager::ManagerCheck {
            config: manager.clone(),
            service,
            clock: Arc::clone(&clock),
            until,
            patience,
            rules: rules.clone(),
            glob: glob.clone(),
            credential: known,
        };
        under_way.spawn(async move { (place, check.run().await) });
    }
    let mut knocking = JoinSet::new();
    for (place, receiver) in config.receivers.iter().cloned().enumerate() {
        knocking.spawn(async move {
            (place, receivers::rehearse(&receiver, within.min(manager::PATIENCE.as_duration())).await)
        });
    }
    let found: BTreeMap<_, _> = under_way.join_all().await.into_iter().collect();
    // Of a list that is not whole nobody can say what does not stand on it.
    let whole = |found: &manager::Found| found.discovery.as_ref().is_some_and(|listed| listed.unread.is_empty());
    let all_listed = !found.is_empty() && found.values().all(whole);
    let mut keys = BTreeMap::new();
    for manager::Found { lines: of_manager, discovery, keys: read } in found.into_values() {
        lines.extend(of_manager);
        for sighting in discovery.iter().flat_map(|discovery| &discovery.sightings) {
            let (id, description, listing) =
                (sighting.target.id(), sighting.target.clone(), rules.listing_of(sighting));
            let event = if fleet.targets.contains_key(&id) {
                Event::TargetChanged { description, listing }
            } else {
                Event::TargetFound { description, listing }
            };
            // What would be recorded, without recording it. Here and below, what is impossible would be refused.
            let _ = fleet.fold(clock.now(), &event);
            keys.insert(id, None);
        }
        for (target, key) in read {
            if let (Ok(key), true) = (&key, fleet.targets.get(&target).is_some_and(|known| known.key.is_none())) {
                let seen = Event::KeySeen { target: target.clone(), key: key.clone(), looked_at: None };
                let _ = fleet.fold(clock.now(), &seen);
            }
            keys.insert(target, Some(key));
        }
    }
    let reached: BTreeMap<_, _> = knocking.join_all().await.into_iter().collect();
    lines.extend(reached.into_values());
    if all_listed {
        let listed = keys.keys().filter_map(|id| Some(&fleet.targets.get(id)?.target));
        lines.extend(scopes::unfit(rules, &listed.collect::<Vec<_>>(), clock.now()));
    }
    let targets = planned(&fleet, rules, &clock, keys, glob);
    if !config.managers.is_empty() {
        lines.push(week(&targets, &clock));
    }
    Ok(Rehearsal { lines, targets })
}

/// What would be done with each target that was listed.
fn planned(
    fleet: &Fleet,
    rules: &Rules,
    clock: &Arc<dyn Clock>,
    mut keys: BTreeMap<TargetId, Option<Result<KeyId, Failure>>>,
    glob: &Glob,
) -> Vec<Rehearsed> {
    let decisions = plan(clock.now(), fleet, rules, &BTreeSet::new()).decisions;
    let rehearsed = decisions.into_iter().filter_map(|planned| {
        let key = keys.remove(&planned.target)?;
        let target = fleet.targets.get(&planned.target)?.target.clone();
        glob.matches(target.name().as_str()).then_some(Rehearsed { target, key, planned })
    });
    let mut rehearsed: Vec<Rehearsed> = rehearsed.collect();
    rehearsed.sort_by_key(|rehearsed| rehearsed.target.name());
    rehearsed
}

/// What the next seven days bring.
fn week(targets: &[Rehearsed], clock: &Arc<dyn Clock>) -> Line {
    let now = clock.now();
    let managed = targets.iter().filter(|target| target.is_managed()).count();
    if managed == 0 {
        let next = "see in the table below why each target is left alone";
        return Step::Week.warn("nothing would be rotated", next);
    }
    let due = targets.iter().filter(|target| target.is_managed());
    let mut due: Vec<_> =
        due.filter_map(|target| target.planned.decision.due_at()).filter(|at| *at <= now + WEEK).collect();
    due.sort_unstable();
    let at_once = due.iter().filter(|at| **at <= now).count();
    let words = match due.first() {
        None => format!("none of {managed} keys falls due within 7 days"),
        Some(first) => format!(
            "{} of {managed} keys fall due within 7 days, {at_once} of them now, the first at {first:.0}",
            due.len()
        ),
    };
    Step::Week.pass(words)
}

/// Whether a target's key cannot be read although it should.
fn is_trouble(key: &Result<KeyId, Failure>) -> bool {
    key.as_ref().is_err_and(|failure| failure.verdict != Verdict::NotThisWay)
}

pub(super) struct Unobserved;

impl RequestObserver for Unobserved {
    fn requested(&self, _: &ManagerName, _: Operation, _: RequestOutcome, _: Duration) {}
}
