//! `/api/v1/ledger/key`: the key that verifies the ledger's checkpoints.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use serde::Serialize;

use super::problem::{Problem, asked_nothing};
use super::router::Shared;

/// What verifies a checkpoint, and how far checkpoints reach.
#[derive(Serialize)]
pub(super) struct Key {
    /// A verifier key in the form of C2SP's signed-note; null if no checkpoints are made.
    key: Option<String>,
    /// The record of the newest checkpoint; null before the first since the start.
    checkpoint_seq: Option<u64>,
}

pub(super) async fn key(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Result<Json<Key>, Problem> {
    asked_nothing(query)?;
    let anchor = shared.snapshot().0.upkeep.unwrap_or_default().anchor;
    Ok(Json(Key { key: anchor.key, checkpoint_seq: Some(anchor.written).filter(|seq| *seq > 0) }))
}
