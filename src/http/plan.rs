//! `/api/v1/plan`: what is to be done with each target now, and why, by the planner that the engine obeys.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;

use super::problem::Problem;
use super::router::{Shared, compute};
use crate::domain::{TargetId, TargetName};
use crate::policy::plan;

/// `{ "plan": [...], "next_at": … }`, in the order of the targets' ids.
#[derive(Serialize)]
pub(super) struct Shown {
    plan: Vec<ShownDecision>,
    /// When time alone will change a decision.
    next_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct ShownDecision {
    id: TargetId,
    name: TargetName,
    state: &'static str,
    due_at: Option<Timestamp>,
    reason: String,
}

pub(super) async fn show(State(shared): State<Arc<Shared>>) -> Result<Json<Shown>, Problem> {
    let shown = compute(shared, move |shared| {
        let (situation, rules) = shared.look();
        // What is in hand is known by its open rotation; what is only being looked at would be decided the same.
        let plan = plan(situation.now, &situation.fleet, &rules, &BTreeSet::new());
        let decisions = plan.decisions.into_iter().filter_map(|planned| {
            let name = situation.fleet.targets.get(&planned.target)?.target.name();
            let (state, due_at) = (planned.decision.word(), planned.decision.due_at());
            Some(ShownDecision { id: planned.target, name, state, due_at, reason: planned.decision.to_string() })
        });
        Shown { plan: decisions.collect(), next_at: plan.next_at }
    });
    Ok(Json(shown.await?))
}
