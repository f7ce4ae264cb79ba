//! `/api/v1/plan`: what is to be done with each target now, and why, by the planner that the engine obeys.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use jiff::Timestamp;
use serde::Serialize;

use super::problem::Problem;
use super::router::{Shared, compute};
use super::targets;
use crate::domain::{Caller, Glob, PolicyName, TargetId, TargetName};
use crate::policy::{freezes_from, held_then, next_at, plan};

/// `{ "plan": [...], "next_at": …, "freezes": [...], "pauses": [...] }`, in the order of the targets' ids.
#[derive(Serialize)]
pub(super) struct Shown {
    plan: Vec<ShownDecision>,
    /// When time alone will change a decision.
    next_at: Option<Timestamp>,
    /// The freezes that stand or are to come.
    freezes: Vec<ShownFreeze>,
    /// The pauses that stand.
    pauses: Vec<ShownPause>,
}

#[derive(Serialize)]
struct ShownFreeze {
    name: String,
    scope: String,
    start: Timestamp,
    end: Timestamp,
    reason: String,
    /// None if it stands in the configuration.
    by: Option<String>,
}

#[derive(Serialize)]
struct ShownPause {
    scope: String,
    since: Timestamp,
    until: Timestamp,
    reason: String,
    by: String,
}

#[derive(Serialize)]
struct ShownDecision {
    target: TargetName,
    target_id: TargetId,
    /// None if the configuration names it no policy.
    policy: Option<PolicyName>,
    slot: u64,
    state: &'static str,
    due_at: Option<Timestamp>,
    /// When an attempt begins, as far as can be told now.
    begins_at: Option<Timestamp>,
    reason: String,
    /// What will hold it up once it has fallen due, if that is to come.
    waits_for: Option<String>,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<targets::Params>, QueryRejection>,
) -> Result<Json<Shown>, Problem> {
    let asked = targets::names(query)?;
    let shown = compute(shared, move |shared| {
        let (situation, rules) = shared.snapshot();
        targets::fit(&situation.fleet, Some(&asked), None)?;
        let names = Glob::new(&asked);
        // What is in hand is known by its open rotation; what is only being looked at would be decided the same.
        let plan = plan(situation.now, &situation.fleet, &rules, &BTreeSet::new());
        let decisions = plan.decisions.into_iter().filter_map(|planned| {
            let record = situation.fleet.targets.get(&planned.target)?;
            let (target, state) = (record.target.name(), planned.decision.word());
            if !names.matches(target.as_str()) {
                return None;
            }
            let (target_id, slot) = (planned.target, record.slot);
            let policy = rules.policy_of(&record.target).map(|policy| policy.name.clone());
            let due_at = planned.decision.due_at();
            let begins_at = next_at(situation.now, record, &situation.fleet, &rules);
            let reason = planned.decision.to_string();
            let waits_for = held_then(situation.now, record, &situation.fleet, &rules).map(|held| held.to_string());
            Some(ShownDecision { target, target_id, policy, slot, state, due_at, begins_at, reason, waits_for })
        });
        let freezes = freezes_from(situation.now, &rules, &situation.fleet).map(|(freeze, by)| ShownFreeze {
            name: freeze.name.clone(),
            scope: freeze.scope.to_string(),
            start: freeze.span.start,
            end: freeze.span.end,
            reason: freeze.reason.clone(),
            by: by.map(Caller::name),
        });
        let pauses = situation.fleet.standing_pauses(situation.now).map(|(scope, pause)| ShownPause {
            scope: scope.clone(),
            since: pause.since,
            until: pause.until,
            reason: pause.reason.clone(),
            by: pause.by.name(),
        });
        let (plan, next_at) = (decisions.collect(), plan.next_at);
        Ok(Shown { plan, next_at, freezes: freezes.collect(), pauses: pauses.collect() })
    });
    Ok(Json(shown.await??))
}
