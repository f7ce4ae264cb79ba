//! `/api/v1/rotations` and `/api/v1/ledger`: the history, newest first, page by page.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::Problem;
use super::router::{Shared, compute};
use crate::domain::{Actor, Event, KeyId, LedgerFilter, LedgerRow, Moment, NoMoment, RotationFilter, RotationRow};
use crate::ports::ArchiveError;

/// So many come if nothing is said.
const ROWS: u32 = 100;
/// No page is longer.
const MOST: u32 = 1000;

/// What may be asked for; both routes refuse what they do not know.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
    target: Option<String>,
    project: Option<String>,
    /// Rotations only.
    key: Option<String>,
    /// Rotations only; several with commas between.
    state: Option<String>,
    /// Records only; several with commas between.
    kind: Option<String>,
    actor: Option<String>,
    since: Option<String>,
    until: Option<String>,
    limit: Option<u32>,
    cursor: Option<String>,
}

type Answer = Result<Json<Value>, Problem>;

/// `{ "rotations": [...], "next": cursor or null }`
pub(super) async fn rotations(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Answer {
    let asked = asked(query)?;
    if asked.kind.is_some() {
        return Err(Problem::bad_request("rotations have no kind; /api/v1/ledger has"));
    }
    let states = asked.state.as_deref().map(|words| words.split(',').map(state).collect::<Result<_, _>>());
    let (since, until) = times(&asked, &shared)?;
    let filter = RotationFilter {
        since,
        until,
        behind: asked.cursor.as_deref().map(cursor).transpose()?,
        target: asked.target,
        project: asked.project,
        key: asked.key.map(KeyId::new),
        states: states.transpose()?.unwrap_or_default(),
        actor: asked.actor.map(actor).transpose()?,
        limit: None,
    };
    let limit = asked.limit.unwrap_or(ROWS).clamp(1, MOST);
    let page =
        compute(shared, move |shared| shared.inputs.archive.rotations(&filter, limit)).await?.map_err(unreadable)?;
    let rows: Vec<Value> = page.rows.iter().map(RotationRow::to_json).collect();
    Ok(Json(json!({ "rotations": rows, "next": page.next.map(|cursor| cursor.to_string()) })))
}

/// `{ "records": [...], "next": cursor or null }`
pub(super) async fn records(State(shared): State<Arc<Shared>>, query: Result<Query<Asked>, QueryRejection>) -> Answer {
    let asked = asked(query)?;
    if asked.key.is_some() || asked.state.is_some() {
        return Err(Problem::bad_request("records have no key and no state; /api/v1/rotations has"));
    }
    let kinds = asked.kind.as_deref().map(|kinds| kinds.split(',').map(kind).collect::<Result<_, _>>());
    let (since, until) = times(&asked, &shared)?;
    let filter = LedgerFilter {
        since,
        until,
        behind: asked.cursor.as_deref().map(cursor).transpose()?,
        target: asked.target,
        project: asked.project,
        kinds: kinds.transpose()?.unwrap_or_default(),
        actor: asked.actor.map(actor).transpose()?,
        limit: None,
    };
    let limit = asked.limit.unwrap_or(ROWS).clamp(1, MOST);
    let page =
        compute(shared, move |shared| shared.inputs.archive.records(&filter, limit)).await?.map_err(unreadable)?;
    let rows: Vec<Value> = page.rows.iter().map(LedgerRow::to_json).collect();
    Ok(Json(json!({ "records": rows, "next": page.next.map(|cursor| cursor.to_string()) })))
}

fn asked(query: Result<Query<Asked>, QueryRejection>) -> Result<Asked, Problem> {
    query.map(|Query(asked)| asked).map_err(|rejection| Problem::bad_request(&rejection.body_text()))
}

/// From when to when; what has no offset is in the configured time zone, as it is for the commands.
fn times(asked: &Asked, shared: &Shared) -> Result<(Option<Timestamp>, Option<Timestamp>), Problem> {
    let moment = |text: &Option<String>| text.as_deref().map(moment).transpose();
    let zone = shared.inputs.rules.borrow().timezone.clone();
    Ok((moment(&asked.since)?.map(|since| since.start(&zone)), moment(&asked.until)?.map(|until| until.end(&zone))))
}

fn unreadable(error: ArchiveError) -> Problem {
    tracing::error!(%error, "the history cannot be shown: {error}");
    Problem::internal()
}

fn state(word: &str) -> Result<crate::domain::State, Problem> {
    let known = crate::domain::State::ALL.iter().copied().find(|state| state.as_str() == word);
    known.ok_or_else(|| Problem::bad_request(&format!("{word:?} is no state of a rotation")))
}

fn kind(word: &str) -> Result<String, Problem> {
    let known = Event::KINDS.contains(&word).then(|| word.to_owned());
    known.ok_or_else(|| Problem::bad_request(&format!("{word:?} is no kind of record")))
}

fn actor(word: String) -> Result<String, Problem> {
    let what = "is nobody's word; write daemon, schedule or uid:1000";
    Actor::from_word(&word).map(|_| ()).ok_or_else(|| Problem::bad_request(&format!("{word:?} {what}")))?;
    Ok(word)
}

fn cursor(text: &str) -> Result<crate::domain::Cursor, Problem> {
    text.parse().map_err(|why: String| Problem::bad_request(&why))
}

fn moment(text: &str) -> Result<Moment, Problem> {
    text.parse().map_err(|why: NoMoment| Problem::bad_request(&format!("{text:?} is {why}")))
}
