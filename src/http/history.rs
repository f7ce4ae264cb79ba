//! `/api/v1/rotations` and `/api/v1/ledger`: the history, newest first, page by page.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::Problem;
use super::router::{Shared, compute};
use super::targets;
use crate::domain::{Actor, Event, KeyId, LedgerFilter, LedgerRow, RotationFilter, RotationRow};
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
    let filter = RotationFilter {
        since: asked.since.as_deref().map(start).transpose()?,
        until: asked.until.as_deref().map(end).transpose()?,
        behind: asked.cursor.as_deref().map(cursor).transpose()?,
        target: asked.target,
        project: asked.project,
        key: asked.key.map(KeyId::new),
        states: states.transpose()?.unwrap_or_default(),
        actor: asked.actor.map(actor).transpose()?,
        limit: None,
    };
    let limit = limit(asked.limit)?;
    let page = compute(shared, move |shared| {
        targets::fit(&shared.look().0.fleet, filter.target.as_deref(), filter.project.as_deref())?;
        shared.inputs.archive.rotations(&filter, limit).map_err(unreadable)
    });
    let page = page.await??;
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
    let filter = LedgerFilter {
        since: asked.since.as_deref().map(start).transpose()?,
        until: asked.until.as_deref().map(end).transpose()?,
        behind: asked.cursor.as_deref().map(cursor).transpose()?,
        target: asked.target,
        project: asked.project,
        kinds: kinds.transpose()?.unwrap_or_default(),
        actor: asked.actor.map(actor).transpose()?,
        limit: None,
    };
    let limit = limit(asked.limit)?;
    let page = compute(shared, move |shared| {
        targets::fit(&shared.look().0.fleet, filter.target.as_deref(), filter.project.as_deref())?;
        shared.inputs.archive.records(&filter, limit).map_err(unreadable)
    });
    let page = page.await??;
    let rows: Vec<Value> = page.rows.iter().map(LedgerRow::to_json).collect();
    Ok(Json(json!({ "records": rows, "next": page.next.map(|cursor| cursor.to_string()) })))
}

fn asked(query: Result<Query<Asked>, QueryRejection>) -> Result<Asked, Problem> {
    query.map(|Query(asked)| asked).map_err(|rejection| Problem::bad_request(&rejection.body_text()))
}

fn limit(asked: Option<u32>) -> Result<u32, Problem> {
    let limit = asked.unwrap_or(ROWS);
    let fits = (1..=MOST).contains(&limit);
    fits.then_some(limit).ok_or_else(|| Problem::bad_request(&format!("`limit` is from 1 to {MOST}")))
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

/// An instant, or the beginning of a day in UTC.
fn start(text: &str) -> Result<Timestamp, Problem> {
    instant(text, Some)
}

/// An instant, or the end of a day in UTC.
fn end(text: &str) -> Result<Timestamp, Problem> {
    instant(text, |day| day.tomorrow().ok())
}

fn instant(text: &str, edge: impl Fn(Date) -> Option<Date>) -> Result<Timestamp, Problem> {
    let midnight = || text.parse().ok().and_then(edge)?.to_zoned(TimeZone::UTC).ok().map(|start| start.timestamp());
    // In an address a plus sign is a blank.
    let hint = if text.contains(' ') { ", and + as %2B" } else { "" };
    let words = || format!("{text:?} is no time; write 2026-05-01 or 2026-05-01T06:00:00Z{hint}");
    text.parse().ok().or_else(midnight).ok_or_else(|| Problem::bad_request(&words()))
}
