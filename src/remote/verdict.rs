//! From an error to what it permits: the one place that decides whether a request may have acted, and how far that reaches.
//!
//! One reply tells little of the whole manager. These do: no connection, no TLS, a refused login, and a page without the
//! manager's own document that says 4xx, 502, 503 or 504, which comes from something in front of it. Everything else, a
//! time-out and a cut connection among them, may be one target's trouble and is taken for that; that many targets fail
//! at once is for the engine to see.

use crate::domain::{Failure, Reason, Scope, Verdict};
use crate::ports::Operation;

use super::error::Error;
use super::refusal::{NO_CURRENT_USER, Refusal};

/// Characters of detail that are kept.
const LONGEST_DETAIL: usize = 300;
/// Characters of an error code that are kept; the longest known one has 46.
const LONGEST_CODE: usize = 80;

/// What a failed call means for the engine.
pub(super) fn failure(error: &Error, operation: Operation) -> Failure {
    let uncertain = uncertain(operation);
    let (reason, verdict, scope) = match error {
        Error::Unreachable(_) => (Reason::Unreachable, Verdict::Transient, Scope::Manager),
        Error::NoTurn(_) => (Reason::RateLimited, Verdict::Transient, Scope::Target),
        Error::Withheld(_) => (Reason::Withheld, Verdict::Transient, Scope::Ourselves),
        // Nothing was sent, and a certificate is renewed by somebody else: the next try may well succeed without us.
        Error::Handshake(_) => (Reason::Tls, Verdict::Transient, Scope::Manager),
        Error::Tls(_) => (Reason::Tls, uncertain, Scope::Manager),
        Error::TimedOut(_) | Error::SlowListing(_) => (Reason::TimedOut, uncertain, Scope::Target),
        Error::CutOff(_) => (Reason::CutOff, uncertain, Scope::Target),
        Error::Unreadable { .. } => (Reason::Unreadable, uncertain, Scope::Target),
        Error::NotDigest(_) => (Reason::CredentialsRefused, Verdict::Permanent, Scope::Manager),
        // Of the key pair it did not speak, and nobody is let in without one.
        Error::Stale => (Reason::Unreadable, Verdict::Transient, Scope::Target),
        // The challenge can not be worked with; what it was asked for has not left.
        Error::Unanswerable => (Reason::Unreadable, Verdict::Permanent, Scope::Manager),
        Error::Refused(refusal) if refusal.document.is_none() => wordless(refusal.status, operation),
        Error::Refused(refusal) => refused(refusal, uncertain),
    };
    let (status, code, retry_after_s) = match error {
        Error::Refused(refusal) => {
            (Some(refusal.status), refusal.code().map(|code| one_line(code, LONGEST_CODE)), refusal.retry_after_s)
        }
        Error::Unreadable { status, .. } => (Some(*status), None, None),
        Error::NotDigest(_) | Error::Stale | Error::Unanswerable => (Some(401), None, None),
        Error::NoTurn(_)
        | Error::Withheld(_)
        | Error::Unreachable(_)
        | Error::Handshake(_)
        | Error::Tls(_)
        | Error::TimedOut(_)
        | Error::SlowListing(_)
        | Error::CutOff(_) => (None, None, None),
    };
    let detail = one_line(&detail(error, reason), LONGEST_DETAIL);
    Failure { reason, verdict, scope, status, code, retry_after_s, detail }
}

/// The verdict when the server may have got the request and nothing says that it did not act: reading does no harm and
/// can be repeated, a rotation must be looked for first.
fn uncertain(operation: Operation) -> Verdict {
    match operation {
        Operation::List | Operation::GetKey => Verdict::Transient,
        Operation::RotateKey => Verdict::Ambiguous,
    }
}

/// What a status comes to without the manager's own document. Whoever sent it, it does not show what became of the request.
fn wordless(status: u16, operation: Operation) -> (Reason, Verdict, Scope) {
    let uncertain = uncertain(operation);
    // A listing is one project's, whose size may be all the trouble; how the manager is, the list of projects shows.
    let in_front = match operation {
        Operation::List => Scope::Target,
        Operation::GetKey | Operation::RotateKey => Scope::Manager,
    };
    match status {
        // Digest (RFC 7616) knows no document.
        401 => (Reason::CredentialsRefused, Verdict::Permanent, Scope::Manager),
        408 | 502..=504 => (Reason::ServerError, uncertain, in_front),
        429 => (Reason::RateLimited, uncertain, in_front),
        500..=599 => (Reason::ServerError, uncertain, Scope::Target),
        _ => (Reason::Unreadable, uncertain, in_front),
    }
}

