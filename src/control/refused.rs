//! Why an order was not taken, in words and as an HTTP status.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::ports::JournalError;

/// Why an order was not taken.
#[derive(Debug)]
pub(super) struct Refused(pub(super) StatusCode, pub(super) String);

impl Refused {
    pub(super) fn wrong(words: impl Into<String>) -> Self {
        Self(StatusCode::BAD_REQUEST, words.into())
    }

    pub(super) fn conflict(words: impl Into<String>) -> Self {
        Self(StatusCode::CONFLICT, words.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(serde_json::json!({ "error": self.1 }))).into_response()
    }
}

impl From<JournalError> for Refused {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::Impossible(_) => {
                Self::conflict(format!("things have changed meanwhile, ask again ({error})"))
            }
            JournalError::Full(_) | JournalError::ReadOnly(_) | JournalError::Io(_) | JournalError::Closed => {
                let words = format!("the order cannot be recorded, and what cannot be recorded is not done: {error}");
                Self(StatusCode::SERVICE_UNAVAILABLE, words)
            }
        }
    }
}
