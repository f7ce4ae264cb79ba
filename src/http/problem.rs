//! Errors as `application/problem+json` (RFC 9457).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Why a request was not answered.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    pub(super) fn bad_request(detail: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, detail: detail.to_owned() }
    }

    pub(super) fn not_found() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            detail: "there is nothing at this path; / lists what there is".to_owned(),
        }
    }

    /// There is nothing that fits what was asked for: more often than not it was mistyped.
    pub(super) fn fits_nothing(detail: String) -> Self {
        Self { status: StatusCode::NOT_FOUND, detail }
    }

    pub(super) fn read_only() -> Self {
        let detail = "this listener only shows; nothing that is asked here changes anything".to_owned();
        Self { status: StatusCode::METHOD_NOT_ALLOWED, detail }
    }

    pub(super) fn unknown_host(host: &str) -> Self {
        let detail =
            format!("this daemon is not called {host:?}; ask by address, or add the name to its configuration");
        Self { status: StatusCode::MISDIRECTED_REQUEST, detail }
    }

    pub(super) fn unknown_user() -> Self {
        let detail = "this daemon answers its users only: ask with a name and a password of its web configuration";
        Self { status: StatusCode::UNAUTHORIZED, detail: detail.to_owned() }
    }

    pub(super) fn too_many() -> Self {
        let detail = "more requests than the web configuration allows; ask again later";
        Self { status: StatusCode::TOO_MANY_REQUESTS, detail: detail.to_owned() }
    }

    pub(super) fn internal() -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, detail: "the log says why".to_owned() }
    }
}

/// Refuses what is asked of a route that has nothing to choose from: to pass over it would give everybody's answer for one's own.
pub(super) fn asked_nothing(query: Option<String>) -> Result<(), Problem> {
    match query.filter(|query| !query.is_empty()) {
        None => Ok(()),
        Some(_) => Err(Problem::bad_request("this route takes no parameters")),
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        let media_type = [(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))];
        let mut response = (self.status, media_type, body.to_string()).into_response();
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}
