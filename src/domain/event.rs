//! Everything that can happen, as the ledger keeps it. Persisted: a variant or field may be added, never changed.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Error as _, IntoDeserializer, MapAccess};
use serde::{Deserialize, Serialize};
use serde_json::de::StrRead;

use super::alert::{AlertKind, AlertSubject};
use super::api_key::{ApiKey, Grant, Reach};
use super::failure::Failure;
use super::ids::{KeyId, ManagerName, PolicyName, ReceiverName, TargetId};
use super::order::Caller;
use super::receiver::Saying;
use super::rotation::{How, RotationId, State, Transition};
use super::target::{Gap, Governance, Listing, Refusal, Target};

/// One thing that happened, when, and by whose hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it happened.
    pub at: Timestamp,
    /// By whose hand.
    pub actor: Actor,
    /// What happened.
    pub event: Event,
}

impl Entry {
    /// The same with every time cut to whole microseconds: what the ledger keeps is what is known, before a restart and
    /// after it.
    pub fn in_microseconds(mut self) -> Self {
        let times = std::iter::once(&mut self.at).chain(self.event.times_mut());
        for time in times {
            *time = microsecond(*time);
        }
        self
    }
}

/// The time cut to a whole microsecond, the ledger's unit.
pub fn microsecond(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).expect("a timestamp's own microseconds are in its range")
}

/// Who caused an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Actor {
    /// The daemon's own life and what it observes.
    Daemon,
    /// A slot that fell due.
    Schedule,
    /// A person at the command line, by the user id that the system knows.
    Operator(u32),
}

impl Actor {
    /// The one whose persisted word this is, if this version knows it.
    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "daemon" => Some(Self::Daemon),
            "schedule" => Some(Self::Schedule),
            other => other.strip_prefix("uid:")?.parse().ok().map(Self::Operator),
        }
    }
}

impl fmt::Display for Actor {
    /// The persisted word.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Daemon => f.pad("daemon"),
            Self::Schedule => f.pad("schedule"),
            Self::Operator(uid) => f.pad(&format!("uid:{uid}")),
        }
    }
}

/// Why a key is not the one that was there before, when no rotation of ours explains it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyChange {
    /// A key never seen on this target.
    Foreign,
    /// A key that was in use before: critical.
    Regression,
}

/// What an attempt was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Reading the key, before anything was sent.
    Precheck,
    /// The PUT.
    Put,
}

