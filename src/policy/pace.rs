//! How long to wait: between attempts, between looks at a rotation in hand, between probes of a manager that fails.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::place::jitter;
use super::settings::Policy;
use crate::domain::{Failure, Phase, RotationId, Scope, TargetId};

/// The first retry comes within this; a blip is over by then.
const FIRST_RETRY: Duration = Duration::from_secs(10);
/// Each further retry may wait this many times as long as the one before.
const RETRY_GROWTH: u32 = 4;
/// No retry waits longer: with 8 attempts a slot is tried for four hours, less some minutes, before an operator is asked, and for
/// eight at the most.
const LONGEST_RETRY: Duration = Duration::from_secs(4 * 3600);
/// A server may ask to be left alone for a day, not for ever.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(86_400);

/// When the attempt after a failed one may be made.
///
/// Exponential backoff, half of each wait by chance, and never sooner than the server asked. The wait grows with the `failures` of
/// the slot that were counted before this one, which an operator's rearm forgets; where the manager failed, which counts nobody's
/// failures, with the attempts. The waits shrink with the interval, so that a rehearsal with short intervals meets them too.
pub fn retry_at(
    now: Timestamp,
    target: &TargetId,
    failed: RotationId,
    failures: u32,
    failure: &Failure,
    policy: &Policy,
) -> Timestamp {
    let earlier = match failure.scope {
        Scope::Target | Scope::Ourselves => failures,
        Scope::Manager => failed.attempt.saturating_sub(1),
    };
    let longest = (policy.rhythm.shortest().as_duration() / 10).clamp(Duration::from_secs(1), LONGEST_RETRY);
    let ceiling = growing(FIRST_RETRY.min(longest), RETRY_GROWTH, earlier, longest);
    let wait = ceiling.mul_f64(0.5 + 0.5 * jitter(target, failed));
    let asked = failure.retry_after().unwrap_or_default().min(LONGEST_RETRY_AFTER);
    add(now, wait.max(asked))
}

/// Whether an attempt that may be made at `retry_at` has to wait. A time further off than any that is given was given
/// by a clock that has been set back since: it must not silence the target.
pub fn waits(now: Timestamp, retry_at: Timestamp) -> bool {
    now < retry_at && retry_at <= add(now, LONGEST_RETRY_AFTER)
}

/// How long after its PUT a rotation is given up if no look has shown a new key.
///
/// Never before `settle`: for that long no second PUT may leave. An accepted PUT has `confirm_within` where that is longer.
pub fn give_up_after(phase: &Phase, policy: &Policy) -> Duration {
    match phase {
        Phase::Confirming { .. } => policy.confirm_within.max(policy.settle).as_duration(),
        Phase::Intended | Phase::Sending { .. } => policy.settle.as_duration(),
    }
}

/// The wait before look number `looks` (from 0) at a rotation in hand. The first is immediate: many servers apply at once.
pub fn poll_after(looks: u32, give_up_after: Duration) -> Duration {
    let longest = (give_up_after / 20).clamp(Duration::from_millis(200), Duration::from_secs(15));
    match looks.checked_sub(1) {
        None => Duration::ZERO,
        Some(earlier) => growing(Duration::from_millis(100), 2, earlier, longest),
    }
}

/// The wait before the next probe of a manager that has failed `failures` times in a row, at least once.
pub fn probe_after(failures: u32) -> Duration {
    growing(Duration::from_secs(2), 2, failures.saturating_sub(1), Duration::from_secs(300))
}

fn growing(first: Duration, growth: u32, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(growth.saturating_pow(times)).min(longest)
}

fn add(start: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait).ok().and_then(|wait| start.checked_add(wait).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Reason, sample};

    fn failure(retry_after_s: Option<u64>) -> Failure {
        Failure { retry_after_s, ..sample::failure(Reason::RateLimited) }
    }

    /// The budget of attempts outlasts a disturbance of an hour, and does not outlast a working day.
    #[test]
    fn eight_attempts_take_hours() {
        let policy = Policy::with_defaults("default".into());
        let now: Timestamp = "2026-05-01T00:00:00Z".parse().unwrap();
        let spans: Vec<i64> = (0..500)
            .map(|n| {
                let target = TargetId::new(format!("emea/5f/{n}"));
                let wait = |attempt| {
                    let id = RotationId { slot: 1, attempt };
                    retry_at(now, &target, id, attempt - 1, &failure(None), &policy).duration_since(now).as_secs()
                };
                (1..8).map(wait).sum()
            })
            .collect();
        let (shortest, longest) = (spans.iter().min().unwrap(), spans.iter().max().unwrap());
        assert!(*shortest > 3 * 3600 && *longest < 8 * 3600, "{shortest} to {longest}");
    }

    /// A server that asks for quiet gets it, within a day; without a wish the wait stays under the ceiling.
    #[test]
    fn honours_retry_after_and_stays_under_the_ceiling() {
        let policy = Policy::with_defaults("default".into());
        let now: Timestamp = "2026-05-01T00:00:00Z".parse().unwrap();
        let target = TargetId::from("emea/5f/6a");
        for attempt in 1..40 {
            let id = RotationId { slot: 1, attempt };
            let wait = retry_at(now, &target, id, attempt - 1, &failure(None), &policy).duration_since(now);
            assert!(wait <= SignedDuration::from_hours(4), "attempt {attempt}: {wait}");
            let asked = retry_at(now, &target, id, attempt - 1, &failure(Some(18_000)), &policy).duration_since(now);
            assert_eq!(asked, SignedDuration::from_hours(5));
        }
        let id = RotationId { slot: 1, attempt: 1 };
        let greedy = retry_at(now, &target, id, 0, &failure(Some(u64::MAX)), &policy);
        assert_eq!(greedy.duration_since(now), SignedDuration::from_hours(24));
    }

    /// Whoever rearms a target gives it a whole budget anew, and what its manager did is not held against it: the ninth attempt
    /// that is the first to count is followed by the tenth at once. A manager that comes and goes is asked ever more seldom.
    #[test]
    fn a_new_budget_begins_with_short_waits() {
        let policy = Policy::with_defaults("default".into());
        let now: Timestamp = "2026-05-01T00:00:00Z".parse().unwrap();
        let wait = |scope| {
            let failure = Failure { scope, ..failure(None) };
            let ninth = RotationId { slot: 1, attempt: 9 };
            retry_at(now, &TargetId::from("emea/5f/6a"), ninth, 0, &failure, &policy).duration_since(now).as_secs()
        };
        assert!(wait(Scope::Target) <= 10 && wait(Scope::Ourselves) <= 10 && wait(Scope::Manager) > 3600);
    }

    #[test]
    fn the_first_look_is_immediate_and_later_ones_slow_down() {
        let waits: Vec<_> = (0..9).map(|looks| poll_after(looks, Duration::from_secs(900)).as_millis()).collect();
        assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 6400, 12_800]);
        assert_eq!(poll_after(500, Duration::from_secs(900)), Duration::from_secs(15));
    }
}
