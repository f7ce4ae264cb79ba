//! From replies to HTTP: statuses, and the headers that a real server sends.

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};

use super::clock;
use super::payload::Payload;
use super::reply::{ApiError, Query, Reply};
use super::state::Shared;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const HTML: HeaderValue = HeaderValue::from_static("text/html");

pub(super) fn respond(shared: &Shared, query: &Query, reply: &Reply) -> Response<Payload> {
    respond_with(shared, reply, Payload::whole(reply.bytes(query)))
}

/// A reply of Ops Manager itself, with the headers that all of them carry.
pub(super) fn respond_with(shared: &Shared, reply: &Reply, payload: Payload) -> Response<Payload> {
    let mut response = Response::new(payload);
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    date(shared, headers);
    let hsts = HeaderValue::from_static("max-age=300");
    headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts);
    let version = shared.settings.service_version.clone();
    headers.insert("x-mongodb-service-version", version);
    if let Some(seconds) = reply.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The date by the server's own clock (RFC 9110 §5.6.7).
pub(super) fn date(shared: &Shared, headers: &mut HeaderMap) {
    let now = clock::now() + shared.settings.clock_ahead;
    if let Ok(date) = HeaderValue::try_from(now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()) {
        headers.insert(header::DATE, date);
    }
}

/// A reply of something in between, which knows nothing of the API.
pub(super) fn page(status: StatusCode) -> Response<Payload> {
    let text = format!("<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\n");
    let mut response = Response::new(Payload::whole(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HTML);
    response
}

pub(super) fn unexpected() -> Reply {
    let (status, code) = (StatusCode::INTERNAL_SERVER_ERROR, "UNEXPECTED_ERROR");
    ApiError::new(status, code, "An unexpected error occurred.").into()
}
