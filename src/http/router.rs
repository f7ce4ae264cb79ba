//! Every route, and what the handlers share.

use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use axum::{Router, middleware};
use tokio::sync::{Semaphore, watch};

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

/// A scheduler that made no plan for so long is stuck: sweeps come every few seconds.
pub const STALL_AFTER: Duration = Duration::from_secs(60);

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
    /// `/livez` fails when no plan was made for so long; see [`STALL_AFTER`].
    pub stall_after: Duration,
}

/// What the handlers share.
pub(super) struct Shared {
    pub(super) inputs: Inputs,
    /// One scrape at a time: each may need some 50 MB at 10,000 targets.
    pub(super) scrapes: Arc<Semaphore>,
}

impl Shared {
    /// The state of affairs and the rules now.
    pub(super) fn look(&self) -> (Situation, Arc<Rules>) {
        (self.inputs.gauge.read(), Arc::clone(&self.inputs.rules.borrow()))
    }
}

/// Runs work over the whole fleet beside the threads that serve sockets.
pub(super) async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(error = %error, "a request could not be answered: {error}");
        Problem::internal()
    })
}

/// The routes over these inputs.
pub fn router(inputs: Inputs) -> Router {
    let shared = Arc::new(Shared { inputs, scrapes: Arc::new(Semaphore::new(1)) });
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
        // Around everything, the fallback too.
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), guard::guard))
        .with_state(shared)
}
