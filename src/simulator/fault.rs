//! What can go wrong on the far end: the kinds of fault, where and how often they strike.
//!
//! Their text form is in `fault_text`. When one strikes is decided in `board`; what it does, in `exchange`.

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
    pub const ALWAYS: Self = Self { probability: 1.0, times: None };
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

struct Facts {
    name: &'static str,
    stage: Stage,
    /// Where the fault strikes when its text does not say: where there is something for it to spoil.
    scope: Scope,
    meaning: &'static str,
}

impl FaultKind {
    /// Every kind, with its default value: for help texts.
    pub const ALL: &[Self] = &[
        Self::Refuse,
        Self::StaleNonce,
        Self::Foreign,
        Self::Regression,
        Self::Slow(Duration::from_secs(1)),
        Self::Hang,
        Self::CutBefore,
        Self::ErrorBefore,
        Self::Unavailable,
        Self::UnavailablePage,
        Self::RateLimited { retry_after: None },
        Self::WrongRole,
        Self::AddressRefused,
        Self::Vanished,
        Self::Conflict,
        Self::NeverChanges,
        Self::HangAfter,
        Self::CutAfter,
        Self::CutBody,
        Self::ErrorAfter,
        Self::Malformed,
        Self::GatewayPage,
        Self::HugeBody,
        Self::NoKey,
    ];

    fn facts(self) -> Facts {
        let facts = |name, stage, scope, meaning| Facts { name, stage, scope, meaning };
        match self {
            Self::Refuse => facts("refuse", Stage::Arrival, Scope::Key, "drops the connection before the login"),
            Self::StaleNonce => facts("stale-nonce", Stage::Login, Scope::Key, "answers every login with stale=true"),
            Self::Foreign => facts("foreign", Stage::Before, Scope::Get, "someone else rotates the key first"),
            Self::Regression => {
                facts("regression", Stage::Before, Scope::Get, "the key falls back to an earlier one first")
            }
            Self::Slow(_) => {
                facts("slow", Stage::Before, Scope::Key, "acts and answers late: slow=2s (1s without a value)")
            }
            Self::Hang => facts("hang", Stage::Before, Scope::Key, "never answers, does nothing"),
            Self::CutBefore => facts("cut-before", Stage::Before, Scope::Key, "drops the connection, does nothing"),
            Self::ErrorBefore => facts("error-before", Stage::Before, Scope::Key, "500, does nothing"),
            Self::Unavailable => {
                facts("unavailable", Stage::Before, Scope::Key, "503 with an error document, does nothing")
            }
            Self::UnavailablePage => {
                facts("unavailable-page", Stage::Before, Scope::Key, "503 with a page of HTML, does nothing")
            }
            Self::RateLimited { .. } => facts(
                "rate-limited",
                Stage::Before,
                Scope::Key,
                "429, does nothing; rate-limited=30 adds Retry-After in seconds",
            ),
            Self::WrongRole => facts("wrong-role", Stage::Before, Scope::Key, "401 USER_UNAUTHORIZED"),
            Self::AddressRefused => {
                facts("address-refused", Stage::Before, Scope::Key, "403 IP_ADDRESS_NOT_ON_ACCESS_LIST")
            }
            Self::Vanished => facts("vanished", Stage::Before, Scope::Key, "404 CLUSTER_NOT_FOUND"),
            Self::Conflict => {
                facts("conflict", Stage::Before, Scope::Key, "409 CANNOT_GET_BACKUP_CONFIG_INVALID_STATE")
            }
            Self::NeverChanges => facts("never-changes", Stage::Act, Scope::Put, "a PUT succeeds and changes nothing"),
            Self::HangAfter => facts("hang-after", Stage::After, Scope::Put, "acts, never answers"),
            Self::CutAfter => facts("cut-after", Stage::After, Scope::Put, "acts, drops the connection"),
            Self::CutBody => {
                facts("cut-body", Stage::After, Scope::Key, "acts, drops the connection in the middle of the reply")
            }
            Self::ErrorAfter => facts("error-after", Stage::After, Scope::Put, "acts, answers 500"),
            Self::Malformed => facts("malformed", Stage::After, Scope::Key, "acts, answers broken JSON"),
            Self::GatewayPage => {
                facts("gateway-page", Stage::After, Scope::Key, "acts, answers 502 with a page of HTML")
            }
            Self::HugeBody => facts("huge", Stage::After, Scope::Key, "acts, answers 256 MiB"),
            Self::NoKey => facts("no-key", Stage::After, Scope::Get, "a GET names no key"),
        }
    }

    /// The name in texts.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// What it does, in a few words.
    pub fn meaning(self) -> &'static str {
        self.facts().meaning
    }

    pub(super) fn stage(self) -> Stage {
        self.facts().stage
    }

    pub(super) fn default_scope(self) -> Scope {
        self.facts().scope
    }

    /// The fault with its defaults, everywhere and every time.
    pub fn everywhere(self) -> Fault {
        Fault { kind: self, scope: self.default_scope(), target: "*".into(), amount: Amount::ALWAYS }
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
