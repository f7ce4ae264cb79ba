//! What can go wrong on the far end, and the short text in which it is asked for.
//!
//! ```text
//! KIND[=VALUE][@SCOPE][:TARGET][:AMOUNT]
//!
//! cut-after                   every PUT of every target
//! cut-after:0.1               one in ten of them
//! hang:ledger-*:1             the first request for each key of ledger's members, once in all
//! slow@get=2s:billing/*:50%   half of the GETs of that project
//! rate-limited=30:0.2x5       one in five, five times at most
//! ```
//!
//! When a fault strikes is decided in `board`; what it does, in `server` and `world`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use wildmatch::WildMatch;

/// One thing that goes wrong, where, and how often. Read from text by [`str::parse`], written back by `to_string`.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// What goes wrong.
    pub kind: FaultKind,
    /// At which requests.
    pub scope: Scope,
    /// A glob over a target's id, its replica set, its cluster, and `project/cluster/replica-set`.
    pub target: String,
    /// How often.
    pub amount: Amount,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The connection is dropped before the login is even looked at.
    Refuse,
    /// The login is right, and is answered with a new challenge and `stale=true`, every time.
    StaleNonce,
    /// Someone else rotates the key just before the request is dealt with.
    Foreign,
    /// The key falls back to an earlier one just before the request is dealt with.
    Regression,
    /// The request is dealt with, and answered, only after this time; even when the client has gone by then.
    Slow(Duration),
    /// Never answered, nothing done.
    Hang,
    /// The connection is dropped, nothing done.
    CutBefore,
    /// 500, nothing done.
    ErrorBefore,
    /// 503 with an error document, nothing done.
    Unavailable,
    /// 503 with a page of HTML from something in between, nothing done.
    UnavailablePage,
    /// 429, nothing done.
    RateLimited {
        /// In seconds, for the `Retry-After` header; without one there is no such header.
        retry_after: Option<u32>,
    },
    /// 401 `USER_UNAUTHORIZED`: the key lacks the role.
    WrongRole,
    /// 403 `IP_ADDRESS_NOT_ON_ACCESS_LIST`.
    AddressRefused,
    /// 404 `CLUSTER_NOT_FOUND`.
    Vanished,
    /// 409 `CANNOT_GET_BACKUP_CONFIG_INVALID_STATE`.
    Conflict,
    /// The PUT is answered like any other and the key stays as it was.
    NeverChanges,
    /// Done, never answered.
    HangAfter,
    /// Done, then the connection is dropped without a byte of reply.
    CutAfter,
    /// Done, then the connection is dropped in the middle of the reply.
    CutBody,
    /// Done, answered 500.
    ErrorAfter,
    /// Done, answered with the right status and broken JSON.
    Malformed,
    /// Done, answered 502 with a page of HTML from something in between.
    GatewayPage,
    /// Done, answered with a body of 256 MiB.
    HugeBody,
    /// The GET is answered without `encryptionKeyUUID`.
    NoKey,
}

/// At which requests a fault can strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// GET and PUT of `encryptionKey`.
    Key,
    /// GET of `encryptionKey`.
    Get,
    /// PUT of `encryptionKey`.
    Put,
    /// Everything else: the root resource, projects, clusters, backup configurations.
    List,
    /// Every request.
    Any,
}

/// How often a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Amount {
    /// The probability of each strike, from 0 to 1.
    pub probability: f64,
    /// At most this many strikes, over all targets together.
    pub times: Option<u32>,
}

impl Amount {
    /// Every time.
    pub const ALWAYS: Self = Self {
        probability: 1.0,
        times: None,
    };
}

/// What the request is for, as faults see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Operation {
    Get,
    Put,
    List,
}

/// The moment at which a fault makes its difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before the login is looked at.
    Arrival,
    /// At the login.
    Login,
    /// After the login, before anything is done.
    Before,
    /// In what is done.
    Act,
    /// In the reply.
    After,
}

