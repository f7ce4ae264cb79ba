//! What the planner decided for one target, with its reason. The engine does exactly this; `plan` prints exactly this.

use std::fmt;

use jiff::Timestamp;

use super::failure::{Failure, Verdict};
use super::ids::{ManagerName, TargetId, TargetName};
use super::rotation::RotationId;
use super::span::Span;

/// A decision and the target that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The target.
    pub target: TargetId,
    /// What is to be done.
    pub decision: Decision,
}

/// What is to be done with a target now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Settle the unfinished rotation by looking.
    Resume {
        /// The rotation in hand.
        rotation: RotationId,
    },
    /// Give up the unfinished rotation, of which nothing was sent.
    Withdraw {
        /// The rotation.
        rotation: RotationId,
        /// Why, in words.
        why: String,
    },
    /// Begin an attempt.
    Rotate {
        /// The slot and the attempt at it.
        rotation: RotationId,
        /// When the slot fell due.
        due_at: Timestamp,
    },
    /// Nothing yet.
    Wait {
        /// When to decide again; none if an event will tell.
        until: Option<Timestamp>,
        /// When the slot falls, or fell, due; none while that is unknown.
        due_at: Option<Timestamp>,
        /// Why.
        reason: WaitReason,
    },
    /// Nothing, until an operator re-arms the target.
    Quarantined {
        /// Since when.
        since: Timestamp,
        /// When the slot fell due.
        due_at: Option<Timestamp>,
        /// The failure that led to it.
        failure: Failure,
    },
    /// The target is not rotated; the words say why.
    NotManaged {
        /// The standing, in words.
        why: String,
    },
}

/// Why a target waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// The slot is not due.
    NotDue,
    /// Its key has not been read yet.
    KeyUnknown,
    /// An attempt failed; the next one follows at the time given.
    BackingOff {
        /// The attempt that failed.
        attempt: u32,
        /// Why it failed.
        failure: Failure,
    },
    /// An operator's pause holds it up.
    Paused {
        /// Which names the pause holds up.
        scope: String,
        /// Why it was set.
        reason: String,
    },
    /// Its policy's windows are shut, or the one that is open is too short by now.
    OutsideWindow {
        /// The next one; none if none comes.
        next: Option<Span>,
    },
    /// A freeze holds it.
    Frozen {
        /// The freeze's name.
        freeze: String,
        /// Its reason.
        reason: String,
        /// Its end.
        end: Timestamp,
    },
    /// The wall clock was set far ahead a short while ago: nobody knows yet whether what it makes due is due.
    ClockDoubted {
        /// By so many seconds.
        by_s: i64,
    },
    /// Another member of its cluster failed, and its policy stops the cluster then.
    MemberFailed {
        /// The member.
        member: TargetName,
    },
    /// Another member of its cluster is being rotated, or goes first.
    MemberFirst {
        /// The member.
        member: TargetName,
    },
    /// The manager has as many rotations in hand as it may.
    ManagerFull {
        /// Its `max_concurrent`.
        limit: usize,
    },
    /// The manager does not answer, or refuses the credential.
    ManagerFailing {
        /// The manager.
        manager: ManagerName,
        /// Since when.
        since: Timestamp,
        /// The last failure.
        failure: Failure,
    },
}

impl Decision {
    /// When the target's slot falls, or fell, due; none if it has none or that is unknown.
    pub fn due_at(&self) -> Option<Timestamp> {
        match self {
            Self::Rotate { due_at, .. } => Some(*due_at),
            Self::Wait { due_at, .. } | Self::Quarantined { due_at, .. } => *due_at,
            Self::Resume { .. } | Self::Withdraw { .. } | Self::NotManaged { .. } => None,
        }
    }

    /// One word for tables and for machines.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Resume { .. } => "rotating",
            Self::Withdraw { .. } => "withdrawing",
            Self::Rotate { .. } => "due",
            Self::Wait { .. } => "waiting",
            Self::Quarantined { .. } => "quarantined",
            Self::NotManaged { .. } => "not_managed",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resume { rotation } => write!(f, "rotation {rotation} is in hand"),
            Self::Withdraw { rotation, why } => write!(f, "rotation {rotation} is given up: {why}"),
            Self::Rotate { due_at, .. } => write!(f, "due since {due_at:.0}"),
            Self::Wait { until, reason, .. } => match until {
                Some(until) if !reason.tells_its_end() => write!(f, "{reason}, until {until:.0}"),
                Some(_) | None => write!(f, "{reason}"),
            },
            Self::Quarantined { since, failure, .. } => {
                let what = match failure.verdict {
                    Verdict::Permanent => "refused for good",
                    Verdict::Transient | Verdict::Ambiguous | Verdict::NotThisWay => "out of attempts",
                };
                write!(f, "{what} since {since:.0} ({failure}); `rekeyd rearm` lets it be tried again")
            }
            Self::NotManaged { why } => f.write_str(why),
        }
    }
}

impl WaitReason {
    /// Whether its words say until when.
    const fn tells_its_end(&self) -> bool {
        match self {
            Self::OutsideWindow { .. } | Self::Frozen { .. } => true,
            Self::NotDue
            | Self::KeyUnknown
            | Self::BackingOff { .. }
            | Self::Paused { .. }
            | Self::ClockDoubted { .. }
            | Self::MemberFailed { .. }
            | Self::MemberFirst { .. }
            | Self::ManagerFull { .. }
            | Self::ManagerFailing { .. } => false,
        }
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotDue => f.write_str("not due"),
            Self::KeyUnknown => f.write_str("its key has not been read yet"),
            Self::BackingOff { attempt, failure } => write!(f, "attempt {attempt} failed ({failure})"),
            Self::Paused { scope, reason } => write!(f, "paused with {scope} ({reason})"),
            Self::OutsideWindow { next: Some(next) } => write!(f, "outside its windows; the next is {next}"),
            Self::OutsideWindow { next: None } => f.write_str("outside its windows, and none comes"),
            Self::Frozen { freeze, reason, end } => write!(f, "held by freeze {freeze} until {end:.0} ({reason})"),
            Self::ClockDoubted { by_s } => write!(f, "the clock was set ahead by {by_s} s, and may be wrong"),
            Self::MemberFailed { member } => write!(f, "{member} failed, and stops its cluster"),
            Self::MemberFirst { member } => write!(f, "{member} goes first"),
            Self::ManagerFull { limit } => write!(f, "its manager has {limit} rotations in hand"),
            Self::ManagerFailing { manager, since, failure } => {
                write!(f, "{manager} has been failing since {since:.0} ({failure})")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::failure::{Reason, Scope};
    use super::*;

    /// One refusal for good is not called a lack of attempts, and both name the way out.
    #[test]
    fn a_quarantine_tells_what_led_to_it() {
        let said = |verdict| {
            let detail = "the key lacks a role for this operation..".to_owned();
            let (reason, scope) = (Reason::RoleMissing, Scope::Target);
            let failure =
                Failure { reason, verdict, scope, status: Some(401), code: None, retry_after_s: None, detail };
            Decision::Quarantined { since: Timestamp::UNIX_EPOCH, due_at: None, failure }.to_string()
        };
        let rest = "since 1970-01-01T00:00:00Z (role_missing, HTTP 401: the key lacks a role for this operation); \
                    `rekeyd rearm` lets it be tried again";
        assert_eq!(said(Verdict::Permanent), format!("refused for good {rest}"));
        assert_eq!(said(Verdict::Transient), format!("out of attempts {rest}"));
    }
}
