//! Lengths of time as people write them: `90d`, `2h 30m`, `1s`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// A fixed length of time, whole seconds, at least one second; a day is 24 hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Period(u32);

/// Why a text is not a [`Period`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeriodError {
    /// Nothing was written.
    #[error("a length of time is missing; write for example \"90d\" or \"2h 30m\"")]
    Empty,
    /// A number without a unit.
    #[error("{0:?} has no unit; write w, d, h, m or s behind each number")]
    NoUnit(String),
    /// A unit that is not known.
    #[error("{0:?} is no unit; write w, d, h, m or s")]
    UnknownUnit(String),
    /// Something else than a number.
    #[error("{0:?} is no number with a unit; write for example \"90d\" or \"2h 30m\"")]
    NoNumber(String),
    /// Zero seconds.
    #[error("the shortest length is 1s")]
    Zero,
    /// More than a hundred years.
    #[error("the longest length is 36500d")]
    TooLong,
}

const MINUTE: u32 = 60;
const HOUR: u32 = 60 * MINUTE;
const DAY: u32 = 24 * HOUR;
const WEEK: u32 = 7 * DAY;
/// A hundred years: longer than any cryptoperiod, and far inside what `u32` seconds and timestamps hold.
const LONGEST: u64 = 36_500 * DAY as u64;

impl Period {
    /// So many seconds; none if zero or more than a hundred years.
    pub fn from_secs(seconds: u64) -> Option<Self> {
        (1..=LONGEST)
            .contains(&seconds)
            .then(|| Self(u32::try_from(seconds).expect("a hundred years of seconds fit u32")))
    }

    /// So many days; for constants below a hundred years.
    pub const fn days(days: u16) -> Self {
        assert!(days > 0 && days <= 36_500);
        Self(days as u32 * DAY)
    }

    /// So many minutes; for constants.
    pub const fn minutes(minutes: u16) -> Self {
        assert!(minutes > 0);
        Self(minutes as u32 * MINUTE)
    }

    /// So many seconds; for constants.
    pub const fn seconds(seconds: u16) -> Self {
        assert!(seconds > 0);
        Self(seconds as u32)
    }

    /// Its length in seconds.
    pub const fn as_secs(self) -> u64 {
        self.0 as u64
    }

    /// As the standard library's duration.
    pub const fn as_duration(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }

    /// This long after `start`; the end of time if that lies beyond it.
    pub fn after(self, start: Timestamp) -> Timestamp {
        start.saturating_add(SignedDuration::from_secs(i64::from(self.0))).unwrap_or(Timestamp::MAX)
    }

    /// This long before `end`; the beginning of time if that lies before it.
    pub fn before(self, end: Timestamp) -> Timestamp {
        end.saturating_sub(SignedDuration::from_secs(i64::from(self.0))).unwrap_or(Timestamp::MIN)
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(PeriodError::Empty);
        }
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, tail) = rest.split_at(digits);
            let tail = tail.trim_start();
            let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            if number.is_empty() {
                return Err(PeriodError::NoNumber(rest.to_owned()));
            }
            let seconds = match unit {
                "" => return Err(PeriodError::NoUnit(number.to_owned())),
                "w" => WEEK,
                "d" => DAY,
                "h" => HOUR,
                "m" => MINUTE,
                "s" => 1,
                other => return Err(PeriodError::UnknownUnit(other.to_owned())),
            };
            let number: u64 = number.parse().map_err(|_| PeriodError::TooLong)?;
            total = number
                .checked_mul(u64::from(seconds))
                .and_then(|part| total.checked_add(part))
                .ok_or(PeriodError::TooLong)?;
            rest = tail.trim_start();
        }
        match total {
            0 => Err(PeriodError::Zero),
            seconds => Self::from_secs(seconds).ok_or(PeriodError::TooLong),
        }
    }
}

impl TryFrom<String> for Period {
    type Error = PeriodError;

    fn try_from(text: String) -> Result<Self, PeriodError> {
        text.parse()
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut left = self.0;
        let mut words = Vec::new();
        for (unit, seconds) in [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", 1)] {
            if left >= seconds {
                words.push(format!("{}{unit}", left / seconds));
                left %= seconds;
            }
        }
        f.pad(&words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write() {
        for (text, seconds) in
            [("90d", 7_776_000), ("2h 30m", 9_000), ("2h30m", 9_000), ("1s", 1), ("1w", 604_800), (" 10 m ", 600)]
        {
            assert_eq!(text.parse::<Period>().map(Period::as_secs), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!("".parse::<Period>(), Err(PeriodError::Empty));
        assert_eq!("90".parse::<Period>(), Err(PeriodError::NoUnit("90".into())));
        assert_eq!("90 days".parse::<Period>(), Err(PeriodError::UnknownUnit("days".into())));
        assert_eq!("-1d".parse::<Period>(), Err(PeriodError::NoNumber("-1d".into())));
        assert_eq!("0d".parse::<Period>(), Err(PeriodError::Zero));
        assert_eq!("99999999999999999999d".parse::<Period>(), Err(PeriodError::TooLong));
        assert_eq!("36501d".parse::<Period>(), Err(PeriodError::TooLong));
    }

    proptest::proptest! {
        /// What is printed reads back as the same length.
        #[test]
        fn prints_what_it_reads(seconds in 1..=LONGEST) {
            let period = Period::from_secs(seconds).unwrap();
            proptest::prop_assert_eq!(period.to_string().parse(), Ok(period));
        }
    }
}