/// Every fault: its name, and what it does in a few words. The list that error messages and help texts show.
pub const KNOWN_FAULTS: &[(&str, &str)] = &[
    ("refuse", "drops the connection before the login"),
    ("stale-nonce", "answers every login with stale=true"),
    ("foreign", "someone else rotates the key first"),
    ("regression", "the key falls back to an earlier one first"),
    ("slow", "works and answers late: slow=2s (default 1s)"),
    ("hang", "never answers, does nothing"),
    ("cut-before", "drops the connection, does nothing"),
    ("error-before", "500, does nothing"),
    ("unavailable", "503 with an error document, does nothing"),
    ("unavailable-page", "503 with a page of HTML, does nothing"),
    (
        "rate-limited",
        "429, does nothing; rate-limited=30 adds Retry-After in seconds",
    ),
    ("wrong-role", "401 USER_UNAUTHORIZED"),
    ("address-refused", "403 IP_ADDRESS_NOT_ON_ACCESS_LIST"),
    ("vanished", "404 CLUSTER_NOT_FOUND"),
    ("conflict", "409 CANNOT_GET_BACKUP_CONFIG_INVALID_STATE"),
    ("never-changes", "a PUT succeeds and changes nothing"),
    ("hang-after", "acts, never answers"),
    ("cut-after", "acts, drops the connection"),
    (
        "cut-body",
        "acts, drops the connection in the middle of the reply",
    ),
    ("error-after", "acts, answers 500"),
    ("malformed", "acts, answers broken JSON"),
    ("gateway-page", "acts, answers 502 with a page of HTML"),
    ("huge", "acts, answers 256 MiB"),
    ("no-key", "a GET names no key"),
];

impl FaultKind {
    /// The name in texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::StaleNonce => "stale-nonce",
            Self::Foreign => "foreign",
            Self::Regression => "regression",
            Self::Slow(_) => "slow",
            Self::Hang => "hang",
            Self::CutBefore => "cut-before",
            Self::ErrorBefore => "error-before",
            Self::Unavailable => "unavailable",
            Self::UnavailablePage => "unavailable-page",
            Self::RateLimited { .. } => "rate-limited",
            Self::WrongRole => "wrong-role",
            Self::AddressRefused => "address-refused",
            Self::Vanished => "vanished",
            Self::Conflict => "conflict",
            Self::NeverChanges => "never-changes",
            Self::HangAfter => "hang-after",
            Self::CutAfter => "cut-after",
            Self::CutBody => "cut-body",
            Self::ErrorAfter => "error-after",
            Self::Malformed => "malformed",
            Self::GatewayPage => "gateway-page",
            Self::HugeBody => "huge",
            Self::NoKey => "no-key",
        }
    }

    pub(super) fn stage(self) -> Stage {
        match self {
            Self::Refuse => Stage::Arrival,
            Self::StaleNonce => Stage::Login,
            Self::Foreign
            | Self::Regression
            | Self::Slow(_)
            | Self::Hang
            | Self::CutBefore
            | Self::ErrorBefore
            | Self::Unavailable
            | Self::UnavailablePage
            | Self::RateLimited { .. }
            | Self::WrongRole
            | Self::AddressRefused
            | Self::Vanished
            | Self::Conflict => Stage::Before,
            Self::NeverChanges => Stage::Act,
            Self::HangAfter
            | Self::CutAfter
            | Self::CutBody
            | Self::ErrorAfter
            | Self::Malformed
            | Self::GatewayPage
            | Self::HugeBody
            | Self::NoKey => Stage::After,
        }
    }

    /// Where the fault strikes when its text does not say: where there is something for it to spoil.
    fn default_scope(self) -> Scope {
        match self {
            Self::NeverChanges | Self::HangAfter | Self::CutAfter | Self::ErrorAfter => Scope::Put,
            Self::NoKey | Self::Foreign | Self::Regression => Scope::Get,
            Self::Refuse
            | Self::StaleNonce
            | Self::Slow(_)
            | Self::Hang
            | Self::CutBefore
            | Self::ErrorBefore
            | Self::Unavailable
            | Self::UnavailablePage
            | Self::RateLimited { .. }
            | Self::WrongRole
            | Self::AddressRefused
            | Self::Vanished
            | Self::Conflict
            | Self::CutBody
            | Self::Malformed
            | Self::GatewayPage
            | Self::HugeBody => Scope::Key,
        }
    }

    /// The fault with its defaults, everywhere and every time.
    pub fn everywhere(self) -> Fault {
        Fault {
            kind: self,
            scope: self.default_scope(),
            target: "*".into(),
            amount: Amount::ALWAYS,
        }
    }
}

impl Fault {
    /// Only at these requests.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Only for targets that match `glob`.
    #[must_use]
    pub fn target(mut self, glob: impl Into<String>) -> Self {
        self.target = glob.into();
        self
    }

