//! From an error to what it permits: the one place that decides whether a request may have acted.

use crate::domain::{Failure, Reason, Scope, Verdict};
use crate::ports::Operation;

use super::error::Error;
use super::refusal::Refusal;

/// Characters of detail that are kept.
const LONGEST_DETAIL: usize = 300;
/// Characters of an error code that are kept; the longest known one has 46.
const LONGEST_CODE: usize = 80;

/// What a failed call means for the engine.
pub(super) fn failure(error: &Error, operation: Operation) -> Failure {
    let uncertain = uncertain(operation);
    let (reason, verdict, scope) = match error {
        Error::Unreachable(_) => (Reason::Unreachable, Verdict::Transient, Scope::Manager),
        // Nothing was sent, and a certificate is renewed by somebody else: the next try may well succeed without us.
        Error::Handshake(_) => (Reason::Tls, Verdict::Transient, Scope::Manager),
        Error::Tls(_) => (Reason::Tls, uncertain, Scope::Manager),
        Error::TimedOut(_) => (Reason::TimedOut, uncertain, Scope::Target),
        Error::CutOff(_) => (Reason::CutOff, uncertain, Scope::Target),
        Error::Unreadable { .. } => (Reason::Unreadable, uncertain, Scope::Target),
        Error::NotDigest(_) => (Reason::CredentialsRefused, Verdict::Permanent, Scope::Manager),
        Error::Refused(refusal) => refused(refusal, uncertain),
    };
    let (status, code, retry_after_s) = match error {
        Error::Refused(refusal) => {
            (Some(refusal.status), refusal.code().map(|code| one_line(code, LONGEST_CODE)), refusal.retry_after_s)
        }
        Error::Unreadable { status, .. } => (Some(*status), None, None),
        Error::NotDigest(_) => (Some(401), None, None),
        Error::Unreachable(_) | Error::Handshake(_) | Error::Tls(_) | Error::TimedOut(_) | Error::CutOff(_) => {
            (None, None, None)
        }
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

fn refused(refusal: &Refusal, uncertain: Verdict) -> (Reason, Verdict, Scope) {
    // A well-formed document is the manager's own word that it turned the request away.
    let turned_away = if refusal.document.is_some() { Verdict::Transient } else { uncertain };
    match (refusal.status, refusal.code()) {
        // Seen on real servers but documented nowhere, nor is their status.
        (_, Some("GET_ENCRYPTION_KEY_DISABLED_FOR_WT_CHECKPOINTS")) => {
            (Reason::NotThisWay, Verdict::NotThisWay, Scope::Target)
        }
        (_, Some("CANNOT_ROTATE_KEY_ENCRYPTION_DISABLED")) => {
            (Reason::NotEncrypted, Verdict::NotThisWay, Scope::Target)
        }
        (401, None | Some("NO_CURRENT_USER")) => (Reason::CredentialsRefused, Verdict::Permanent, Scope::Manager),
        (401, Some(_)) => (Reason::RoleMissing, Verdict::Permanent, Scope::Target),
        (403, Some("IP_ADDRESS_NOT_ON_ACCESS_LIST" | "IP_ADDRESS_NOT_ON_WHITELIST")) => {
            (Reason::AddressRefused, Verdict::Permanent, Scope::Manager)
        }
        (404, _) => (Reason::NotFound, Verdict::Permanent, Scope::Target),
        (408, _) => (Reason::ServerError, uncertain, Scope::Target),
        (409, _) => (Reason::Conflict, Verdict::Transient, Scope::Target),
        (429, _) => (Reason::RateLimited, turned_away, Scope::Target),
        (400..=499, _) => (Reason::Refused, Verdict::Permanent, Scope::Target),
        (503, _) => (Reason::ServerError, turned_away, Scope::Target),
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
