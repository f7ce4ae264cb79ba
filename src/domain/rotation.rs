//! One attempt to answer a slot, and the only ways in which it may go on.
//!
//! ```text
//!              precheck GET                PUT                GET differs from key_before
//!   (slot due) ------------> intended ----------> sending ----------> confirming ----------> done{how}
//!                               |                    |                    |
//!                               |                    | refused            | deadline, unchanged
//!                               v                    v                    v
//!                            withdrawn            failed             unconfirmed --(a later look)--> done{recovered}
//! ```
//!
//! `sending` is left by a reply that proves something, or by a GET. While the outcome is unknown it stays `sending`.
//! `unconfirmed` rests: a change seen later, while its slot is unanswered and no other attempt is open, still belongs to it.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::ids::{KeyId, Text};

/// Identifies a rotation among those of its target: the slot it answers and the attempt at it, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RotationId {
    /// The ordinal of the due occasion.
    pub slot: u64,
    /// The ordinal of the attempt to answer it.
    pub attempt: u32,
}

impl fmt::Display for RotationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.attempt)
    }
}

impl FromStr for RotationId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once('.')
            .and_then(|(slot, attempt)| Some(Self { slot: slot.parse().ok()?, attempt: attempt.parse().ok()? }))
            .ok_or_else(|| format!("{text:?} is not SLOT.ATTEMPT"))
    }
}

impl Serialize for RotationId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RotationId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Text::deserialize(deserializer)?.0.parse().map_err(serde::de::Error::custom)
    }
}

/// A rotation that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Which one.
    pub id: RotationId,
    /// When the slot fell due.
    pub due_at: Timestamp,
    /// The key that the precheck saw.
    pub key_before: KeyId,
    /// When `key_before` was last seen in use: the new key cannot be older.
    pub looked_at: Timestamp,
    /// When the intent was made.
    pub intended_at: Timestamp,
    /// Where it stands.
    pub phase: Phase,
}

/// An attempt that was given up with the old key in use: its PUT may still act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unconfirmed {
    /// Which one.
    pub rotation: RotationId,
    /// When its slot fell due.
    pub due_at: Timestamp,
}

/// Where an unended rotation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The intent is durable, nothing was sent.
    Intended,
    /// A PUT may have left; the outcome is unknown until a GET tells.
    Sending {
        /// When this was made durable, before the PUT.
        since: Timestamp,
        /// What came instead of a reply, if anything is known.
        lost: Option<Failure>,
    },
    /// The server accepted; a GET has yet to show the new key.
    Confirming {
        /// When `sending` was made durable.
        sent_at: Timestamp,
        /// When the server's acceptance was recorded.
        since: Timestamp,
    },
}

impl Rotation {
    /// Its state.
    pub fn state(&self) -> State {
        match self.phase {
            Phase::Intended => State::Intended,
            Phase::Sending { .. } => State::Sending,
            Phase::Confirming { .. } => State::Confirming,
        }
    }

    /// When its PUT may first have left; none if none did.
    pub fn sent_at(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Intended => None,
            Phase::Sending { since, .. } => Some(since),
            Phase::Confirming { sent_at, .. } => Some(sent_at),
        }
    }
}

/// The states of a rotation, as the ledger, the tables and people name them.
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
pub enum State {
    /// The intent is durable, nothing was sent.
    Intended,
    /// A PUT may have left.
    Sending,
    /// The server accepted.
    Confirming,
    /// A GET showed a new key.
    Done,
    /// The server refused, it could not be asked, or we held the request back.
    Failed,
    /// The deadline passed and no new key was seen.
    Unconfirmed,
    /// Given up before anything was sent.
    Withdrawn,
}

impl State {
    /// Every state.
    pub const ALL: &'static [Self] = <Self as strum::VariantArray>::VARIANTS;

    /// The persisted word.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether it still has to be settled.
    pub const fn is_open(self) -> bool {
        match self {
            Self::Intended | Self::Sending | Self::Confirming => true,
            Self::Done | Self::Failed | Self::Unconfirmed | Self::Withdrawn => false,
        }
    }

