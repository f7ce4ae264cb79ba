//! What can go wrong at the far end, and what may be done about it. Sentences for people are made at the edges.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What went wrong, as one word for metrics, the ledger and advice.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Reason {
    /// No connection: the name, the port, the route.
    Unreachable,
    /// The TLS handshake failed, or a certificate did not hold.
    Tls,
    /// No reply within the request time-out.
    TimedOut,
    /// The connection ended before a whole reply had come.
    CutOff,
    /// 401 without an error code: the key pair is wrong.
    CredentialsRefused,
    /// 401 with an error code: the key lacks a role.
    RoleMissing,
    /// 403: the address the server saw is not on the key's access list.
    AddressRefused,
    /// 403 for another cause, or another 4xx.
    Refused,
    /// 404: the project, cluster or backup does not exist.
    NotFound,
    /// 409: not in this state.
    Conflict,
    /// 429.
    RateLimited,
    /// 5xx or 408.
    ServerError,
    /// A reply that could not be read: not JSON, too large, a field missing.
    Unreadable,
    /// The server says that another mechanism governs this target.
    NotThisWay,
    /// The server says that this target is not encrypted.
    NotEncrypted,
    /// The key had not changed when the deadline passed.
    Unchanged,
    /// We did not send it: when its turn had come it was not to leave any more.
    Withheld,
}

impl Reason {
    /// Every reason, in the order of their metric series.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The word that stands in the ledger and in the label `reason`.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether it may pass by itself: no waiting makes a key valid, or gives it a role.
    pub fn mends_itself(self) -> bool {
        !matches!(self, Self::CredentialsRefused | Self::AddressRefused | Self::RoleMissing)
    }
}

/// What a failure permits next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The server did not act; try again later.
    Transient,
    /// The server did not act and will not; wait for an operator.
    Permanent,
    /// The server may have acted; only a GET can tell.
    Ambiguous,
    /// The server says that this mechanism does not govern the target.
    NotThisWay,
}

/// How far a failure reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Only this target.
    Target,
    /// Every target of the manager: it is down, or it refuses the credential.
    Manager,
    /// Nobody there: we held the request back ourselves.
    Ourselves,
}

/// One thing that went wrong at the far end. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong.
    pub reason: Reason,
    /// What it permits next.
    pub verdict: Verdict,
    /// How far it reaches.
    pub scope: Scope,
    /// The HTTP status, where a reply came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The server's `errorCode`, where it gave one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// How long the server asked to be left alone, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
    /// What the server or the network said: one line, at most a few hundred characters.
    pub detail: String,
}

/// A failure that lasts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Trouble {
    /// Since when.
    pub since: Timestamp,
    /// What was recorded of it.
    pub failure: Failure,
}

impl Failure {
    /// One of which no reply tells more.
    pub fn new(reason: Reason, verdict: Verdict, scope: Scope, detail: impl Into<String>) -> Self {
        Self { reason, verdict, scope, status: None, code: None, retry_after_s: None, detail: detail.into() }
    }

    /// The same as one target's own trouble, where the manager lets others in with the same login. A login that is refused there
    /// may be the luck of one call, with servers behind one address that do not share what they know: it may be tried again.
    pub fn of_target(self) -> Self {
        let verdict = if self.reason == Reason::CredentialsRefused { Verdict::Transient } else { self.verdict };
        Self { scope: Scope::Target, verdict, ..self }
    }

    /// Whether a trouble that was told as `known` is another one by now: one that passes by itself where that needed a person, or
    /// the other way round. What else a failure says may change from one try to the next.
    pub fn is_news_after(&self, known: &Self) -> bool {
        let needs = |failure: &Self| (failure.verdict == Verdict::Permanent, failure.reason.mends_itself());
        needs(self) != needs(known)
    }

    /// How long the server asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after_s.map(Duration::from_secs)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.as_str())?;
        if let Some(status) = self.status {
            write!(f, ", HTTP {status}")?;
        }
        if let Some(code) = &self.code {
            write!(f, ", {code}")?;
        }
        // It stands inside of sentences. Some servers end their own, others do not.
        let detail = self.detail.trim_end_matches('.');
        if !detail.is_empty() {
            write!(f, ": {detail}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}