/// Everything that can happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, strum::IntoStaticStr, strum::VariantNames)]
#[serde(tag = "kind", content = "data", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "the fields are named for what they hold; each variant says what happened")]
pub enum Event {
    /// The daemon began to work on this ledger.
    DaemonStarted { version: String, pid: u32, host: String },
    /// The daemon ended in good order; so many rotations wait to be settled at the next start.
    DaemonStopped { parked: u64 },
    /// The ledger could not be written for a while; nothing was sent in that time.
    LedgerRecovered { since: Timestamp, error: String },
    /// The wall clock stepped by so many seconds, against the clock that only runs; negative: it was set back.
    ClockStepped { by_s: i64 },
    /// A policy came into force, in its words.
    PolicySet { policy: PolicyName, words: String },
    /// The configuration was read again and is in force; the changes in words, none if it means the same.
    ConfigReloaded {
        changes: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Caller>,
    },
    /// The configuration was read again and cannot be followed; the former one stays in force.
    ConfigRefused {
        error: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Caller>,
    },
    /// An operator holds up the targets whose names match; what has been sent is still settled. One that stands with the
    /// same scope is replaced.
    PauseSet { scope: String, until: Timestamp, reason: String, by: Caller },
    /// The pause with this scope is over: its time had come, or an operator ended it.
    PauseEnded {
        scope: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Caller>,
    },
    /// An operator orders a freeze of the targets whose names match. A name is given to one freeze at a time.
    FreezeSet { name: String, scope: String, start: Timestamp, end: Timestamp, reason: String, by: Caller },
    /// The freeze of this name that was ordered is over: its end had come, or an operator ended it.
    FreezeEnded {
        name: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Caller>,
    },
    /// An operator wants so many targets' keys, of those whose names match, to be looked at now.
    LookRequested { scope: String, targets: u64, reason: String, by: Caller },
    /// The key that signs the checkpoints from here on, as a verifier key of C2SP's signed-note.
    CheckpointKeySet { key: String },
    /// A target was listed for the first time.
    TargetFound { description: Target, listing: Listing },
    /// A target's description or fitness changed; a rename among them.
    TargetChanged { description: Target, listing: Listing },
    /// Several listings in a row did not name the target.
    TargetGone { target: TargetId, listings: u32 },
    /// A target that had gone is listed again.
    TargetReturned { target: TargetId },
    /// Another policy than on record governs the target, or one that lets its key grow to another age; none, if no policy
    /// does any more.
    TargetGoverned { target: TargetId, governance: Option<Governance> },
    /// The server says that this mechanism does not govern the target.
    TargetRefused { target: TargetId, refusal: Refusal },
    /// The target's key can be read again.
    TargetReadable { target: TargetId },
    /// A target's key was read for the first time; its age is unknown. Here and below, `looked_at` is when the key now in
    /// use was asked for, where that is known better than by the record's own time.
    KeySeen {
        target: TargetId,
        key: KeyId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        looked_at: Option<Timestamp>,
    },
    /// A key changed that no rotation of ours explains; `last_seen` is when the old one was last in use. `not_before`
    /// and `first_seen` date the new one: for a regression they are those of its earlier use. `suspect` is an attempt of
    /// ours that had been given up unconfirmed: its PUT may have acted this late.
    KeyChanged {
        target: TargetId,
        change: KeyChange,
        before: KeyId,
        after: KeyId,
        last_seen: Timestamp,
        not_before: Option<Timestamp>,
        first_seen: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        looked_at: Option<Timestamp>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        suspect: Option<RotationId>,
    },
    /// A key dated in the future was seen in use: the clock had run ahead when it came, and has been set back since.
    KeyRedated { target: TargetId, not_before: Option<Timestamp>, first_seen: Timestamp },
    /// A target's key cannot be read; recorded once for each run of failures.
    ObservationFailing { target: TargetId, failure: Failure },
    /// A target's key can be read again after failures.
    ObservationRecovered { target: TargetId },
    /// An attempt begins; durable before anything is sent. `looked_at` is when `key_before` was read.
    RotationIntended {
        target: TargetId,
        rotation: RotationId,
        due_at: Timestamp,
        key_before: KeyId,
        looked_at: Timestamp,
    },
    /// The PUT is about to leave. `looked_at` is when `key_before` was read once more, if it was after the intent.
    RotationSending {
        target: TargetId,
        rotation: RotationId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        looked_at: Option<Timestamp>,
    },
    /// The server accepted the PUT; this proves nothing yet.
    RotationAccepted { target: TargetId, rotation: RotationId, status: u16 },
    /// No reply that proves anything: the outcome is unknown until a GET tells.
    RotationReplyLost { target: TargetId, rotation: RotationId, failure: Failure },
    /// A GET showed a new key; `last_seen` is when the old one was last in use.
    RotationDone {
        target: TargetId,
        rotation: RotationId,
        due_at: Timestamp,
        how: How,
        key_before: KeyId,
        key_after: KeyId,
        last_seen: Timestamp,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        looked_at: Option<Timestamp>,
    },
    /// The attempt failed and the server did not act; the next one is not before `retry_at`.
    RotationFailed {
        target: TargetId,
        rotation: RotationId,
        due_at: Timestamp,
        stage: Stage,
        failure: Failure,
        retry_at: Timestamp,
    },
    /// The deadline passed and no new key was seen; the next attempt is not before `retry_at`.
    RotationUnconfirmed { target: TargetId, rotation: RotationId, failure: Failure, retry_at: Timestamp },
    /// The attempt was given up before anything was sent.
    RotationWithdrawn { target: TargetId, rotation: RotationId, why: String },
    /// Windows went by without the slot being answered, `why` in words; `windows` of them, from `opened_at` to `closed_at`, one
    /// unless nobody was there to see each. The slot waits for the next window.
    SlotMissed {
        target: TargetId,
        slot: u64,
        due_at: Timestamp,
        windows: u32,
        opened_at: Timestamp,
        closed_at: Timestamp,
        why: String,
    },
    /// The slot fell due in a freeze, or before it and unanswered, and is held until the freeze ends.
    SlotHeld { target: TargetId, slot: u64, due_at: Timestamp, freeze: String, reason: String, until: Timestamp },
    /// The target is out of attempts, or failed for good, and waits for an operator.
    TargetQuarantined { target: TargetId, attempts: u32, failure: Failure },
    /// An operator lets the target be tried again.
    TargetRearmed {
        target: TargetId,
        reason: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<Caller>,
    },
    /// An operator wants the slot answered now. Asked for again before that, it is still one rotation. `overrides`: in
    /// spite of pauses and of the hours of the policy.
    RotationRequested {
        target: TargetId,
        reason: String,
        by: Caller,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        overrides: bool,
    },
    /// A manager does not answer, or refuses the credential.
    ManagerFailing { manager: ManagerName, failure: Failure },
    /// A manager answers again.
    ManagerAnswering { manager: ManagerName },
    /// A project could not be listed: what is new, changed or gone in it is unknown. Recorded once for each run of failures.
    ProjectUnread { manager: ManagerName, project: String, failure: Failure },
    /// The project can be listed again, or is no longer asked for.
    ProjectRead { manager: ManagerName, project: String },
    /// A sharded cluster is listed without config servers.
    GapFound { manager: ManagerName, gap: Gap },
    /// The cluster's config servers are listed.
    GapClosed { manager: ManagerName, gap: Gap },
    /// A list names an API key for the first time. With `baseline` it was there when the list was first read.
    ApiKeyAdded { manager: ManagerName, key: ApiKey, baseline: bool },
    /// No list names the API key any more; `key` as it was last known.
    ApiKeyRemoved { manager: ManagerName, key: ApiKey },
    /// The roles of an API key changed: `before` what it had, `key` as it is now.
    ApiKeyRolesChanged { manager: ManagerName, key: ApiKey, before: BTreeSet<Grant> },
    /// The description of an API key changed, or which lists name it. Its roles did not.
    ApiKeyChanged { manager: ManagerName, key: ApiKey },
    /// A list of API keys could be read: for the first time, or again.
    ApiKeysRead { manager: ManagerName, list: Reach },
    /// A list of API keys cannot be read, or not in full; recorded once for each run of failures.
    ApiKeysUnread { manager: ManagerName, list: Reach, failure: Failure },
    /// The manager is asked with this API key from now on.
    CredentialUsed { manager: ManagerName, public_key: String },
    /// An alert began to fire, in words.
    AlertRaised { alert: AlertKind, subject: AlertSubject, words: String },
    /// An alert is over.
    AlertCleared { alert: AlertKind, subject: AlertSubject },
    /// A receiver took the news of these alerts: that they fire, or that they are over.
    AlertsDelivered { receiver: ReceiverName, firing: Vec<Saying>, resolved: Vec<Saying> },
    /// A receiver cannot be reached, after several tries in a row.
    ReceiverFailing { receiver: ReceiverName, error: String },
    /// A receiver can be reached again.
    ReceiverAnswering { receiver: ReceiverName },
    /// A receiver is no longer configured: what it was told is not followed up.
    ReceiverDropped { receiver: ReceiverName },
}

