//! Reads an order from its request: what is ordered, by whom, and why, checked as the record needs it.

use axum::Json;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use super::refused::Refused;
use super::wire::Reasoned;
use crate::domain::Caller;

/// In characters. A ticket and a sentence, not a story.
const LONGEST_REASON: usize = 500;

/// An order with its caller and its reason.
pub(super) struct Order<T> {
    pub(super) by: Caller,
    /// One line.
    pub(super) reason: String,
    pub(super) order: T,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Order<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let caller = request.extensions().get::<Caller>().cloned().expect("the socket names whoever connects");
        let body = Json::<Reasoned<T>>::from_request(request, state).await;
        let Json(Reasoned { reason, login, order }) = body.map_err(IntoResponse::into_response)?;
        one_line(&reason, "the reason").map_err(IntoResponse::into_response)?;
        let by = with_login(caller, login).map_err(IntoResponse::into_response)?;
        Ok(Self { by, reason: reason.trim().to_owned(), order })
    }
}

/// Checks a text for the record: not empty, at most [`LONGEST_REASON`] characters, one line.
pub(super) fn one_line(text: &str, what: &str) -> Result<(), Refused> {
    if text.trim().is_empty() {
        Err(Refused::wrong(format!("{what} is missing")))
    } else if text.chars().count() > LONGEST_REASON {
        Err(Refused::wrong(format!("{what} is longer than {LONGEST_REASON} characters")))
    } else if text.chars().any(char::is_control) {
        Err(Refused::wrong(format!("{what} is not one line of plain text")))
    } else {
        Ok(())
    }
}

/// The caller, with the login name that the command reported.
pub(super) fn with_login(caller: Caller, login: Option<String>) -> Result<Caller, Refused> {
    if let Some(login) = &login {
        one_line(login, "the login")?;
    }
    Ok(Caller { login, ..caller })
}
