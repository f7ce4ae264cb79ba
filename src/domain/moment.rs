//! A point in time as people write it, on a command line, in a request or in the configuration file.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// A point in time, or a day. What has no offset is read in a time zone that is known only later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// With its offset from UTC: `2026-12-20T18:00:00Z`.
    At(Timestamp),
    /// Without one: `2026-12-20T18:00:00`.
    Civil(DateTime),
    /// A whole day: `2026-12-20`.
    On(Date),
}

/// A text is not a [`Moment`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither a day nor a time; write 2026-05-01, 2026-05-01T06:00, or with its offset 2026-05-01T06:00Z")]
pub struct NoMoment;

impl FromStr for Moment {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Self, NoMoment> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        // jiff's dates and civil times leave out what follows them: an hour, or the name of a zone. What is written is meant.
        let read = if text.contains('[') {
            None
        } else if text.contains(['T', 't', ' ']) {
            text.parse().ok().map(Self::Civil)
        } else {
            text.parse().ok().map(Self::On)
        };
        read.ok_or(NoMoment)
    }
}

impl Moment {
    /// When something begins that begins then: a day at its midnight.
    pub fn start(self, zone: &TimeZone) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Civil(civil) => timestamp(civil, zone),
            Self::On(day) => timestamp(day.to_datetime(jiff::civil::Time::midnight()), zone),
        }
    }

    /// When something is over that ends then: a day belongs to it whole.
    pub fn end(self, zone: &TimeZone) -> Timestamp {
        match self {
            Self::At(_) | Self::Civil(_) => self.start(zone),
            Self::On(day) => day.tomorrow().map_or(Timestamp::MAX, |next| Self::On(next).start(zone)),
        }
    }
}

/// A time that the clocks of the zone skip is read as if they had not; one that they show twice is the first of both. Beyond
/// the ends of time, that end.
fn timestamp(civil: DateTime, zone: &TimeZone) -> Timestamp {
    let beyond = if civil.year() < 0 { Timestamp::MIN } else { Timestamp::MAX };
    zone.to_timestamp(civil).unwrap_or(beyond)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_paris(text: &str) -> Result<(String, String), NoMoment> {
        let zone = TimeZone::get("Europe/Paris").unwrap();
        let moment: Moment = text.parse()?;
        Ok((moment.start(&zone).to_string(), moment.end(&zone).to_string()))
    }

    /// Every part that is written counts: no hour, offset or zone is left out in silence.
    #[test]
    fn what_is_written_is_what_is_read_or_it_is_refused() {
        for (text, start) in [
            ("2026-12-20T18:00:00Z", "2026-12-20T18:00:00Z"),
            ("2026-12-20T18:00:00+02:00", "2026-12-20T16:00:00Z"),
            ("2026-12-20T18:00+01:00[Europe/Paris]", "2026-12-20T17:00:00Z"),
            ("2026-12-20 18:00Z", "2026-12-20T18:00:00Z"),
            ("2026-12-20T18Z", "2026-12-20T18:00:00Z"),
            ("2026-12-20T18:00:00", "2026-12-20T17:00:00Z"),
            ("2026-12-20T18:00", "2026-12-20T17:00:00Z"),
            ("2026-12-20t18:00", "2026-12-20T17:00:00Z"),
            ("2026-12-20 18:00", "2026-12-20T17:00:00Z"),
            ("2026-12-20T18", "2026-12-20T17:00:00Z"),
            ("20261220T180000", "2026-12-20T17:00:00Z"),
        ] {
            assert_eq!(in_paris(text), Ok((start.to_owned(), start.to_owned())), "{text}");
        }
        for text in [
            "",
            "soon",
            "18:00",
            "2026-12-20T",
            "2026-12-20T25:00",
            "2026-12-20T18:00:00[Europe/Rome]",
            "2026-12-20[Europe/Rome]",
            "2026-12-20Z",
            "2026-12-20+02:00",
            // What a plus becomes in a query that is not escaped.
            "2026-12-20T18:00:00 02:00",
        ] {
            assert_eq!(in_paris(text), Err(NoMoment), "{text}");
        }
    }

    /// A day is one of the zone, from its midnight to the next, also when it has 23 hours.
    #[test]
    fn a_day_is_a_day_of_the_zone() {
        let day = |start: &str, end: &str| Ok((start.to_owned(), end.to_owned()));
        assert_eq!(in_paris("2026-12-20"), day("2026-12-19T23:00:00Z", "2026-12-20T23:00:00Z"));
        assert_eq!(in_paris("2026-03-29"), day("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"));
        assert_eq!(in_paris("20261220"), in_paris("2026-12-20"));
        assert_eq!(in_paris("9999-12-31").unwrap().1, Timestamp::MAX.to_string());
        assert_eq!(in_paris("-009999-01-01").unwrap().0, Timestamp::MIN.to_string());
    }
}