    /// Whether a rotation may go from this state to `next`; none stands for one that does not exist yet.
    pub const fn permits(from: Option<Self>, next: Self) -> bool {
        use State::{Confirming, Done, Failed, Intended, Sending, Unconfirmed, Withdrawn};
        match (from, next) {
            // A precheck can find the work done, or fail, before there is anything to intend.
            (None, Intended | Done | Failed) => true,
            (Some(Intended), Sending | Done | Failed | Withdrawn) => true,
            // The outcome of a send stays unknown through any number of lost replies.
            (Some(Sending), Sending | Confirming | Done | Failed | Unconfirmed) => true,
            (Some(Confirming), Done | Unconfirmed) => true,
            (Some(Unconfirmed), Done) => true,
            (
                None | Some(Intended | Sending | Confirming | Done | Failed | Unconfirmed | Withdrawn),
                Intended | Sending | Confirming | Done | Failed | Unconfirmed | Withdrawn,
            ) => false,
        }
    }
}

/// A step of one rotation, as an event names it: who, and into which state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The rotation.
    pub id: RotationId,
    /// The state that it enters.
    pub to: State,
}

/// How a slot came to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum How {
    /// We sent a PUT, the server accepted, a GET showed a new key.
    Rotated,
    /// The precheck already showed a new key; nothing was sent.
    FoundChanged,
    /// A GET settled a rotation whose reply was lost, or that outlived the process or its deadline.
    Recovered,
}

impl How {
    /// The persisted word.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Event, Fleet, Listing, Reason, sample};

    /// The persisted words are part of the ledger: a rename would orphan old records.
    #[test]
    fn persisted_words_are_the_serialized_words() {
        for &state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        for how in [How::Rotated, How::FoundChanged, How::Recovered] {
            assert_eq!(serde_json::to_value(how).unwrap(), how.as_str());
        }
    }

    /// Nothing leaves a final state, and nothing is sent that was not intended.
    #[test]
    fn only_the_drawn_arrows_exist() {
        for &next in State::ALL {
            for last in [State::Done, State::Failed, State::Withdrawn] {
                assert!(!State::permits(Some(last), next), "{last:?} -> {next:?}");
            }
        }
        assert!(!State::permits(None, State::Sending));
        assert!(!State::permits(Some(State::Confirming), State::Sending));
        assert!(!State::permits(Some(State::Unconfirmed), State::Sending));
    }

    /// A lost reply leaves a rotation sending. A second PUT would, too, and is no way to go on.
    #[test]
    fn one_attempt_is_sent_once() {
        let at: Timestamp = "2026-05-01T00:00:00Z".parse().unwrap();
        let (mut fleet, description, rotation) =
            (Fleet::default(), sample::target(), RotationId { slot: 1, attempt: 1 });
        let target = description.id();
        let seen = Event::KeySeen { target: target.clone(), key: "k".into(), looked_at: None };
        let (key_before, due_at, looked_at) = ("k".into(), at, at);
        let intended = Event::RotationIntended { target: target.clone(), rotation, due_at, key_before, looked_at };
        let sending = Event::RotationSending { target: target.clone(), rotation, looked_at: None };
        let failure = sample::failure(Reason::CutOff);
        let lost = Event::RotationReplyLost { target, rotation, failure };
        let found = Event::TargetFound { description, listing: Listing::Eligible };
        for event in [&found, &seen, &intended, &sending, &lost, &lost] {
            sample::tell(&mut fleet, at, event);
        }
        assert!(fleet.consequence(at, &sending).is_err());
    }

    #[test]
    fn an_id_reads_as_it_prints() {
        let id = RotationId { slot: 12, attempt: 3 };
        assert_eq!(id.to_string(), "12.3");
        assert_eq!("12.3".parse(), Ok(id));
        assert!("12".parse::<RotationId>().is_err());
    }
}
