//! Every route, and what the handlers share.

use std::sync::Arc;

use axum::routing::get;
use axum::{Router, middleware};
use tokio::sync::{Semaphore, watch};
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;

use super::problem::Problem;
use super::{alerts, guard, health, history, ledger, metrics, page, plan, targets};
use crate::policy::Rules;
use crate::ports::{Archive, Gauge, Situation};
use crate::telemetry::Metrics;

/// Every route that exists without a name in it, for the page and for tests that enumerate them. `/targets/…` is another.
pub const ROUTES: &[&str] = &[
    "/",
    "/livez",
    "/readyz",
    "/healthz",
    "/metrics",
    "/api/v1/targets",
    "/api/v1/plan",
    "/api/v1/alerts",
    "/api/v1/rotations",
    "/api/v1/ledger",
    "/api/v1/ledger/key",
    "/style.css",
];

/// What the routes show.
pub struct Inputs {
    /// The state of affairs.
    pub gauge: Arc<dyn Gauge>,
    /// What became of single targets.
    pub archive: Arc<dyn Archive>,
    /// The rules in force.
    pub rules: watch::Receiver<Arc<Rules>>,
    /// The live counters.
    pub metrics: Arc<Metrics>,
    /// Names by which this daemon may be called besides `localhost` and addresses; without ports.
    pub hosts: Vec<String>,
}

/// What the handlers share.
pub(super) struct Shared {
    pub(super) inputs: Inputs,
    /// One scrape at a time: each may need some 50 MB at 10,000 targets.
    pub(super) scrapes: Arc<Semaphore>,
    /// Limits how many answers are computed at once: the engine needs the processors first.
    answers: Arc<Semaphore>,
}

/// How many answers over the whole fleet are computed at once.
const ANSWERS_AT_ONCE: usize = 4;

impl Shared {
    /// The state of affairs and the rules now.
    pub(super) fn snapshot(&self) -> (Situation, Arc<Rules>) {
        (self.inputs.gauge.read(), Arc::clone(&self.inputs.rules.borrow()))
    }
}

/// Runs work over the whole fleet on a thread that serves no sockets, when its turn comes.
pub(super) async fn compute<T: Send + 'static>(
    shared: Arc<Shared>,
    work: impl FnOnce(&Shared) -> T + Send + 'static,
) -> Result<T, Problem> {
    let turn = Arc::clone(&shared.answers).acquire_owned().await.expect("nobody closes the semaphore");
    let computed = tokio::task::spawn_blocking(move || {
        let answer = work(&shared);
        // Held to here even if the client is gone: the processor was in use until now.
        drop(turn);
        answer
    });
    computed.await.map_err(|error| {
        tracing::error!(error = %error, "a request could not be answered: {error}");
        Problem::internal()
    })
}

/// The routes over these inputs.
pub fn router(inputs: Inputs) -> Router {
    let shared = Arc::new(Shared {
        inputs,
        scrapes: Arc::new(Semaphore::new(1)),
        answers: Arc::new(Semaphore::new(ANSWERS_AT_ONCE)),
    });
    Router::new()
        .route("/", get(page::fleet))
        .route("/targets/{*name}", get(page::target))
        .route("/style.css", get(page::style))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/healthz", get(health::healthz))
        .route("/metrics", get(metrics::scrape))
        .route("/api/v1/targets", get(targets::list))
        .route("/api/v1/plan", get(plan::show))
        .route("/api/v1/alerts", get(alerts::list))
        .route("/api/v1/rotations", get(history::rotations))
        .route("/api/v1/ledger", get(history::records))
        .route("/api/v1/ledger/key", get(ledger::key))
        .fallback(|| async { Problem::not_found() })
        // For requests that accept gzip. The fastest level makes a scrape ten times smaller; better ones cost more than they
        // save.
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
        // Around everything, the fallback too.
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), guard::guard))
        .with_state(shared)
}
