//! Moments as people write them: an instant, a day in the configured zone, or a time ago.

use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::domain::Period;

/// A moment that depends on now and on the time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Said in full.
    At(Timestamp),
    /// So long ago.
    Ago(Period),
    /// A whole day.
    On(Date),
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text.parse().map(Self::At).ok();
        at.or_else(|| text.parse().map(Self::Ago).ok())
            .or_else(|| text.parse().map(Self::On).ok())
            .ok_or_else(|| "no time; write 2026-05-01, 2026-05-01T06:00:00Z, or 90d for 90 days ago".to_owned())
    }
}

impl When {
    /// The moment at which a stretch of time begins that begins then.
    pub(super) fn start(self, now: Timestamp, zone: &TimeZone) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(length) => length.before(now),
            Self::On(day) => midnight(day, zone),
        }
    }

    /// The moment before which a stretch of time ends that ends then: a day belongs to it whole.
    pub(super) fn end(self, now: Timestamp, zone: &TimeZone) -> Timestamp {
        match self {
            Self::At(_) | Self::Ago(_) => self.start(now, zone),
            Self::On(day) => day.checked_add(1.day()).map_or(Timestamp::MAX, |next| midnight(next, zone)),
        }
    }
}

/// A moment to come, as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Later {
    /// Said in full.
    At(Timestamp),
    /// So long from now.
    In(Period),
    /// On a day: at its beginning or at its end.
    On(Date),
}

impl FromStr for Later {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let at = text.parse().map(Self::At).ok();
        at.or_else(|| text.parse().map(Self::In).ok())
            .or_else(|| text.parse().map(Self::On).ok())
            .ok_or_else(|| "no time; write 4h, 2026-05-01T06:00:00Z, or a day: 2026-05-01".to_owned())
    }
}

impl Later {
    /// The moment that is meant for a beginning.
    pub(super) fn beginning(self, now: Timestamp, zone: &TimeZone) -> Timestamp {
        match self {
            Self::At(_) | Self::In(_) => self.moment(now, zone),
            Self::On(day) => When::On(day).start(now, zone),
        }
    }

    /// The moment that is meant for an end.
    pub(super) fn moment(self, now: Timestamp, zone: &TimeZone) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::In(length) => length.after(now),
            Self::On(day) => When::On(day).end(now, zone),
        }
    }
}

/// The first moment of a day; days at the ends of time begin with it.
fn midnight(day: Date, zone: &TimeZone) -> Timestamp {
    let edge = if day.year() < 0 { Timestamp::MIN } else { Timestamp::MAX };
    day.to_zoned(zone.clone()).map_or(edge, |start| start.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A day is the day of the configured zone, from its midnight to the next, also when it has 23 hours.
    #[test]
    fn a_day_is_a_day_of_the_zone() {
        let zone = TimeZone::get("Europe/Paris").unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let day: When = "2026-03-29".parse().unwrap();
        assert_eq!(day.start(now, &zone).to_string(), "2026-03-28T23:00:00Z");
        assert_eq!(day.end(now, &zone).to_string(), "2026-03-29T22:00:00Z");
    }

    /// A pause until Friday holds on Friday.
    #[test]
    fn a_length_reaches_forward_and_a_day_to_its_end() {
        let now: Timestamp = "2026-05-01T00:00:00Z".parse().unwrap();
        let moment = |text: &str| text.parse::<Later>().map(|later| later.moment(now, &TimeZone::UTC).to_string());
        assert_eq!(moment("4h").unwrap(), "2026-05-01T04:00:00Z");
        assert_eq!(moment("2026-05-08").unwrap(), "2026-05-09T00:00:00Z");
        let from = |text: &str| text.parse::<Later>().unwrap().beginning(now, &TimeZone::UTC).to_string();
        assert_eq!((from("2026-05-08"), from("4h")), ("2026-05-08T00:00:00Z".into(), "2026-05-01T04:00:00Z".into()));
        assert_eq!(moment("2026-05-08T06:00:00+02:00").unwrap(), "2026-05-08T04:00:00Z");
        assert!(moment("soon").is_err());
    }

    #[test]
    fn instants_and_times_ago_are_read_and_others_refused() {
        let now: Timestamp = "2026-05-01T00:00:00Z".parse().unwrap();
        let start = |text: &str| text.parse::<When>().map(|when| when.start(now, &TimeZone::UTC).to_string());
        assert_eq!(start("2026-05-01T06:00:00+02:00").unwrap(), "2026-05-01T04:00:00Z");
        assert_eq!(start("90d").unwrap(), "2026-01-31T00:00:00Z");
        assert!(start("-009999-01-01").is_ok() && start("9999-12-31").is_ok());
        assert!(start("yesterday").unwrap_err().contains("2026-05-01"));
    }
}
