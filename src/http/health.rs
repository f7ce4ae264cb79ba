//! Whether the daemon itself works (`/livez`, `/readyz`), and whether all is well (`/healthz`).
//!
//! An Ops Manager that is down or a key that is old fails neither of the first two: a restart would mend nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;

use super::problem::Problem;
use super::router::{Shared, compute};
use crate::alerts::{self, Alert};
use crate::policy::Rules;
use crate::ports::{self, Anchor, Situation};

/// So many alerts of one kind are spelled out; `/api/v1/alerts` has them all.
const SHOWN_OF_A_KIND: usize = 100;

/// One thing that was looked at; an error says what is wrong with it.
struct Check {
    name: &'static str,
    result: Result<(), String>,
}

/// Fails when the scheduler is stuck, and then a restart is the cure.
pub(super) async fn livez(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    let (situation, rules) = shared.snapshot();
    answer("livez", query.as_deref(), &[scheduler(&situation, &rules)])
}

/// Fails when nothing can be recorded, or before anything was planned: no rotation would begin.
pub(super) async fn readyz(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    let (situation, _) = shared.snapshot();
    answer("readyz", query.as_deref(), &[ledger(&situation), first_sweep(&situation)])
}

fn scheduler(situation: &Situation, rules: &Rules) -> Check {
    let result = if rules.is_stalled(situation.since_sweep) {
        let seconds = situation.since_sweep.as_secs();
        Err(format!("no plan was made for {seconds} s, more than {} s", rules.stalled_after.as_secs()))
    } else {
        Ok(())
    };
    Check { name: "scheduler", result }
}

fn ledger(situation: &Situation) -> Check {
    let result = match &situation.unwritable {
        Some((since, why)) => Err(format!("since {since:.0} nothing can be recorded, so nothing is rotated: {why}")),
        None => Ok(()),
    };
    Check { name: "ledger", result }
}

/// Whether the ledger is anchored outside of itself as far as it wants to be.
fn checkpoints(anchor: &Anchor) -> Check {
    let why = |why: &String| format!("no checkpoint of record {} can be written: {why}", anchor.wanted);
    Check { name: "checkpoints", result: anchor.failure.as_ref().map_or(Ok(()), |failure| Err(why(failure))) }
}

/// Whether the ledger was found to hold, at the start or in the daily check; until that is known, it passes.
fn whole_ledger(check: &ports::Check) -> Check {
    let result = match check {
        ports::Check::Pending | ports::Check::Whole { .. } => Ok(()),
        ports::Check::Broken { why } => Err(why.clone()),
        ports::Check::Unchecked { why } => Err(format!("it cannot be checked: {why}")),
    };
    Check { name: "whole_ledger", result }
}

fn first_sweep(situation: &Situation) -> Check {
    let result = match situation.last_sweep {
        Some(_) => Ok(()),
        None => Err(format!("no plan was made yet; started at {:.0}", situation.started_at)),
    };
    Check { name: "first_sweep", result }
}

/// In the form that Kubernetes made customary: machines read the status, people the lines.
fn answer(endpoint: &str, query: Option<&str>, checks: &[Check]) -> Response {
    let failed = checks.iter().any(|check| check.result.is_err());
    let verbose =
        query.is_some_and(|query| query.split('&').any(|part| part == "verbose" || part.starts_with("verbose=")));
    let mut body = String::new();
    if verbose || failed {
        for Check { name, result } in checks {
            let _ = match result {
                Ok(()) => writeln!(body, "[+]{name} ok"),
                Err(why) => writeln!(body, "[-]{name} failed: {}", why.replace(['\n', '\r'], " ")),
            };
        }
        let _ = writeln!(body, "{endpoint} check {}", if failed { "failed" } else { "passed" });
    } else {
        body.push_str("ok\n");
    }
    let status = if failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (status, body).into_response()
}

/// The `status` of draft-inadarei-api-health-check-06, from good to bad.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Health {
    Pass,
    Warn,
    Fail,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    status: Health,
    service_id: &'static str,
    release_id: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
    checks: BTreeMap<String, Vec<Detail>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    status: Health,
    component_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    component_id: Option<String>,
    /// Since when, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

/// Everything at once: the daemon's own state can fail it, an alert makes it warn.
pub(super) async fn healthz(State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    let report = compute(shared, move |shared| {
        let (situation, rules) = shared.snapshot();
        report(&situation, &rules, &alerts::fire(&situation, &rules))
    })
    .await?;
    let status = match report.status {
        Health::Pass | Health::Warn => StatusCode::OK,
        Health::Fail => StatusCode::SERVICE_UNAVAILABLE,
    };
    let media_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/health+json"))];
    Ok((status, media_type, axum::Json(report)).into_response())
}

fn report(situation: &Situation, rules: &Rules, alerts: &[Alert]) -> Report {
    let upkeep = situation.upkeep.clone().unwrap_or_default();
    let mut checks = BTreeMap::new();
    let mut notes = Vec::new();
    // Before the first plan nothing is known, neither good nor bad.
    for (check, bad) in [
        (scheduler(situation, rules), Health::Fail),
        (first_sweep(situation), Health::Warn),
        (ledger(situation), Health::Fail),
        (checkpoints(&upkeep.anchor), Health::Warn),
        (whole_ledger(&upkeep.check), Health::Fail),
    ] {
        let status = if check.result.is_ok() { Health::Pass } else { bad };
        let output = check.result.err();
        let detail = Detail { status, component_type: "component", component_id: None, time: None, output };
        checks.insert(format!("daemon:{}", check.name), vec![detail]);
    }
    for alert in alerts {
        let details: &mut Vec<Detail> = checks.entry(format!("alert:{}", alert.kind.as_str())).or_default();
        if details.len() == SHOWN_OF_A_KIND {
            let note = format!("more than {SHOWN_OF_A_KIND} alerts {}; /api/v1/alerts has all", alert.kind.as_str());
            if !notes.contains(&note) {
                notes.push(note);
            }
            continue;
        }
        details.push(Detail {
            status: Health::Warn,
            component_type: match alert.subject.parts() {
                ("daemon", _) => "component",
                (kind, _) => kind,
            },
            component_id: Some(alert.subject.to_string()),
            time: alert.since,
            output: Some(alert.words.clone()),
        });
    }
    let status = checks.values().flatten().map(|detail| detail.status).max().unwrap_or(Health::Pass);
    Report { status, service_id: "rekeyd", release_id: env!("CARGO_PKG_VERSION"), notes, checks }
}