/// Events about one target of which they name no more than its id, and that move no rotation of it. Takes the fields.
macro_rules! of_a_target {
    ($($fields:tt)*) => {
        Event::TargetGone { $($fields)* }
            | Event::TargetReturned { $($fields)* }
            | Event::TargetGoverned { $($fields)* }
            | Event::TargetRefused { $($fields)* }
            | Event::TargetReadable { $($fields)* }
            | Event::KeySeen { $($fields)* }
            | Event::KeyChanged { $($fields)* }
            | Event::KeyRedated { $($fields)* }
            | Event::ObservationFailing { $($fields)* }
            | Event::ObservationRecovered { $($fields)* }
            | Event::SlotMissed { $($fields)* }
            | Event::SlotHeld { $($fields)* }
            | Event::TargetQuarantined { $($fields)* }
            | Event::TargetRearmed { $($fields)* }
            | Event::RotationRequested { $($fields)* }
    };
}

/// Events that move a rotation. Takes the fields.
macro_rules! of_a_rotation {
    ($($fields:tt)*) => {
        Event::RotationIntended { $($fields)* }
            | Event::RotationSending { $($fields)* }
            | Event::RotationAccepted { $($fields)* }
            | Event::RotationReplyLost { $($fields)* }
            | Event::RotationDone { $($fields)* }
            | Event::RotationFailed { $($fields)* }
            | Event::RotationUnconfirmed { $($fields)* }
            | Event::RotationWithdrawn { $($fields)* }
    };
}

