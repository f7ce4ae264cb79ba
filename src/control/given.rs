//! An order as it arrives: what is wanted, and everything that the record wants of it.

use axum::Json;
use axum::extract::{FromRequest, Request};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;

use super::refused::Refused;
use super::wire::Reasoned;
use crate::domain::Caller;

/// In characters. A ticket and a sentence, not a story.
const LONGEST_REASON: usize = 500;

/// An order that says what is to be done, why, and by whose word.
pub(super) struct Given<T> {
    pub(super) by: Caller,
    /// One line, not empty.
    pub(super) reason: String,
    pub(super) order: T,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Given<T> {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let caller = request.extensions().get::<Caller>().cloned().expect("the socket names whoever connects");
        let body = Json::<Reasoned<T>>::from_request(request, state).await;
        let Json(Reasoned { reason, login, order }) = body.map_err(IntoResponse::into_response)?;
        plain(&reason, "the reason").map_err(IntoResponse::into_response)?;
        let by = behind(caller, login).map_err(IntoResponse::into_response)?;
        Ok(Self { by, reason: reason.trim().to_owned(), order })
    }
}

/// What goes on record in somebody's words is there, short, and of one line.
pub(super) fn plain(text: &str, what: &str) -> Result<(), Refused> {
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

/// The caller with the one who, by the command's own account, logged in.
pub(super) fn behind(caller: Caller, login: Option<String>) -> Result<Caller, Refused> {
    if let Some(login) = &login {
        plain(login, "the login")?;
    }
    Ok(Caller { login, ..caller })
}
