//! Questions to the record: which rotations, which ledger records, and where the next page begins.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use super::ids::KeyId;
use super::rotation::State;

/// What rotations and records of the ledger alike are chosen by. Nothing set means all.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// A glob over target names; `*` crosses slashes.
    pub target: Option<String>,
    /// A project's name or id: what is about its targets.
    pub project: Option<String>,
    /// Whose doing it was, by the persisted word.
    pub actor: Option<String>,
    /// Only what is of this time or later: of a rotation, its beginning counts.
    pub since: Option<Timestamp>,
    /// Only what is from before this time.
    pub until: Option<Timestamp>,
    /// Only what comes after this one, in the order of the answer.
    pub behind: Option<Cursor>,
}

/// Which rotations are wanted. Nothing set means all.
#[derive(Clone, Debug, Default)]
pub struct RotationFilter {
    /// Of which targets, by whom, when.
    pub selection: Selection,
    /// The key before or the key after.
    pub key: Option<KeyId>,
    /// Any of these; empty for every state.
    pub states: Vec<State>,
}

/// Which records of the ledger are wanted. Nothing set means all.
#[derive(Clone, Debug, Default)]
pub struct LedgerFilter {
    /// Of which targets, by whom, when.
    pub selection: Selection,
    /// Any of these kinds; empty for every kind.
    pub kinds: Vec<String>,
}

/// A place in an answer that is ordered by time, the newest first: what comes next comes behind it, whatever is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The time of the last one shown.
    pub at: Timestamp,
    /// Tells it apart from others of the same time.
    pub place: i64,
}

impl Cursor {
    /// Behind everything from `until` on.
    pub fn before(until: Timestamp) -> Self {
        Self { at: until, place: i64::MIN }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at.as_microsecond(), self.place)
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (at, place) = text.split_once('.')?;
            Some(Self { at: Timestamp::from_microsecond(at.parse().ok()?).ok()?, place: place.parse().ok()? })
        };
        read().ok_or_else(|| format!("{text:?} is no place to go on from; take it from the end of an earlier answer"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        let cursor = Cursor { at: "2026-05-01T06:00:00.000001Z".parse().unwrap(), place: 17 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        assert!("17".parse::<Cursor>().is_err() && "a.b".parse::<Cursor>().is_err());
    }
}
