//! `/metrics`: the live counters and the computed series, in Prometheus' text format.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::router::{Shared, compute};
use super::series::series;
use crate::telemetry::Metrics;

pub(super) async fn scrape(State(shared): State<Arc<Shared>>) -> Result<Response, Problem> {
    let turn = Arc::clone(&shared.scrapes).acquire_owned().await.expect("nobody closes the semaphore");
    let text = compute(shared, move |shared| {
        let (situation, rules) = shared.snapshot();
        let text = shared.inputs.metrics.encode(series(&situation, &rules));
        // Held to here even if the client is gone: the memory is in use until now.
        drop(turn);
        text
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, Metrics::CONTENT_TYPE)], text).into_response())
}