    /// Only so many times.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.amount.times = Some(times);
        self
    }

    /// With this probability, from 0 to 1.
    #[must_use]
    pub fn probability(mut self, probability: f64) -> Self {
        self.amount.probability = probability;
        self
    }

    pub(super) fn concerns(&self, operation: Operation, names: &[&str]) -> bool {
        let in_scope = match self.scope {
            Scope::Any => true,
            Scope::Key => operation != Operation::List,
            Scope::Get => operation == Operation::Get,
            Scope::Put => operation == Operation::Put,
            Scope::List => operation == Operation::List,
        };
        let glob = WildMatch::new(&self.target);
        in_scope && (self.target == "*" || names.iter().any(|name| glob.matches(name)))
    }
}

/// A text that does not describe a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    /// The name is none that we know.
    #[error("there is no fault called \"{0}\"; there are {known}", known = known_names())]
    Unknown(String),
    /// The value does not fit the kind.
    #[error("the fault \"{kind}\" cannot take the value \"{value}\"; {wanted}")]
    Value {
        /// Of which fault.
        kind: String,
        /// What was given.
        value: String,
        /// What it takes.
        wanted: &'static str,
    },
    /// The scope is none of the five.
    #[error("there is no scope \"{0}\"; there are get, put, key (both of them), list and any")]
    Scope(String),
    /// The amount is neither a probability nor a number of times.
    #[error(
        "\"{0}\" is not an amount; write 3 (three times), 0.1 or 10% (a probability), or 0.1x3 (both)"
    )]
    Amount(String),
    /// More parts than there are.
    #[error("\"{0}\" has too many parts; a fault reads KIND[=VALUE][@SCOPE][:TARGET][:AMOUNT]")]
    TooManyParts(String),
}

fn known_names() -> String {
    let names: Vec<&str> = KNOWN_FAULTS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let parts: Vec<&str> = text.trim().split(':').collect();
        let (head, target, amount) = match *parts.as_slice() {
            [head] => (head, "*", Amount::ALWAYS),
            // One part more is an amount when it reads like one, and a target otherwise.
            [head, last] => match last.parse() {
                Ok(amount) => (head, "*", amount),
                Err(_) => (head, last, Amount::ALWAYS),
            },
            [head, target, amount] => (head, target, amount.parse()?),
            _ => return Err(FaultError::TooManyParts(text.to_owned())),
        };
        // The value and the scope may come in either order.
        let end = head.find(['=', '@']).unwrap_or(head.len());
        let (name, mut rest) = head.split_at(end);
        let (mut value, mut scope) = (None, None);
        while let Some(mark) = rest.chars().next() {
            let body = &rest[mark.len_utf8()..];
            let end = body.find(['=', '@']).unwrap_or(body.len());
            let (word, after) = body.split_at(end);
            match mark {
                '=' => value = Some(word),
                _ => scope = Some(word.parse::<Scope>()?),
            }
            rest = after;
        }
        let kind = kind_of(name, value)?;
        Ok(Self {
            kind,
            scope: scope.unwrap_or(kind.default_scope()),
            target: target.to_owned(),
            amount,
        })
    }
}

fn kind_of(name: &str, value: Option<&str>) -> Result<FaultKind, FaultError> {
    let refused = |wanted| FaultError::Value {
        kind: name.to_owned(),
        value: value.unwrap_or_default().to_owned(),
        wanted,
    };
    let kind = match name {
        "slow" => {
            let text = value.unwrap_or("1s");
            let wanted = "it takes a time, for example slow=500ms";
            return Ok(FaultKind::Slow(duration(text).ok_or(refused(wanted))?));
        }
        "rate-limited" => {
            let wanted = "it takes whole seconds, for example rate-limited=30";
            let retry_after = value.map(str::parse).transpose();
            let retry_after = retry_after.map_err(|_| refused(wanted))?;
            return Ok(FaultKind::RateLimited { retry_after });
        }
        "refuse" => FaultKind::Refuse,
        "stale-nonce" => FaultKind::StaleNonce,
        "foreign" => FaultKind::Foreign,
        "regression" => FaultKind::Regression,
        "hang" => FaultKind::Hang,
        "cut-before" => FaultKind::CutBefore,
        "error-before" => FaultKind::ErrorBefore,
        "unavailable" => FaultKind::Unavailable,
        "unavailable-page" => FaultKind::UnavailablePage,
        "wrong-role" => FaultKind::WrongRole,
        "address-refused" => FaultKind::AddressRefused,
        "vanished" => FaultKind::Vanished,
        "conflict" => FaultKind::Conflict,
        "never-changes" => FaultKind::NeverChanges,
        "hang-after" => FaultKind::HangAfter,
        "cut-after" => FaultKind::CutAfter,
        "cut-body" => FaultKind::CutBody,
        "error-after" => FaultKind::ErrorAfter,
        "malformed" => FaultKind::Malformed,
        "gateway-page" => FaultKind::GatewayPage,
        "huge" => FaultKind::HugeBody,
        "no-key" => FaultKind::NoKey,
        _ => return Err(FaultError::Unknown(name.to_owned())),
    };
    match value {
        None => Ok(kind),
        Some(_) => Err(refused("it takes none")),
    }
}

