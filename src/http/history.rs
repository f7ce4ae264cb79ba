//! `/api/v1/rotations` and `/api/v1/ledger`: the history, newest first, page by page.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem::Problem;
use super::router::{Shared, compute};
use super::targets;
use crate::domain::{
    Actor, Event, KeyId, LedgerFilter, LedgerRow, Moment, NoMoment, RotationFilter, RotationRow, Selection,
};
use crate::ports::ArchiveError;

/// So many come if nothing is said.
const ROWS: u32 = 100;
/// No page is longer.
const MOST: u32 = 1000;

/// What may be asked for; both routes refuse what they do not know.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Params {
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
    query: Result<Query<Params>, QueryRejection>,
) -> Answer {
    let asked = asked(query)?;
    if asked.kind.is_some() {
        return Err(Problem::bad_request("rotations have no kind; /api/v1/ledger has"));
    }
    let states = asked.state.as_deref().map(|words| words.split(',').map(state).collect::<Result<_, _>>());
    let (states, key) = (states.transpose()?.unwrap_or_default(), asked.key.clone().map(KeyId::new));
    let limit = asked.limit()?;
    let filter = RotationFilter { selection: asked.selection(&shared)?, key, states };
    let page = compute(shared, move |shared| {
        fit(shared, &filter.selection)?;
        shared.inputs.archive.rotations(&filter, limit).map_err(unreadable)
    });
    let page = page.await??;
    let rows: Vec<Value> = page.rows.iter().map(RotationRow::to_json).collect();
    Ok(Json(json!({ "rotations": rows, "next": page.next.map(|cursor| cursor.to_string()) })))
}

/// `{ "records": [...], "next": cursor or null }`
pub(super) async fn records(State(shared): State<Arc<Shared>>, query: Result<Query<Params>, QueryRejection>) -> Answer {
    let asked = asked(query)?;
    if asked.key.is_some() || asked.state.is_some() {
        return Err(Problem::bad_request("records have no key and no state; /api/v1/rotations has"));
    }
    let kinds = asked.kind.as_deref().map(|kinds| kinds.split(',').map(kind).collect::<Result<_, _>>());
    let (kinds, limit) = (kinds.transpose()?.unwrap_or_default(), asked.limit()?);
    let filter = LedgerFilter { selection: asked.selection(&shared)?, kinds };
    let page = compute(shared, move |shared| {
        fit(shared, &filter.selection)?;
        shared.inputs.archive.records(&filter, limit).map_err(unreadable)
    });
    let page = page.await??;
    let rows: Vec<Value> = page.rows.iter().map(LedgerRow::to_json).collect();
    Ok(Json(json!({ "records": rows, "next": page.next.map(|cursor| cursor.to_string()) })))
}

fn asked(query: Result<Query<Params>, QueryRejection>) -> Result<Params, Problem> {
    query.map(|Query(asked)| asked).map_err(|rejection| Problem::bad_request(&rejection.body_text()))
}

impl Params {
    /// What both kinds of rows are chosen by. A time without an offset is one of the configured zone, as for the commands.
    fn selection(self, shared: &Shared) -> Result<Selection, Problem> {
        let zone = shared.inputs.rules.borrow().timezone.clone();
        let [since, until] = [self.since, self.until].map(|text| text.as_deref().map(moment).transpose());
        Ok(Selection {
            target: self.target,
            project: self.project,
            actor: self.actor.map(actor).transpose()?,
            since: since?.map(|since| since.start(&zone)),
            until: until?.map(|until| until.end(&zone)),
            behind: self.cursor.as_deref().map(cursor).transpose()?,
        })
    }

    fn limit(&self) -> Result<u32, Problem> {
        let limit = self.limit.unwrap_or(ROWS);
        let fits = (1..=MOST).contains(&limit);
        fits.then_some(limit).ok_or_else(|| Problem::bad_request(&format!("`limit` is from 1 to {MOST}")))
    }
}

fn fit(shared: &Shared, selection: &Selection) -> Result<(), Problem> {
    targets::fit(&shared.snapshot().0.fleet, selection.target.as_deref(), selection.project.as_deref())
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
    // In an address a plus sign is a blank.
    let hint = if text.contains(' ') { "; write + as %2B" } else { "" };
    text.parse().map_err(|why: NoMoment| Problem::bad_request(&format!("{text:?} is {why}{hint}")))
}
