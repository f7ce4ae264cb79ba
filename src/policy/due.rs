//! When a target's slot falls due, and when an attempt at it may first begin. The one place that knows.

use jiff::{SignedDuration, Timestamp};

use super::gate::Gates;
use super::place::place_of;
use super::rules::Rules;
use super::settings::{FirstRotation, Policy, Rhythm};
use crate::domain::{Fleet, TargetRecord};

/// Windows and freezes that follow each other without a gap are followed this far.
pub(super) const LONGEST_CHAIN: usize = 1000;

/// When the target's current slot falls, or fell, due; none while its key has not been read.
///
/// One interval after the earliest moment at which its key may have come into use, or at the calendar's first time after it
/// was first seen, plus the target's own place in the spread. So a slot is never early, the key never ages unseen, and a
/// plan made twice is the same plan. A calendar's time that somebody else's change was seen to answer is not asked for
/// again. A key that was there before us has an unknown age: its slot is at once, or spread over one interval from the
/// first sight; a calendar's slot is its first.
pub fn due_at(record: &TargetRecord, policy: &Policy) -> Option<Timestamp> {
    let key = record.key.as_ref()?;
    let own = |width| place_of(&record.target, width);
    let in_turn = |since| later(policy.rhythm.after(since), own(policy.spread.as_secs(policy.rhythm.shortest())));
    let due = match (key.not_before, policy.first_rotation, &policy.rhythm) {
        (Some(since), FirstRotation::Spread | FirstRotation::Now, Rhythm::Every(_)) => in_turn(since),
        (Some(_), FirstRotation::Spread | FirstRotation::Now, Rhythm::Cron(_)) => in_turn(key.first_seen),
        (None, FirstRotation::Now, _) => key.first_seen,
        (None, FirstRotation::Spread, Rhythm::Every(every)) => later(key.first_seen, own(every.as_secs())),
        (None, FirstRotation::Spread, Rhythm::Cron(_)) => in_turn(key.first_seen),
    };
    // Asked for by a person: due from then on, if it was not before.
    Some(record.request.as_ref().map_or(due, |request| due.min(request.at)))
}

/// When an attempt at the target's current slot may first begin, as far as due times, windows and freezes tell.
///
/// What else it may wait for, nobody knew in advance. None if it has no slot, or none of its windows ever comes.
pub fn begins_at(record: &TargetRecord, policy: &Policy, fleet: &Fleet, rules: &Rules) -> Option<Timestamp> {
    let mut at = due_at(record, policy)?;
    for _ in 0..LONGEST_CHAIN {
        match Gates::unpaused(at, fleet, rules).shut(record, policy) {
            None => return Some(at),
            Some(shut) => at = shut.until?,
        }
    }
    None
}

fn later(start: Timestamp, seconds: u64) -> Timestamp {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    start.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Event, How, Listing, RotationId, sample};
    use crate::policy::{Cron, Spread};

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// The daemon was down from one o'clock, somebody rotated at half past two, and the attempt at six finds it: two o'clock is
    /// answered, and tomorrow's is next. An interval counts from one o'clock, when the new key may have come.
    #[test]
    fn a_time_of_the_calendar_is_answered_by_a_change_that_was_found_after_it() {
        let description = sample::target();
        let mut fleet = Fleet::default();
        let target = description.id();
        sample::tell(
            &mut fleet,
            at("2026-05-01T00:00:00Z"),
            &Event::TargetFound { description, listing: Listing::Eligible },
        );
        let key = "before".into();
        sample::tell(
            &mut fleet,
            at("2026-05-01T01:00:00Z"),
            &Event::KeySeen { target: target.clone(), key, looked_at: None },
        );
        let done = Event::RotationDone {
            target: target.clone(),
            rotation: RotationId { slot: 1, attempt: 1 },
            due_at: at("2026-05-01T02:00:00Z"),
            how: How::FoundChanged,
            key_before: "before".into(),
            key_after: "after".into(),
            last_seen: at("2026-05-01T01:00:00Z"),
            looked_at: None,
        };
        sample::tell(&mut fleet, at("2026-05-01T06:00:00Z"), &done);
        let rhythm = Rhythm::Cron(Box::new(Cron::new("0 2 * * *", jiff::tz::TimeZone::UTC).unwrap()));
        let policy = Policy { rhythm, spread: Spread::Percent(0), ..Policy::with_defaults("default".into()) };
        assert_eq!(due_at(&fleet.targets[&target], &policy), Some(at("2026-05-02T02:00:00Z")));
        let policy = Policy { rhythm: crate::domain::Period::days(1).into(), ..policy };
        assert_eq!(due_at(&fleet.targets[&target], &policy), Some(at("2026-05-02T01:00:00Z")));
    }
}
