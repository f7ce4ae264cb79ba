//! A reply that is not a success: its status, and the error document that Ops Manager and Atlas send with it.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::Deserialize;

use super::transport::Reply;
use crate::domain::retry_after;

/// The one error code of a 401 that speaks of the login itself, not of a role.
pub(super) const NO_CURRENT_USER: &str = "NO_CURRENT_USER";

/// What the server said instead of yes.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// None when the body was no error document of the manager's: a proxy spoke, or nobody.
    pub(super) document: Option<Document>,
    pub(super) retry_after_s: Option<u64>,
    /// Where a redirect points, without path and query.
    pub(super) redirect: Option<String>,
}

/// The error document: "Error Responses" in Ops Manager's API documents. Older servers leave out `errorCode` and
/// `parameters`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Document {
    error: Option<u16>,
    #[serde(rename = "errorCode")]
    error_code: Option<String>,
    reason: Option<String>,
    detail: Option<String>,
    #[serde(default)]
    parameters: Option<Vec<serde_json::Value>>,
}

impl Refusal {
    /// Reads a reply whose status is not 2xx.
    pub(super) fn of(reply: &Reply, now: Timestamp) -> Self {
        Self {
            status: reply.status,
            document: reply.body.as_deref().ok().and_then(|body| Document::read(reply.status, body)),
            retry_after_s: asked_wait(&reply.headers, now).map(|wait| wait.as_secs()),
            redirect: redirect(&reply.headers),
        }
    }

    /// Whether the document speaks of this very status, as the manager's own do.
    pub(super) fn names_its_status(&self) -> bool {
        self.document.as_ref().is_some_and(|document| document.error == Some(self.status))
    }

    /// The server's error code, where it gave one.
    pub(super) fn code(&self) -> Option<&str> {
        self.document.as_ref()?.code()
    }
}

impl Document {
    /// None unless the body is a document about this status: a proxy's JSON must not pass for the manager's word.
    pub(super) fn read(status: u16, body: &[u8]) -> Option<Self> {
        let document: Self = serde_json::from_slice(body).ok()?;
        (document.error == Some(status) || document.code().is_some()).then_some(document)
    }

    pub(super) fn code(&self) -> Option<&str> {
        self.error_code.as_deref().filter(|code| !code.is_empty())
    }

    /// The first of the values that the message speaks about.
    pub(super) fn parameter(&self) -> Option<&str> {
        self.parameters.as_ref()?.first()?.as_str()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.document.as_ref().and_then(|document| {
            document.detail.as_deref().or(document.reason.as_deref()).filter(|said| !said.trim().is_empty())
        });
        match (said, &self.redirect) {
            (Some(said), _) => f.write_str(said),
            (None, Some(place)) => write!(f, "redirected to {place}; redirects are not followed"),
            (None, None) if self.document.is_some() => f.write_str("the server gives no reason"),
            (None, None) => f.write_str("the reply is no error document; a proxy may have sent it"),
        }
    }
}

/// How long the server asks to be left alone, if it does.
pub(super) fn asked_wait(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?, now)
}

fn redirect(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(reqwest::header::LOCATION)?.to_str().ok()?;
    let place = match reqwest::Url::parse(text) {
        Ok(url) => url.origin().ascii_serialization(),
        Err(_) => "another path".to_owned(),
    };
    Some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_document_about_this_status_counts() {
        assert!(Document::read(503, br#"{"error":503,"reason":"Service Unavailable"}"#).is_some());
        assert!(Document::read(429, br#"{"errorCode":"RATE_LIMITED"}"#).is_some());
        for strange in ["{}", r#"{"error":500}"#, r#"{"error":"busy"}"#, "<html>", "", "[]", r#"{"errorCode":""}"#] {
            assert!(Document::read(503, strange.as_bytes()).is_none(), "{strange}");
        }
    }
}
