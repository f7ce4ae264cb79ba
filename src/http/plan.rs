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
use crate::domain::{Caller, TargetId, TargetName};
use crate::policy::{freezes_from, next_at, plan};

/// `{ "plan": [...], "next_at": …, "freezes": [...] }`, in the order of the targets' ids.
#[derive(Serialize)]
pub(super) struct Shown {
    plan: Vec<ShownDecision>,
    /// When time alone will change a decision.
    next_at: Option<Timestamp>,
    /// The freezes that stand or are to come.
    freezes: Vec<ShownFreeze>,
}

#[derive(Serialize)]
struct ShownFreeze {
    name: String,
    scope: String,
    start: Timestamp,
    end: Timestamp,
    reason: String,
    /// None if it stands in the configuration.
    ordered_by: Option<String>,
}

#[derive(Serialize)]
struct ShownDecision {
    id: TargetId,
    name: TargetName,
    state: &'static str,
    due_at: Option<Timestamp>,
    /// When an attempt begins, as far as can be told now.
    begins_at: Option<Timestamp>,
    reason: String,
}

pub(super) async fn show(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<targets::Params>, QueryRejection>,
) -> Result<Json<Shown>, Problem> {
    let names = targets::names(query)?;
    let shown = compute(shared, move |shared| {
        let (situation, rules) = shared.snapshot();
        // What is in hand is known by its open rotation; what is only being looked at would be decided the same.
        let plan = plan(situation.now, &situation.fleet, &rules, &BTreeSet::new());
        let decisions = plan.decisions.into_iter().filter_map(|planned| {
            let record = situation.fleet.targets.get(&planned.target)?;
            let (name, state) = (record.target.name(), planned.decision.word());
            if !names.matches(name.as_str()) {
                return None;
            }
            let due_at = planned.decision.due_at();
            let begins_at = next_at(situation.now, record, &situation.fleet, &rules);
            let reason = planned.decision.to_string();
            Some(ShownDecision { id: planned.target, name, state, due_at, begins_at, reason })
        });
        let freezes = freezes_from(situation.now, &rules, &situation.fleet).map(|(freeze, by)| ShownFreeze {
            name: freeze.name.clone(),
            scope: freeze.scope.to_string(),
            start: freeze.span.start,
            end: freeze.span.end,
            reason: freeze.reason.clone(),
            ordered_by: by.map(Caller::name),
        });
        Shown { plan: decisions.collect(), next_at: plan.next_at, freezes: freezes.collect() }
    });
    Ok(Json(shown.await?))
}
