//! `/api/v1/ledger/key`: the key that verifies the ledger's checkpoints.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;

use super::router::Shared;

/// What verifies a checkpoint, and how far checkpoints reach.
#[derive(Serialize)]
pub(super) struct Key {
    /// A verifier key in the form of C2SP's signed-note; null if no checkpoints are made.
    key: Option<String>,
    /// The record of the newest checkpoint; null before the first since the start.
    checkpoint_seq: Option<u64>,
}

pub(super) async fn key(State(shared): State<Arc<Shared>>) -> Json<Key> {
    let anchor = shared.snapshot().0.upkeep.unwrap_or_default().anchor;
    Json(Key { key: anchor.key, checkpoint_seq: Some(anchor.written).filter(|seq| *seq > 0) })
}