/// Events that change nothing of a target. An alert may be about one all the same.
macro_rules! of_no_target {
    () => {
        Event::DaemonStarted { .. }
            | Event::DaemonStopped { .. }
            | Event::LedgerRecovered { .. }
            | Event::ClockStepped { .. }
            | Event::PolicySet { .. }
            | Event::ConfigReloaded { .. }
            | Event::ConfigRefused { .. }
            | Event::PauseSet { .. }
            | Event::PauseEnded { .. }
            | Event::FreezeSet { .. }
            | Event::FreezeEnded { .. }
            | Event::LookRequested { .. }
            | Event::CheckpointKeySet { .. }
            | Event::ManagerFailing { .. }
            | Event::ManagerAnswering { .. }
            | Event::ProjectUnread { .. }
            | Event::ProjectRead { .. }
            | Event::GapFound { .. }
            | Event::GapClosed { .. }
            | Event::ApiKeyAdded { .. }
            | Event::ApiKeyRemoved { .. }
            | Event::ApiKeyRolesChanged { .. }
            | Event::ApiKeyChanged { .. }
            | Event::ApiKeysRead { .. }
            | Event::ApiKeysUnread { .. }
            | Event::CredentialUsed { .. }
            | Event::AlertRaised { .. }
            | Event::AlertCleared { .. }
            | Event::AlertsDelivered { .. }
            | Event::ReceiverFailing { .. }
            | Event::ReceiverAnswering { .. }
            | Event::ReceiverDropped { .. }
    };
}

pub(crate) use {of_a_rotation, of_a_target, of_no_target};

/// A record that this version cannot read: of a kind it does not know, or with other contents.
#[derive(Debug, thiserror::Error)]
#[error("a record of kind {kind:?} that this version cannot read")]
pub struct UnknownEvent {
    /// The record's kind.
    pub kind: String,
    source: serde_json::Error,
}

