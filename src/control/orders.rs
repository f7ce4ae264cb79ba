//! The routes of the socket: what can be asked and ordered, and the events that an order becomes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::http::header::CONNECTION;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use jiff::SignedDuration;
use serde::Deserialize;
use tokio::sync::watch;

use super::authority::Authority;
use super::extract::{Order, one_line, with_login};
use super::freezes;
use super::refused::Refused;
use super::wire::{
    DaemonState, FreezeOrder, ObserveOrder, Orderable, PauseOrder, Paused, Readiness, RearmOrder, ReloadOrder,
    Reloaded, ResumeOrder, RotateOrder, TargetState, ThawOrder,
};
use crate::domain::{Caller, Decision, Event, Glob, TargetId, WaitReason};
use crate::policy::{Rules, plan};
use crate::ports::{Gauge, Orders, Reload, Situation};

/// The ids of a hundred thousand targets.
const LARGEST_BODY: usize = 16 << 20;
/// The longest pause or freeze. To leave a target alone for longer, take it out of the configuration.
pub(super) const LONGEST_HOLD: SignedDuration = SignedDuration::from_hours(366 * 24);

/// What the orders work on.
#[derive(Clone)]
pub struct Inputs {
    /// The state of affairs.
    pub gauge: Arc<dyn Gauge>,
    /// The rules in force.
    pub rules: watch::Receiver<Arc<Rules>>,
    /// Where orders go.
    pub orders: Arc<dyn Orders>,
    /// Reading the configuration again.
    pub reload: Arc<dyn Reload>,
}

pub(super) type Answer<T> = Result<Json<T>, Refused>;

/// The routes for those who may give orders.
pub(super) fn router(inputs: Inputs) -> Router {
    Router::new()
        .route("/v1/daemon", get(daemon))
        .route("/v1/targets", get(targets))
        .route("/v1/pauses", get(pauses))
        .route(&RotateOrder::path(), post(rotate))
        .route(&ObserveOrder::path(), post(observe))
        .route(&RearmOrder::path(), post(rearm))
        .route(&PauseOrder::path(), post(pause))
        .route(&ResumeOrder::path(), post(resume))
        .route("/v1/freezes", get(freezes::list))
        .route(&FreezeOrder::path(), post(freezes::freeze))
        .route(&ThawOrder::path(), post(freezes::thaw))
        .route("/v1/reload", post(reload))
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .with_state(inputs)
}

/// Refuses every request of this caller, and closes the connection to free its place.
pub(super) fn refusing(caller: &Caller, authority: &Authority) -> Router {
    let words = format!("{} may not give orders; these may: {}", caller.name(), authority.words());
    Router::new().fallback(move || async move { ([(CONNECTION, "close")], Refused(StatusCode::FORBIDDEN, words)) })
}

#[derive(Deserialize)]
struct Matching {
    #[serde(rename = "match")]
    glob: Option<String>,
}

async fn targets(State(inputs): State<Inputs>, Query(matching): Query<Matching>) -> Json<Vec<TargetState>> {
    let glob = Glob::new(matching.glob.as_deref().unwrap_or("*"));
    Json(inputs.states(|state| glob.matches(state.target.as_str())))
}

async fn daemon(State(inputs): State<Inputs>) -> Json<DaemonState> {
    let Situation { unwritable, started_at, last_sweep, since_sweep, upkeep, .. } = inputs.gauge.read();
    let (since_sweep_s, upkeep) = (since_sweep.as_secs(), upkeep.map(Into::into));
    Json(DaemonState { started_at, unwritable, last_sweep, since_sweep_s, upkeep })
}

async fn pauses(State(inputs): State<Inputs>) -> Json<Vec<Paused>> {
    Json(standing(&inputs.gauge.read()))
}

async fn rotate(
    State(inputs): State<Inputs>,
    Order { reason, by, order }: Order<RotateOrder>,
) -> Answer<Vec<TargetState>> {
    let none = "none of these targets can be rotated now; `rekeyd status` says why";
    let fit = inputs.fit(order.targets, Readiness::can_rotate, none)?;
    let events = fit.iter().map(|state| Event::RotationRequested {
        target: state.id.clone(),
        reason: reason.clone(),
        by: by.clone(),
        overrides: order.overrides,
    });
    inputs.orders.order(&by, events.collect()).await?;
    let fit: BTreeSet<_> = fit.into_iter().map(|state| state.id).collect();
    Ok(Json(inputs.states(|state| fit.contains(&state.id))))
}

async fn observe(
    State(inputs): State<Inputs>,
    Order { reason, by, order }: Order<ObserveOrder>,
) -> Answer<Vec<TargetState>> {
    let none = "none of these targets has a key that is looked at; `rekeyd status` says why";
    let fit = inputs.fit(order.targets, |standing| standing != Readiness::NotManaged, none)?;
    let event = Event::LookRequested { scope: order.scope, targets: fit.len() as u64, reason, by: by.clone() };
    inputs.orders.order(&by, vec![event]).await?;
    inputs.orders.look_at(fit.iter().map(|state| state.id.clone()).collect());
    Ok(Json(fit))
}

