//! `/api/v1/targets`: everything known of each target, the gone ones too; and how it and `/api/v1/plan` are asked for some.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::problem::Problem;
use super::router::{Shared, compute};
use crate::domain::{
    ClusterId, Failure, Fleet, Glob, KeyId, ManagerName, Mechanism, PolicyName, ProjectId, Role, RotationId, Standing,
    Target, TargetId, TargetName, TargetRecord, Trouble,
};
use crate::policy::{Rules, due_at, next_at};
use crate::ports::Situation;

/// What may be asked for; anything else is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
    /// A glob of targets' names.
    target: Option<String>,
}

/// The glob of names that is asked for.
pub(super) fn names(query: Result<Query<Params>, QueryRejection>) -> Result<String, Problem> {
    let Query(asked) = query.map_err(|rejection| Problem::bad_request(&rejection.body_text()))?;
    Ok(asked.target.unwrap_or_else(|| "*".to_owned()))
}

/// A glob or a project that fits no target on record is mistyped more often than not, and must not look like an answer.
pub(super) fn fit(fleet: &Fleet, target: Option<&str>, project: Option<&str>) -> Result<(), Problem> {
    let any = |fits: &dyn Fn(&Target) -> bool| fleet.targets.values().any(|record| fits(&record.target));
    if let Some(project) = project
        && !any(&|target| target.project == project || target.project_id.as_str() == project)
    {
        return Err(Problem::fits_nothing(format!("no target is on record of a project {project:?}")));
    }
    let Some(glob) = target.filter(|glob| *glob != "*") else { return Ok(()) };
    let names = Glob::new(glob);
    if any(&|target| names.matches(target.name().as_str())) {
        return Ok(());
    }
    Err(Problem::fits_nothing(format!("no target's name matches {glob:?}; * stands for any text, slashes too")))
}

/// `{ "targets": [...] }`, in the order of their ids.
#[derive(Serialize)]
pub(super) struct Targets {
    targets: Vec<Shown>,
}

/// One target. What is unknown is null.
#[derive(Serialize)]
struct Shown {
    target: TargetName,
    target_id: TargetId,
    manager: ManagerName,
    project: String,
    project_id: ProjectId,
    cluster: String,
    cluster_id: ClusterId,
    replica_set: String,
    role: Role,
    mechanism: Mechanism,
    /// None if its manager is not configured.
    policy: Option<PolicyName>,
    standing: &'static str,
    standing_words: String,
    found_at: Timestamp,
    gone_since: Option<Timestamp>,
    key: Option<ShownKey>,
    /// None if it is not rotated, or its key was never read.
    due_at: Option<Timestamp>,
    /// When an attempt at its slot begins, as far as can be told now: not before its window, nor in a freeze or a pause.
    begins_at: Option<Timestamp>,
    last_rotation_at: Option<Timestamp>,
    /// The one in hand, or unconfirmed.
    rotation: Option<ShownRotation>,
    setback: Option<ShownSetback>,
    quarantine: Option<Box<Trouble>>,
    /// Set while its key cannot be read.
    unread: Option<Box<Trouble>>,
    regressed_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct ShownKey {
    id: KeyId,
    /// The earliest that it may have come into use; null if it was there before the daemon.
    not_before: Option<Timestamp>,
    first_seen: Timestamp,
    last_seen: Timestamp,
}

#[derive(Serialize)]
struct ShownRotation {
    id: RotationId,
    state: crate::domain::State,
    due_at: Timestamp,
    intended_at: Timestamp,
    sent_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct ShownSetback {
    /// How many attempts at its slot have failed by its own doing.
    failed_attempts: u32,
    /// When it is tried again; null if that waits for an operator.
    retry_at: Option<Timestamp>,
    failure: Failure,
}

impl Shown {
    fn of(record: &TargetRecord, situation: &Situation, rules: &Rules) -> Self {
        let standing = record.standing();
        let policy = rules.policy_of(&record.target);
        let due_at = policy.filter(|_| standing == Standing::Managed).and_then(|policy| due_at(record, policy));
        let Target { manager, project_id, project, cluster_id, cluster, replica_set, role, mechanism } =
            record.target.clone();
        Self {
            target: record.target.name(),
            target_id: record.target.id(),
            manager,
            project,
            project_id,
            cluster,
            cluster_id,
            replica_set,
            role,
            mechanism,
            policy: policy.map(|policy| policy.name.clone()),
            standing: standing.word(),
            standing_words: standing.to_string(),
            found_at: record.found_at,
            gone_since: record.gone_since,
            key: record.key.as_ref().map(|key| ShownKey {
                id: key.id.clone(),
                not_before: key.not_before,
                first_seen: key.first_seen,
                last_seen: key.last_seen,
            }),
            due_at,
            begins_at: next_at(situation.now, record, &situation.fleet, rules),
            last_rotation_at: record.last_rotation_at,
            rotation: record.rotation.as_ref().map(|rotation| ShownRotation {
                id: rotation.id,
                state: rotation.state(),
                due_at: rotation.due_at,
                intended_at: rotation.intended_at,
                sent_at: rotation.sent_at(),
            }),
            setback: record.setback.clone().map(|(failure, retry_at)| ShownSetback {
                failed_attempts: record.failures,
                retry_at: Some(retry_at).filter(|_| record.quarantine.is_none()),
                failure: *failure,
            }),
            quarantine: record.quarantine.clone(),
            unread: record.unread.clone(),
            regressed_at: record.regressed_at,
        }
    }
}

pub(super) async fn list(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<Params>, QueryRejection>,
) -> Result<Json<Targets>, Problem> {
    let asked = names(query)?;
    let targets = compute(shared, move |shared| {
        let (situation, rules) = shared.snapshot();
        fit(&situation.fleet, Some(&asked), None)?;
        let names = Glob::new(&asked);
        let wanted = situation.fleet.targets.values().filter(|record| names.matches(record.target.name().as_str()));
        Ok(wanted.map(|record| Shown::of(record, &situation, &rules)).collect())
    })
    .await??;
    Ok(Json(Targets { targets }))
}