impl Event {
    /// The persisted words of everything that this version records.
    pub const KINDS: &'static [&'static str] = <Self as strum::VariantNames>::VARIANTS;

    /// The persisted word for what happened.
    pub fn kind(&self) -> &'static str {
        self.into()
    }

    /// The persisted word for what happened, and the payload as JSON text: what the ledger hashes.
    pub fn to_record(&self) -> (String, String) {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(mut object)) => {
                let kind = object.get("kind").and_then(|kind| kind.as_str()).unwrap_or_default().to_owned();
                let data = object.remove("data").unwrap_or_else(|| serde_json::json!({}));
                (kind, data.to_string())
            }
            Ok(_) | Err(_) => unreachable!("an event is an enum of named fields, which serialize as an object"),
        }
    }

    /// Reads back what [`Event::to_record`] wrote.
    ///
    /// # Errors
    /// If the kind or its contents are not known to this version; a reader must carry on past it.
    pub fn from_record(kind: &str, payload: &str) -> Result<Self, UnknownEvent> {
        let unknown = |source| UnknownEvent { kind: kind.to_owned(), source };
        let mut data = serde_json::Deserializer::from_str(payload);
        let event = Self::deserialize(MapAccessDeserializer::new(Parts { kind: Some(kind), data: Some(&mut data) }));
        let event = event.map_err(unknown)?;
        data.end().map_err(unknown)?;
        Ok(event)
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "most kinds hold no time, and a test goes through all")]
    fn times_mut(&mut self) -> Vec<&mut Timestamp> {
        match self {
            Self::LedgerRecovered { since, .. } => vec![since],
            Self::KeySeen { looked_at, .. } | Self::RotationSending { looked_at, .. } => looked_at.iter_mut().collect(),
            Self::KeyChanged { last_seen, not_before, first_seen, looked_at, .. } => {
                [last_seen, first_seen].into_iter().chain(not_before).chain(looked_at).collect()
            }
            Self::KeyRedated { not_before, first_seen, .. } => not_before.iter_mut().chain([first_seen]).collect(),
            Self::RotationIntended { due_at, looked_at, .. } => vec![due_at, looked_at],
            Self::RotationDone { due_at, last_seen, looked_at, .. } => {
                [due_at, last_seen].into_iter().chain(looked_at).collect()
            }
            Self::RotationFailed { due_at, retry_at, .. } => vec![due_at, retry_at],
            Self::RotationUnconfirmed { retry_at, .. } => vec![retry_at],
            Self::PauseSet { until, .. } => vec![until],
            Self::FreezeSet { start, end, .. } => vec![start, end],
            Self::SlotMissed { due_at, opened_at, closed_at, .. } => vec![due_at, opened_at, closed_at],
            Self::SlotHeld { due_at, until, .. } => vec![due_at, until],
            Self::AlertsDelivered { firing, resolved, .. } => {
                firing.iter_mut().chain(resolved).map(|saying| &mut saying.since).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The target that it is about.
    pub fn target(&self) -> Option<TargetId> {
        match self {
            Self::TargetFound { description, .. } | Self::TargetChanged { description, .. } => Some(description.id()),
            of_a_target!(target, ..)
            | of_a_rotation!(target, ..)
            | Self::AlertRaised { subject: AlertSubject::Target(target), .. }
            | Self::AlertCleared { subject: AlertSubject::Target(target), .. } => Some(target.clone()),
            of_no_target!() => None,
        }
    }

    /// The rotation that it moves, and into which state.
    pub fn transition(&self) -> Option<Transition> {
        let (id, to) = match self {
            Self::RotationIntended { rotation, .. } => (rotation, State::Intended),
            Self::RotationSending { rotation, .. } | Self::RotationReplyLost { rotation, .. } => {
                (rotation, State::Sending)
            }
            Self::RotationAccepted { rotation, .. } => (rotation, State::Confirming),
            Self::RotationDone { rotation, .. } => (rotation, State::Done),
            Self::RotationFailed { rotation, .. } => (rotation, State::Failed),
            Self::RotationUnconfirmed { rotation, .. } => (rotation, State::Unconfirmed),
            Self::RotationWithdrawn { rotation, .. } => (rotation, State::Withdrawn),
            Self::TargetFound { .. } | Self::TargetChanged { .. } | of_a_target!(..) | of_no_target!() => return None,
        };
        Some(Transition { id: *id, to })
    }
}

/// A record as the map that the enum is read from, kind first: so its contents are read once, where they stand.
struct Parts<'a, 'de> {
    /// None once it was read; so with the data.
    kind: Option<&'a str>,
    data: Option<&'a mut serde_json::Deserializer<StrRead<'de>>>,
}

impl<'de> MapAccess<'de> for Parts<'_, 'de> {
    type Error = serde_json::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error> {
        let key = match (self.kind, &self.data) {
            (Some(_), _) => "kind",
            (None, Some(_)) => "data",
            (None, None) => return Ok(None),
        };
        seed.deserialize(key.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Self::Error> {
        match (self.kind.take(), self.data.take()) {
            (Some(kind), data) => {
                self.data = data;
                seed.deserialize(kind.into_deserializer())
            }
            (None, Some(data)) => seed.deserialize(data),
            (None, None) => Err(serde_json::Error::custom("a value without a key")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sample;

    /// The words stand in ledgers for years; this list may grow and never change.
    #[test]
    fn an_event_reads_back_from_its_record() {
        let event = Event::RotationDone {
            target: "emea/5f/6a".into(),
            rotation: RotationId { slot: 4, attempt: 2 },
            due_at: "2026-05-01T06:00:00Z".parse().unwrap(),
            how: How::Rotated,
            key_before: "1234-3456-4567-abcd-def0".into(),
            key_after: "next".into(),
            last_seen: "2026-05-01T06:00:01.5Z".parse().unwrap(),
            looked_at: Some("2026-05-01T06:00:02Z".parse().unwrap()),
        };
        let (kind, payload) = event.to_record();
        assert_eq!(kind, "rotation_done");
        assert_eq!(
            payload,
            r#"{"due_at":"2026-05-01T06:00:00Z","how":"rotated","key_after":"next","key_before":"1234-3456-4567-abcd-def0","last_seen":"2026-05-01T06:00:01.5Z","looked_at":"2026-05-01T06:00:02Z","rotation":"4.2","target":"emea/5f/6a"}"#
        );
        assert_eq!(Event::from_record(&kind, &payload).unwrap(), event);
    }

    /// Of every kind the whole event is read back, and the word of its log lines is the word of its records.
    #[test]
    fn every_kind_reads_back_whole() {
        let mut kinds = BTreeSet::new();
        for event in sample::every_event(FINE.parse().unwrap()) {
            let (kind, payload) = event.to_record();
            assert_eq!(event.kind(), kind);
            assert_eq!(Event::from_record(&kind, &payload).unwrap(), event);
            kinds.insert(event.kind());
        }
        assert_eq!(kinds, <Event as strum::VariantNames>::VARIANTS.iter().copied().collect());
    }

    const FINE: &str = "2026-05-01T06:00:00.123456789Z";

    /// What the daemon knows must be what it would read back: the ledger keeps microseconds.
    #[test]
    fn every_time_is_cut_to_the_microsecond() {
        let fine: Timestamp = FINE.parse().unwrap();
        for event in sample::every_event(fine) {
            let cut = Entry { at: fine, actor: Actor::Daemon, event }.in_microseconds();
            let (kind, payload) = cut.event.to_record();
            assert_eq!(cut.at.subsec_nanosecond(), 123_456_000);
            assert!(!payload.contains(".123456789"), "{kind}: {payload}");
        }
    }

    /// A ledger written by a later version is still readable where it is known.
    #[test]
    fn an_unknown_kind_is_an_error_and_not_a_panic() {
        let error = Event::from_record("key_blessed", "{}").unwrap_err();
        assert_eq!(error.to_string(), "a record of kind \"key_blessed\" that this version cannot read");
        for payload in ["", "{", "{} x", "{\"parked\":1} {}", "null"] {
            assert!(Event::from_record("daemon_stopped", payload).is_err(), "{payload}");
        }
        assert!(Event::from_record("daemon_stopped", "{\"parked\":1,\"later\":[2]}").is_ok());
    }
}
