//! When a target's slot falls due. The one place that knows.

use super::place::place;
use super::rules::{FirstRotation, Policy};
use crate::domain::TargetRecord;
use jiff::{SignedDuration, Timestamp};

/// When the target's current slot falls, or fell, due; none while its key has not been read.
///
/// One interval after the earliest moment at which its key may have come into use, plus the target's own place in the
/// spread. So a slot is never early, the key never ages unseen, and a plan made twice is the same plan. A key that was there before us has an
/// unknown age: its slot is at once, or spread over one interval from the first sight.
pub fn due_at(record: &TargetRecord, policy: &Policy) -> Option<Timestamp> {
    let key = record.key.as_ref()?;
    let id = record.target.id();
    let due = match (key.not_before, policy.first_rotation) {
        (Some(since), FirstRotation::Spread | FirstRotation::Now) => {
            later(policy.every.after(since), place(&id, policy.spread.as_secs(policy.every)))
        }
        (None, FirstRotation::Now) => key.first_seen,
        (None, FirstRotation::Spread) => later(key.first_seen, place(&id, policy.every.as_secs())),
    };
    Some(due)
}

fn later(start: Timestamp, seconds: u64) -> Timestamp {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    start.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}
