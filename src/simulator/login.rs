//! The login of one request: the verdict, the count of it, and the 401.

use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};

use super::call::Call;
use super::fault::{Operation, Stage};
use super::gate::Login;
use super::payload::Payload;
use super::reply::{ApiError, Reply};
use super::respond::date;
use super::state::Shared;

/// As the documentation's sample of a 401 has it.
const JSON_LATIN: HeaderValue = HeaderValue::from_static("application/json;charset=ISO-8859-1");

/// `None`: come in. Otherwise the 401.
pub(super) fn log_in(shared: &Shared, call: &Call, head: &Parts) -> Option<Response<Payload>> {
    let authorization = head.headers.get(header::AUTHORIZATION);
    // What is not text is not an answer to our challenge either.
    let authorization = authorization.map(|value| value.to_str().unwrap_or_default());
    let uri = head.uri.path_and_query().map_or("/", |uri| uri.as_str());
    let stale_fault = authorization.is_some() && !call.strike(shared, Stage::Login).is_empty();

    let mut state = shared.state();
    let now = call.received;
    let verdict = state.gate.judge(head.method.as_str(), uri, authorization, now);
    let verdict = if state.wrong_password && verdict != Login::Missing {
        Login::Bad
    } else if stale_fault && verdict == Login::Accepted {
        Login::Stale
    } else {
        verdict
    };
    let counts = &mut state.counts;
    let counter = match verdict {
        Login::Accepted => match call.operation() {
            Operation::Get => &mut counts.key_gets,
            Operation::Put => &mut counts.key_puts,
            Operation::List => &mut counts.lists,
        },
        Login::Missing => &mut counts.unauthenticated,
        Login::Stale => &mut counts.stale,
        Login::CountRefused => &mut counts.count_refused,
        Login::Bad => &mut counts.bad_logins,
    };
    *counter += 1;
    if verdict == Login::Accepted {
        return None;
    }
    let challenges = state.gate.challenge(verdict == Login::Stale, now);
    drop(state);

    let reply = Reply::from(ApiError::bad_credentials());
    let query = call.query.as_ref().copied().unwrap_or_default();
    let mut response = Response::new(Payload::whole(reply.bytes(&query)));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    for challenge in challenges {
        let value = HeaderValue::try_from(challenge);
        let value = value.expect("the realm was tried out at the start");
        headers.append(header::WWW_AUTHENTICATE, value);
    }
    headers.insert(header::CONTENT_TYPE, JSON_LATIN);
    date(shared, headers);
    Some(response)
}