/// What a refusal comes to whose document is the manager's own word.
fn refused(refusal: &Refusal, uncertain: Verdict) -> (Reason, Verdict, Scope) {
    match (refusal.status, refusal.code()) {
        // Seen on real servers but documented nowhere, nor is their status.
        (_, Some("GET_ENCRYPTION_KEY_DISABLED_FOR_WT_CHECKPOINTS")) => {
            (Reason::NotThisWay, Verdict::NotThisWay, Scope::Target)
        }
        (_, Some("CANNOT_ROTATE_KEY_ENCRYPTION_DISABLED")) => {
            (Reason::NotEncrypted, Verdict::NotThisWay, Scope::Target)
        }
        (401, None | Some(NO_CURRENT_USER)) => (Reason::CredentialsRefused, Verdict::Permanent, Scope::Manager),
        (401, Some(_)) => (Reason::RoleMissing, Verdict::Permanent, Scope::Target),
        (403, Some("IP_ADDRESS_NOT_ON_ACCESS_LIST" | "IP_ADDRESS_NOT_ON_WHITELIST")) => {
            (Reason::AddressRefused, Verdict::Permanent, Scope::Manager)
        }
        (404, _) => (Reason::NotFound, Verdict::Permanent, Scope::Target),
        (408, _) => (Reason::ServerError, uncertain, Scope::Target),
        (409, _) => (Reason::Conflict, Verdict::Transient, Scope::Target),
        // The manager's document names the status: the request was turned away. A gateway's error code alone proves nothing.
        (429, _) if refusal.names_its_status() => (Reason::RateLimited, Verdict::Transient, Scope::Target),
        (503, _) if refusal.names_its_status() => (Reason::ServerError, Verdict::Transient, Scope::Target),
        (429, _) => (Reason::RateLimited, uncertain, Scope::Target),
        (400..=499, _) => (Reason::Refused, Verdict::Permanent, Scope::Target),
        (500..=599, _) => (Reason::ServerError, uncertain, Scope::Target),
        _ => (Reason::Unreadable, uncertain, Scope::Target),
    }
}

fn detail(error: &Error, reason: Reason) -> String {
    match (error, reason) {
        (Error::Refused(refusal), Reason::AddressRefused) => {
            let address = refusal.document.as_ref().and_then(|document| document.parameter());
            address.map_or_else(|| refusal.to_string(), |seen| format!("the server saw the address {seen}: {refusal}"))
        }
        _ => error.chain(),
    }
}