async fn rearm(
    State(inputs): State<Inputs>,
    Order { reason, by, order }: Order<RearmOrder>,
) -> Answer<Vec<TargetState>> {
    let none = "none of these targets is quarantined any more";
    let fit = inputs.fit(order.targets, |standing| standing == Readiness::Quarantined, none)?;
    let events = fit.iter().map(|state| Event::TargetRearmed {
        target: state.id.clone(),
        reason: reason.clone(),
        by: Some(by.clone()),
    });
    inputs.orders.order(&by, events.collect()).await?;
    Ok(Json(fit))
}

async fn pause(State(inputs): State<Inputs>, Order { reason, by, order }: Order<PauseOrder>) -> Answer<Vec<Paused>> {
    one_line(&order.scope, "the scope")?;
    let length = order.until.duration_since(inputs.gauge.read().now);
    if !length.is_positive() || length > LONGEST_HOLD {
        return Err(Refused::wrong("a pause ends in the future, and within a year"));
    }
    let event = Event::PauseSet { scope: order.scope, until: order.until, reason, by: by.clone() };
    inputs.orders.order(&by, vec![event]).await?;
    Ok(Json(standing(&inputs.gauge.read())))
}

async fn resume(State(inputs): State<Inputs>, Order { reason, by, order }: Order<ResumeOrder>) -> Answer<Vec<Paused>> {
    if !inputs.gauge.read().fleet.pauses.contains_key(&order.scope) {
        return Err(Refused::conflict(format!("no pause with the scope {:?} stands", order.scope)));
    }
    let event = Event::PauseEnded { scope: order.scope, reason: Some(reason), by: Some(by.clone()) };
    inputs.orders.order(&by, vec![event]).await?;
    Ok(Json(standing(&inputs.gauge.read())))
}

async fn reload(
    State(inputs): State<Inputs>,
    Extension(caller): Extension<Caller>,
    Json(order): Json<ReloadOrder>,
) -> Answer<Reloaded> {
    let caller = with_login(caller, order.login)?;
    let changes = inputs.reload.reload(Some(caller)).await?;
    Ok(Json(Reloaded { changes }))
}

impl Inputs {
    /// Those of the wanted targets that `keep` keeps, as they stand now. An order that fits none of them is refused.
    fn fit(
        &self,
        wanted: Vec<TargetId>,
        keep: impl Fn(Readiness) -> bool,
        none: &str,
    ) -> Result<Vec<TargetState>, Refused> {
        let wanted: BTreeSet<TargetId> = wanted.into_iter().collect();
        let fit = self.states(|state| wanted.contains(&state.id) && keep(state.standing));
        if fit.is_empty() { Err(Refused::conflict(none)) } else { Ok(fit) }
    }

    /// The targets that `keep` keeps, as they stand now, by name.
    fn states(&self, keep: impl Fn(&TargetState) -> bool) -> Vec<TargetState> {
        let situation = self.gauge.read();
        let rules = Arc::clone(&self.rules.borrow());
        let decisions = plan(situation.now, &situation.fleet, &rules, &BTreeSet::new()).decisions;
        let states = decisions.into_iter().filter_map(|planned| {
            let record = situation.fleet.targets.get(&planned.target)?;
            Some(TargetState {
                target: record.target.name(),
                id: planned.target,
                standing: readiness(&planned.decision),
                words: planned.decision.to_string(),
                slot: record.slot,
                due_at: planned.decision.due_at(),
                every: rules.policy_of(&record.target).map(|policy| policy.rhythm.to_string()),
                key: record.key.as_ref().map(|key| key.id.clone()),
                came: record.key.as_ref().map(|key| key.came),
                key_seen_at: record.key.as_ref().map(|key| key.last_seen),
                unread: record.unread.as_ref().map(|unread| unread.failure.to_string()),
                requested: record.request.is_some(),
                last_rotation_at: record.last_rotation_at,
            })
        });
        let mut states: Vec<_> = states.filter(keep).collect();
        states.sort_by(|one, other| one.target.cmp(&other.target));
        states
    }
}

fn readiness(decision: &Decision) -> Readiness {
    match decision {
        Decision::Rotate { .. } | Decision::Resume { .. } | Decision::Withdraw { .. } => Readiness::Moving,
        Decision::Quarantined { .. } => Readiness::Quarantined,
        Decision::NotManaged { .. } => Readiness::NotManaged,
        Decision::Wait { reason, .. } => match reason {
            WaitReason::NotDue => Readiness::Resting,
            WaitReason::KeyUnknown => Readiness::Unknown,
            WaitReason::Paused { .. }
            | WaitReason::OutsideWindow { .. }
            | WaitReason::Frozen { .. }
            | WaitReason::ClockDoubted { .. }
            | WaitReason::MemberFailed { .. } => Readiness::Held,
            WaitReason::BackingOff { .. }
            | WaitReason::MemberFirst { .. }
            | WaitReason::ManagerFull { .. }
            | WaitReason::ManagerFailing { .. } => Readiness::Waiting,
        },
    }
}

fn standing(situation: &Situation) -> Vec<Paused> {
    let held = situation.fleet.standing_pauses(situation.now);
    let names: BTreeMap<_, _> =
        situation.fleet.targets.values().map(|record| (record.target.id(), record.target.name())).collect();
    held.map(|(scope, pause)| {
        let glob = Glob::new(scope);
        Paused {
            scope: scope.clone(),
            since: pause.since,
            until: pause.until,
            reason: pause.reason.clone(),
            by: pause.by.name(),
            targets: names.values().filter(|name| glob.matches(name.as_str())).count(),
        }
    })
    .collect()
}
