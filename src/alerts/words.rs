//! How moments and lengths of time read in an alert.

use jiff::Timestamp;

use crate::domain::Period;

/// How long it is from `start` to `end`, in its two largest units; never negative.
pub fn length(start: Timestamp, end: Timestamp) -> String {
    const HOUR: u64 = 3_600;
    const DAY: u64 = 24 * HOUR;
    let seconds = u64::try_from(end.duration_since(start).as_secs()).unwrap_or(0);
    let step = match seconds {
        DAY.. => HOUR,
        HOUR.. => 60,
        _ => 1,
    };
    Period::from_secs(seconds - seconds % step).map_or_else(|| "less than 1s".to_owned(), |period| period.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A clock that was set back gives no negative age.
    #[test]
    fn lengths_are_rounded_down_and_never_negative() {
        let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let later = |seconds| start + jiff::SignedDuration::from_secs(seconds);
        for (seconds, words) in [
            (91 * 86_400 + 2 * 3_600 + 61, "91d 2h"),
            (3_600 + 61, "1h 1m"),
            (61, "1m 1s"),
            (0, "less than 1s"),
            (-5, "less than 1s"),
        ] {
            assert_eq!(length(start, later(seconds)), words);
        }
    }
}