/// `2s`, `500ms`, `1m 30s`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let signed: jiff::SignedDuration = text.parse().ok()?;
    signed.try_into().ok()
}

impl FromStr for Scope {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        match text {
            "key" => Ok(Self::Key),
            "get" => Ok(Self::Get),
            "put" => Ok(Self::Put),
            "list" => Ok(Self::List),
            "any" => Ok(Self::Any),
            _ => Err(FaultError::Scope(text.to_owned())),
        }
    }
}

impl FromStr for Amount {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let bad = || FaultError::Amount(text.to_owned());
        let (probability, times) = match text.split_once('x') {
            Some((probability, times)) => (Some(probability), Some(times)),
            None if text.contains(['.', '%']) => (Some(text), None),
            None => (None, Some(text)),
        };
        let probability = match probability {
            None => 1.0,
            Some(text) => match text.strip_suffix('%') {
                Some(percent) => percent.parse::<f64>().map_err(|_| bad())? / 100.0,
                None => text.parse().map_err(|_| bad())?,
            },
        };
        if !(0.0..=1.0).contains(&probability) {
            return Err(bad());
        }
        let times = times.map(str::parse).transpose().map_err(|_| bad())?;
        Ok(Self { probability, times })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        match self.kind {
            FaultKind::Slow(delay) => write!(f, "={}ms", delay.as_millis())?,
            FaultKind::RateLimited {
                retry_after: Some(seconds),
            } => write!(f, "={seconds}")?,
            _ => {}
        }
        let scope = match self.scope {
            Scope::Key => "key",
            Scope::Get => "get",
            Scope::Put => "put",
            Scope::List => "list",
            Scope::Any => "any",
        };
        write!(f, "@{scope}:{}:{:?}", self.target, self.amount.probability)?;
        match self.amount.times {
            Some(times) => write!(f, "x{times}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Fault {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    /// The examples of the module's own documentation mean what they say there.
    #[test]
    fn texts_read_as_documented() {
        let tenth = parse("cut-after:0.1");
        assert_eq!(
            tenth,
            FaultKind::CutAfter.everywhere().probability(0.1),
            "a fraction is a probability"
        );
        assert_eq!(tenth.scope, Scope::Put);
        let hang = FaultKind::Hang.everywhere();
        assert_eq!(parse("hang:ledger-*:1"), hang.target("ledger-*").times(1));
        let slow = FaultKind::Slow(Duration::from_secs(2)).everywhere();
        let slow = slow.scope(Scope::Get).target("billing/*").probability(0.5);
        assert_eq!(parse("slow@get=2s:billing/*:50%"), slow);
        assert_eq!(parse("slow=2s@get:billing/*:0.5"), slow);
        let limited = FaultKind::RateLimited {
            retry_after: Some(30),
        };
        let limited = limited.everywhere().probability(0.2).times(5);
        assert_eq!(parse("rate-limited=30:0.2x5"), limited);
        assert_eq!(parse("vanished:invoices").target, "invoices");
    }

    /// The list that people are shown holds every fault, and each can be written down and read back.
    #[test]
    fn every_known_fault_survives_its_own_text() {
        for (name, _) in KNOWN_FAULTS {
            let fault = parse(name);
            assert_eq!(fault.kind.name(), *name);
            let fault = fault.target("a/b-*").probability(0.25).times(3);
            assert_eq!(parse(&fault.to_string()), fault);
        }
        let always = FaultKind::Hang.everywhere();
        assert_eq!(parse(&always.to_string()), always);
    }

    /// A wrong text is answered with what would have been right.
    #[test]
    fn errors_say_what_would_be_right() {
        let error = |text: &str| text.parse::<Fault>().unwrap_err().to_string();
        assert!(error("cutafter").contains("there are refuse, stale-nonce"));
        assert!(error("hang=3").contains("it takes none"));
        assert!(error("slow=soon").contains("slow=500ms"));
        assert!(error("slow=-1s").contains("slow=500ms"));
        assert!(error("hang@patch").contains("get, put, key"));
        assert!(error("hang:a:2.5").contains("is not an amount"));
        assert!(error("hang:a:b:c").contains("too many parts"));
    }
}
