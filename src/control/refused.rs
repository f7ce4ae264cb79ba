//! Why an order was not taken, in words and as an HTTP status.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::ports::{JournalError, ReloadError};

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

impl From<ReloadError> for Refused {
    fn from(error: ReloadError) -> Self {
        match error {
            ReloadError::Invalid(words) | ReloadError::WantsRestart(words) => {
                Self(StatusCode::UNPROCESSABLE_ENTITY, words)
            }
            ReloadError::Unrecorded(error) => error.into(),
            ReloadError::Panicked => Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that is wrong has to be mended; a disk that is full may have room soon, and the same order may be given again.
    #[test]
    fn a_reload_is_refused_for_the_file_or_for_the_moment() {
        let status = |error: ReloadError| Refused::from(error).0;
        assert_eq!(status(ReloadError::Invalid("`evry` is not known".to_owned())), StatusCode::UNPROCESSABLE_ENTITY);
        let full = Refused::from(ReloadError::Unrecorded(JournalError::Full("no space".to_owned())));
        assert_eq!(full.0, StatusCode::SERVICE_UNAVAILABLE);
        assert!(full.1.contains("what cannot be recorded is not done") && full.1.contains("no space"), "{}", full.1);
        assert_eq!(status(ReloadError::Panicked), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
