//! How one target stands, as one mark: a word, a sign and a colour, of which each suffices alone.

use jiff::Timestamp;

use crate::domain::TargetRecord;
use crate::policy::{Policy, due_at};

/// How a target stands; the gravest of what is true of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    /// Out of attempts.
    Waits,
    /// Older than its policy's `alert_after`, or may be.
    TooOld,
    /// An earlier key is in use again.
    WentBack,
    /// Attempts fail, and go on.
    Failing,
    /// Its key cannot be read, or was not yet.
    Unread,
    /// Due, and not begun.
    Due,
    /// A rotation is in hand.
    Rotating,
    /// In time as far as can be told: its key was there before the daemon.
    Unknown,
    /// In time; in which quarter of the way to its next rotation, from 0.
    InTime(u8),
}

/// What of the way to the next rotation one shade stands for.
const SHADES: i64 = 4;

impl Mark {
    pub(super) fn of(record: &TargetRecord, policy: &Policy, now: Timestamp) -> Self {
        let Some(key) = &record.key else {
            return if record.quarantine.is_some() { Self::Waits } else { Self::Unread };
        };
        let due = due_at(record, policy);
        if record.quarantine.is_some() {
            Self::Waits
        } else if now > policy.alert_after.after(key.since()) {
            Self::TooOld
        } else if record.regressed_at.is_some() {
            Self::WentBack
        } else if record.rotation.as_ref().is_some() {
            Self::Rotating
        } else if record.setback.is_some() {
            Self::Failing
        } else if record.unread.is_some() {
            Self::Unread
        } else if due.is_some_and(|due| due <= now) {
            Self::Due
        } else if key.not_before.is_none() {
            Self::Unknown
        } else {
            let way = due.map_or(0, |due| due.duration_since(key.since()).as_secs()).max(1);
            let gone = now.duration_since(key.since()).as_secs().clamp(0, way);
            Self::InTime(u8::try_from((gone * SHADES / way).min(SHADES - 1)).unwrap_or(0))
        }
    }

    /// Without the shade: what is counted together.
    pub(super) const fn kind(self) -> Self {
        match self {
            Self::InTime(_) => Self::InTime(2),
            Self::Waits
            | Self::TooOld
            | Self::WentBack
            | Self::Failing
            | Self::Unread
            | Self::Due
            | Self::Rotating
            | Self::Unknown => self,
        }
    }

    /// Its class in the style sheet.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Waits => "waits",
            Self::TooOld => "old",
            Self::WentBack => "back",
            Self::Failing => "failing",
            Self::Unread => "unread",
            Self::Due => "due",
            Self::Rotating => "rotating",
            Self::Unknown => "unknown",
            Self::InTime(0) => "t0",
            Self::InTime(1) => "t1",
            Self::InTime(2) => "t2",
            Self::InTime(_) => "t3",
        }
    }

    /// Its sign, of those that every system's fonts have.
    pub(super) const fn sign(self) -> &'static str {
        match self {
            Self::Waits => "■",
            Self::TooOld => "▲",
            Self::WentBack => "◄",
            Self::Failing => "!",
            Self::Unread => "–",
            Self::Due => "›",
            Self::Rotating => "○",
            Self::Unknown => "?",
            Self::InTime(_) => "·",
        }
    }

    /// Its word.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Waits => "waiting for an operator",
            Self::TooOld => "too old",
            Self::WentBack => "went back to an earlier key",
            Self::Failing => "failing, will be tried again",
            Self::Unread => "key not read",
            Self::Due => "due",
            Self::Rotating => "being rotated",
            Self::Unknown => "waiting, age unknown",
            Self::InTime(_) => "in time",
        }
    }
}
