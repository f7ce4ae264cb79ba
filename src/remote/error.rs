//! What can go wrong on the way to a manager and back. What may be done about it is decided in `verdict`.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use rustls::CertificateError;

use super::refusal::Refusal;

/// One call that brought no usable answer. Holds no secret and no body.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Nothing was sent: no name, no route, nobody listening, no connection in time.
    #[error("no connection")]
    Unreachable(#[source] reqwest::Error),
    /// Nothing was sent: the turn did not come in time.
    #[error("no turn to send within {}: the server asks to be left alone, or requests queue up", seconds(*.0))]
    NoTurn(Duration),
    /// Nothing was sent, or nothing but a question for a challenge: this forbade it when its turn had come.
    #[error("not sent: {0}")]
    Withheld(String),
    /// TLS failed before any request could reach the server.
    #[error("TLS handshake")]
    Handshake(#[source] reqwest::Error),
    /// TLS failed on a connection that stood. With TLS 1.3 also a server that refuses our certificate is met here, since the
    /// client counts the handshake as done by then; nothing tells that from an alert after earlier requests.
    #[error("TLS")]
    Tls(#[source] reqwest::Error),
    /// The call's time was over.
    #[error("no complete reply within {}", seconds(*.0))]
    TimedOut(Duration),
    /// The pages of a listing go on for too long.
    #[error("the listing did not end within {}", seconds(*.0))]
    SlowListing(Duration),
    /// The connection ended before the whole reply was there.
    #[error("no whole reply")]
    CutOff(#[source] reqwest::Error),
    /// A whole reply came, but not one to work with.
    #[error("{unreadable}")]
    Unreadable {
        /// Its HTTP status.
        status: u16,
        /// What is wrong with it.
        unreadable: Unreadable,
    },
    /// The server asks for another login than ours.
    #[error("the server offers no Digest challenge that can be answered (offered: {})", or_nothing(.0))]
    NotDigest(String),
    /// The server gives one challenge after another and takes the answer to none.
    #[error("the server calls each of its nonces stale, the newest too")]
    Stale,
    /// The server's challenge, or our public key, holds what no header can carry.
    #[error("the answer to the server's Digest challenge does not fit into a header")]
    Unanswerable,
    /// The server said no.
    #[error("{0}")]
    Refused(Refusal),
}

/// What is wrong with a reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the reply is longer than {0} bytes")]
    TooLong(usize),
    #[error("the reply is not the expected JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    #[error("the reply names no key")]
    NoKey,
    #[error("the reply names a key whose id is {0}")]
    StrangeKey(&'static str),
    #[error("the listing has no results field")]
    NoResults,
    #[error("the listing holds no entry with a usable id")]
    NoId,
    #[error("the listing holds {}; the rest was read", entries(*.0))]
    OddEntries(usize),
    #[error("the listing says that it has {promised} entries, and has {read}; all of these were read")]
    Miscounted { promised: u64, read: u64 },
    #[error("the listing is longer than {0} entries")]
    TooManyEntries(usize),
    #[error("the listing is longer than {0} bytes")]
    TooManyBytes(usize),
    #[error("page {0} of the listing repeats earlier pages")]
    PageRepeats(u32),
    #[error("the listing does not end within {0} pages")]
    TooManyPages(u32),
}

impl Error {
    /// Sorts what reqwest reports. `limit` is the time that the call had.
    pub(super) fn network(error: reqwest::Error, limit: Duration) -> Self {
        let error = error.without_url();
        match tls_error(&error) {
            Some(_) if error.is_connect() => Self::Handshake(error),
            None if error.is_connect() || error.is_builder() => Self::Unreachable(error),
            _ if error.is_timeout() => Self::TimedOut(limit),
            Some(_) => Self::Tls(error),
            None => Self::CutOff(error),
        }
    }

    /// This error and everything beneath it on one line, without repetitions.
    pub(super) fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            if let Some(validity) = error.downcast_ref::<io::Error>().and_then(|error| validity(error)) {
                return format!("{line}: {validity}");
            }
            let text = error.to_string();
            if !is_stage(&text) && !line.contains(&text) {
                line.push_str(": ");
                line.push_str(&text);
            }
            cause = error.source();
        }
        line
    }
}

/// How reqwest and hyper name the stage that they were in; the first words of an error have already told it.
fn is_stage(text: &str) -> bool {
    let stages = ["error sending request", "error decoding response body", "request or response body error"];
    stages.contains(&text) || text.starts_with("client error (")
}

/// When the server's certificate is or was valid, if that is the trouble: rustls gives it in seconds since 1970.
fn validity(error: &(dyn StdError + 'static)) -> Option<String> {
    let rustls::Error::InvalidCertificate(trouble) = tls_error(error)? else { return None };
    let date = |time: &rustls::pki_types::UnixTime| {
        i64::try_from(time.as_secs()).ok().and_then(|seconds| Timestamp::from_second(seconds).ok())
    };
    if let CertificateError::ExpiredContext { not_after, .. } = trouble {
        Some(format!("the server's certificate expired at {}", date(not_after)?))
    } else if let CertificateError::NotValidYetContext { not_before, .. } = trouble {
        Some(format!("the server's certificate is not valid before {}", date(not_before)?))
    } else {
        None
    }
}

/// The TLS error in a chain. `io::Error` hides what it wraps from `source`, so it is opened by hand.
fn tls_error<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(tls);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn seconds(length: Duration) -> impl fmt::Display {
    format!("{} s", length.as_secs_f64())
}

fn entries(odd: usize) -> String {
    format!("{odd} {} without a usable id", if odd == 1 { "entry" } else { "entries" })
}

fn or_nothing(schemes: &str) -> &str {
    if schemes.is_empty() { "nothing" } else { schemes }
}
