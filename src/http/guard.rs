//! What holds for every request, whatever its route: which hosts and methods are answered, and the headers of every answer.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, Method, Version, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use super::router::Shared;

/// Set on every response. The policy forbids everything; a page that needs more says so itself.
const SECURITY_HEADERS: [(HeaderName, &str); 6] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Lets a request through if it only reads and was meant for this daemon.
pub(super) async fn guard(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let mut response = match check(&request, &shared.inputs.hosts) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

fn check(request: &Request, hosts: &[String]) -> Result<(), Problem> {
    let mut named = request.headers().get_all(header::HOST).iter();
    match (named.next(), named.next()) {
        (Some(host), None) => {
            let host = host.to_str().map_err(|_| Problem::bad_request("the Host header is not readable"))?;
            if !is_ours(host, hosts) {
                return Err(Problem::unknown_host(host));
            }
        }
        (Some(_), Some(_)) => return Err(Problem::bad_request("there is more than one Host header")),
        // No browser leaves it out, so nothing is gained by refusing the health checks that speak HTTP/1.0.
        (None, _) if request.version() == Version::HTTP_10 => {}
        (None, _) => return Err(Problem::bad_request("the Host header is missing")),
    }
    if let Some(authority) = request.uri().authority()
        && !is_ours(authority.as_str(), hosts)
    {
        return Err(Problem::unknown_host(authority.as_str()));
    }
    if *request.method() == Method::GET || *request.method() == Method::HEAD {
        Ok(())
    } else {
        Err(Problem::read_only())
    }
}

/// Whether a Host header may name this daemon. A web page that had its own name pointed at this machine (DNS rebinding)
/// sends that name; an address cannot be rebound.
fn is_ours(host: &str, hosts: &[String]) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if host.contains('@') {
        return false;
    }
    let name = authority.host().trim_end_matches('.');
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    address.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || hosts.iter().any(|ours| name.eq_ignore_ascii_case(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page on a name that an attacker points here must not read what is shown here.
    #[test]
    fn only_our_own_names_are_ours() {
        let hosts = ["rekeyd.example.com".to_owned()];
        for host in [
            "localhost",
            "LOCALHOST:9848",
            "localhost.",
            "127.0.0.1:9848",
            "[::1]:9848",
            "192.0.2.7:9848",
            "Rekeyd.Example.com:443",
        ] {
            assert!(is_ours(host, &hosts), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "rekeyd.example.com.evil.example",
            "localhost@evil.example",
            "evil@localhost",
            "",
            "a b",
            "[::1",
        ] {
            assert!(!is_ours(host, &hosts), "{host}");
        }
    }
}
