//! What really happened on the far end: the account that a client's own account is compared with.
//!
//! It lives in the simulator's process and survives the death of any client. Plain values; JSON in both directions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Everything that happened since the simulator started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// Every change of a key, in order. Append-only.
    pub changes: Vec<KeyChange>,
    /// Every PUT of `encryptionKey` that passed the login, in the order in which they were dealt with. Append-only.
    pub puts: Vec<Put>,
    /// By target id: the keys each target has had.
    pub targets: BTreeMap<String, TargetTruth>,
    /// How many requests, of which kinds.
    pub requests: RequestCounts,
    /// The most requests that were in hand at one moment.
    pub max_concurrent_requests: u32,
    /// By `project/cluster`: the most PUTs for members of that cluster that were in hand at one moment.
    pub max_concurrent_puts: BTreeMap<String, u32>,
}

/// One change of one target's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyChange {
    /// When it was decided; a GET may show it later.
    pub at: Timestamp,
    /// Target id.
    pub target: String,
    /// `project/cluster/replica-set`.
    pub name: String,
    /// The newest key before.
    pub key_before: String,
    /// The key after.
    pub key_after: String,
    /// Whose doing it was.
    pub cause: Cause,
}

/// Whose doing a change of key was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Cause {
    /// A PUT on the API.
    Put {
        /// The number of the HTTP request, counted from 1 over all requests.
        request: u64,
    },
    /// Someone else, past the API.
    Foreign,
    /// The key fell back to an earlier one.
    Regression,
}

/// One PUT that passed the login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Put {
    /// The number of the HTTP request.
    pub request: u64,
    /// When it arrived.
    pub received: Timestamp,
    /// Target id as the URL gave it.
    pub target: String,
    /// `project/cluster/replica-set`; empty when there is no such target.
    pub name: String,
    /// What came of it. Says nothing about whether the client heard of it.
    pub outcome: PutOutcome,
}

/// What came of a PUT.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum PutOutcome {
    /// A new key was made.
    Changed {
        /// The new key.
        key: String,
    },
    /// Accepted, and the key stayed (a `never-changes` fault).
    Kept,
    /// Refused by the API.
    Refused {
        /// The error code of the reply.
        code: String,
    },
    /// A fault came first, and nothing was done.
    NotDone {
        /// The fault's name.
        fault: String,
    },
}

/// One target's keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetTruth {
    /// `project/cluster/replica-set`, by its latest name.
    pub name: String,
    /// Every key that a GET would have shown, oldest first; the last is shown now.
    pub keys: Vec<KeyPeriod>,
    /// Keys that are made and not shown yet, in order.
    pub pending: Vec<String>,
}

impl TargetTruth {
    /// The key that a GET shows now.
    pub fn current(&self) -> &str {
        self.keys.last().map_or("", |period| &period.key)
    }
}

/// A key and when it came into use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPeriod {
    /// The key's id.
    pub key: String,
    /// From when on a GET would have shown it.
    pub since: Timestamp,
}

/// How many requests, of which kinds. Control routes are not counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestCounts {
    /// All of them.
    pub total: u64,
    /// Without an `Authorization` header: answered with a challenge.
    pub unauthenticated: u64,
    /// Right password, nonce too old: answered with a challenge that says stale.
    pub stale: u64,
    /// Right password, nonce count refused.
    pub count_refused: u64,
    /// Wrong password, wrong user, or an answer that does not fit the request.
    pub bad_logins: u64,
    /// GETs of `encryptionKey` that passed the login.
    pub key_gets: u64,
    /// PUTs of `encryptionKey` that passed the login.
    pub key_puts: u64,
    /// Everything else that passed the login.
    pub lists: u64,
    /// By fault name: how often it struck.
    pub faults: BTreeMap<String, u64>,
}

impl Truth {
    /// The changes that PUTs made, in order.
    pub fn rotations(&self) -> impl Iterator<Item = &KeyChange> {
        self.changes.iter().filter(|change| matches!(change.cause, Cause::Put { .. }))
    }

    /// The changes that PUTs made to one target, given by id or by name.
    pub fn rotations_of(&self, target: &str) -> impl Iterator<Item = &KeyChange> {
        self.rotations().filter(move |change| change.target == target || change.name == target)
    }

    /// One target, given by id or by name.
    pub fn target(&self, target: &str) -> Option<&TargetTruth> {
        let by_name = || self.targets.values().find(|t| t.name == target);
        self.targets.get(target).or_else(by_name)
    }
}
