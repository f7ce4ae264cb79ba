//! The pages: the fleet at a glance, and one target with its past. Rendered here, without scripts.
//!
//! What is decided and what is wrong is asked of the planner and of the alerts, so that a page can say nothing else than
//! the commands do. The templates are in `templates/`; every text in them is escaped.

mod fleet;
mod held;
mod map;
mod mark;
mod past;
mod target;
mod timeline;
mod words;

use std::sync::Arc;

use askama::Template;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use super::problem::Problem;
use super::router::{Shared, compute};
use crate::domain::TargetId;
use crate::ports::Situation;
use fleet::FleetPage;
use target::TargetPage;

/// A page may ask for its style sheet, and for nothing else.
const CONTENT_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// How a page is kept up to date: the browser loads it again after so many seconds. A link turns that off, for reading and
/// selecting.
const REFRESH: HeaderValue = HeaderValue::from_static("30");

/// What stands around every page.
struct Shell {
    version: &'static str,
    /// The time that the page shows, in words.
    now: String,
    /// Whether it is not loaded again.
    still: bool,
}

impl Shell {
    fn of(situation: &Situation, query: &Params) -> Self {
        Self { version: env!("CARGO_PKG_VERSION"), now: words::moment(situation.now), still: query.still }
    }
}

/// What the address says behind its question mark. What is not known there changes nothing.
#[derive(Default)]
struct Params {
    still: bool,
    id: Option<TargetId>,
}

impl Params {
    fn read(query: Option<&str>) -> Self {
        let mut asked = Self::default();
        for part in query.unwrap_or_default().split('&') {
            if part == "still" {
                asked.still = true;
            } else if let Some(id) = part.strip_prefix("id=") {
                asked.id = Some(TargetId::new(words::decoded(id)));
            }
        }
        asked
    }
}

/// `/`: the whole fleet.
pub(super) async fn fleet(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Result<Response, Problem> {
    let asked = Params::read(query.as_deref());
    let page = compute(shared, move |shared| {
        let (situation, rules) = shared.snapshot();
        let page = FleetPage::of(&situation, &rules, Shell::of(&situation, &asked));
        (page.render(), asked.still)
    });
    let (html, still) = page.await?;
    answer(StatusCode::OK, html, still)
}

/// `/targets/{name}`: one target and its past. The name is the target's, slashes and all; where several have one name,
/// `?id=` says which is meant.
pub(super) async fn target(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let Path(name) = path.map_err(|rejection| Problem::bad_request(&rejection.body_text()))?;
    let asked = Params::read(query.as_deref());
    let page = compute(shared, move |shared| {
        let (situation, rules) = shared.snapshot();
        let shell = Shell::of(&situation, &asked);
        match target::find(&situation, &name, asked.id.as_ref()) {
            Some(record) => {
                let past = shared.inputs.archive.past(&record.target.id(), past::SHOWN);
                let page = TargetPage::of(&situation, &rules, &record, past, shell);
                (StatusCode::OK, page.render(), asked.still)
            }
            None => (StatusCode::NOT_FOUND, target::NoTarget { name, shell }.render(), true),
        }
    });
    let (status, html, still) = page.await?;
    answer(status, html, still)
}

fn answer(status: StatusCode, html: askama::Result<String>, still: bool) -> Result<Response, Problem> {
    let html = html.map_err(|error| {
        tracing::error!(error = %error, "a page could not be written: {error}");
        Problem::internal()
    })?;
    let mut response = (status, [(header::CONTENT_SECURITY_POLICY, CONTENT_POLICY)], Html(html)).into_response();
    if !still {
        response.headers_mut().insert(HeaderName::from_static("refresh"), REFRESH);
    }
    Ok(response)
}

/// `/style.css`: the pages ask for it with the version behind it, so it may be kept.
pub(super) async fn style() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/css; charset=utf-8")),
        (header::CACHE_CONTROL, HeaderValue::from_static("max-age=3600")),
    ];
    (headers, include_str!("../../../templates/style.css"))
}