/// The text without line breaks and other control characters, cut to so many characters.
fn one_line(text: &str, longest: usize) -> String {
    let line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::refusal::Document;

    fn refusal(status: u16, body: &str) -> Error {
        let document = Document::read(status, body.as_bytes());
        Error::Refused(Refusal { status, document, retry_after_s: None, redirect: None })
    }

    /// Statuses and codes as the page "Ops Manager Public API Error Codes" pairs them, and what a rotation that meets
    /// them permits. A dash stands for a reply without the manager's own document.
    #[test]
    fn every_refusal_has_its_verdict() {
        use Scope::{Manager, Target};
        use Verdict::{Ambiguous, NotThisWay, Permanent, Transient};
        for (status, code, reason, verdict, scope) in [
            (400, "INVALID_ATTRIBUTE", Reason::Refused, Permanent, Target),
            (401, "", Reason::CredentialsRefused, Permanent, Manager),
            (401, "-", Reason::CredentialsRefused, Permanent, Manager),
            (401, "NO_CURRENT_USER", Reason::CredentialsRefused, Permanent, Manager),
            (401, "USER_UNAUTHORIZED", Reason::RoleMissing, Permanent, Target),
            (401, "NOT_IN_GROUP", Reason::RoleMissing, Permanent, Target),
            (403, "IP_ADDRESS_NOT_ON_ACCESS_LIST", Reason::AddressRefused, Permanent, Manager),
            (403, "FEATURE_UNSUPPORTED", Reason::Refused, Permanent, Target),
            (404, "BACKUP_CONFIG_NOT_FOUND", Reason::NotFound, Permanent, Target),
            (403, "-", Reason::Unreadable, Ambiguous, Manager),
            (404, "-", Reason::Unreadable, Ambiguous, Manager),
            (405, "-", Reason::Unreadable, Ambiguous, Manager),
            (405, "", Reason::Refused, Permanent, Target),
            (408, "-", Reason::ServerError, Ambiguous, Manager),
            (408, "", Reason::ServerError, Ambiguous, Target),
            (409, "CANNOT_GET_BACKUP_CONFIG_INVALID_STATE", Reason::Conflict, Transient, Target),
            (409, "-", Reason::Unreadable, Ambiguous, Manager),
            (429, "RATE_LIMITED", Reason::RateLimited, Transient, Target),
            (429, "-", Reason::RateLimited, Ambiguous, Manager),
            (500, "UNEXPECTED_ERROR", Reason::ServerError, Ambiguous, Target),
            (503, "", Reason::ServerError, Transient, Target),
            (500, "-", Reason::ServerError, Ambiguous, Target),
            (502, "-", Reason::ServerError, Ambiguous, Manager),
            (503, "-", Reason::ServerError, Ambiguous, Manager),
            (504, "-", Reason::ServerError, Ambiguous, Manager),
            (504, "", Reason::ServerError, Ambiguous, Target),
            (302, "-", Reason::Unreadable, Ambiguous, Manager),
            // The status of these two is documented nowhere.
            (400, "GET_ENCRYPTION_KEY_DISABLED_FOR_WT_CHECKPOINTS", Reason::NotThisWay, NotThisWay, Target),
            (500, "GET_ENCRYPTION_KEY_DISABLED_FOR_WT_CHECKPOINTS", Reason::NotThisWay, NotThisWay, Target),
            (409, "CANNOT_ROTATE_KEY_ENCRYPTION_DISABLED", Reason::NotEncrypted, NotThisWay, Target),
        ] {
            let body = match code {
                "-" => "<html>".to_owned(),
                "" => format!(r#"{{"error":{status},"reason":"r"}}"#),
                code => format!(r#"{{"error":{status},"errorCode":"{code}"}}"#),
            };
            let put = failure(&refusal(status, &body), Operation::RotateKey);
            assert_eq!((put.reason, put.verdict, put.scope), (reason, verdict, scope), "{status} {code}");
            assert_eq!(put.status, Some(status));
            // Reading never leaves anything uncertain.
            for operation in [Operation::GetKey, Operation::List] {
                let get = failure(&refusal(status, &body), operation);
                let expected = if verdict == Ambiguous { Transient } else { verdict };
                assert_eq!((get.reason, get.verdict), (reason, expected), "{status} {code}");
            }
        }
    }

    /// Servers behind one address that do not share their nonces say so now and then: nobody's key pair is wrong for it.
    #[test]
    fn nonces_that_are_stale_at_once_are_no_refused_login() {
        for operation in [Operation::List, Operation::GetKey, Operation::RotateKey] {
            let Failure { reason, verdict, scope, status, .. } = failure(&Error::Stale, operation);
            assert_eq!((reason, verdict, scope), (Reason::Unreadable, Verdict::Transient, Scope::Target));
            assert_eq!(status, Some(401));
        }
    }

    #[test]
    fn a_refused_address_is_shown_as_the_server_saw_it() {
        let body = r#"{"error":403,"errorCode":"IP_ADDRESS_NOT_ON_ACCESS_LIST","reason":"Forbidden",
            "detail":"This resource requires access through an access list.","parameters":["203.0.113.9"]}"#;
        let failure = failure(&refusal(403, body), Operation::GetKey);
        assert!(failure.detail.starts_with("the server saw the address 203.0.113.9: This resource"), "{failure}");
    }

    #[test]
    fn what_a_server_says_is_kept_to_one_short_line() {
        let body =
            format!(r#"{{"error":400,"errorCode":"{0}\n{0}","detail":"a\u001b[31m\n\tb {0}"}}"#, "x".repeat(400));
        let failure = failure(&refusal(400, &body), Operation::GetKey);
        assert!(failure.detail.starts_with("a [31m b xxx") && failure.detail.ends_with('…'), "{failure}");
        assert_eq!(failure.detail.chars().count(), LONGEST_DETAIL + 1);
        assert_eq!(failure.code.map(|code| code.chars().count()), Some(LONGEST_CODE + 1));
    }
}
