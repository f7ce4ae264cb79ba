//! Slots by the calendar: cron expressions of five or six fields, in a time zone.

use std::fmt;

use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::window::name_of;
use crate::domain::Period;

/// The gaps between occurrences are measured from here, over two leap years and whatever lies between.
const MEASURED_FROM: i64 = 1_704_067_200;
const MEASURED_SECONDS: i64 = 5 * 366 * 86_400;
/// After so many occurrences their gaps are known well enough.
const MEASURED_TIMES: usize = 2_000;

/// A cron expression and the zone whose clocks it means.
///
/// Where clocks go forward over an occurrence, it comes when they have; where they go back, it comes once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    pattern: croner::Cron,
    text: String,
    zone: TimeZone,
    shortest: Period,
    longest: Period,
}

/// Why a text is not a [`Cron`]; continues a sentence that began with its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// It cannot be read.
    #[error("is no cron expression of five or six fields: {0}")]
    Pattern(String),
    /// It can be read, and never comes, like the thirtieth of February.
    #[error("never comes, or not twice in five years")]
    Never,
}

impl Cron {
    /// Reads an expression: minute, hour, day of the month, month, day of the week, and before them seconds if there are six.
    ///
    /// # Errors
    /// If it cannot be read, or does not come twice in five years.
    pub fn new(text: &str, zone: TimeZone) -> Result<Self, CronError> {
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let fields = text.split_whitespace().count();
        if !matches!(fields, 5 | 6) && !text.trim_start().starts_with('@') {
            return Err(CronError::Pattern(format!("it has {fields}")));
        }
        let pattern = parser.parse(text).map_err(|error| {
            let error = error.to_string();
            let (_, words) = error.split_once(": ").unwrap_or(("", &error));
            CronError::Pattern(words.trim_end_matches('.').to_lowercase())
        })?;
        let (shortest, longest) = gaps(&pattern, &zone).ok_or(CronError::Never)?;
        Ok(Self { pattern, text: text.trim().to_owned(), zone, shortest, longest })
    }

    /// The same by the clocks of another zone.
    ///
    /// # Errors
    /// If it never comes there.
    pub fn in_zone(&self, zone: TimeZone) -> Result<Self, CronError> {
        Self::new(&self.text, zone)
    }

    /// The first occurrence after a moment; the end of time if there is none.
    pub fn after(&self, moment: Timestamp) -> Timestamp {
        next(&self.pattern, &self.zone, moment).unwrap_or(Timestamp::MAX)
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The shortest time between two occurrences.
    pub fn shortest(&self) -> Period {
        self.shortest
    }

    /// The longest time between two occurrences.
    pub fn longest(&self) -> Period {
        self.longest
    }

    /// In words, for people who do not read cron.
    pub fn in_words(&self) -> String {
        format!("{}, by the clocks of {}", self.pattern.describe().trim_end_matches('.'), name_of(&self.zone))
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cron \"{}\" {}", self.text, name_of(&self.zone))
    }
}

fn next(pattern: &croner::Cron, zone: &TimeZone, moment: Timestamp) -> Option<Timestamp> {
    let found = pattern.find_next_occurrence(&moment.to_zoned(zone.clone()), false).ok()?;
    Some(found.timestamp())
}

fn gaps(pattern: &croner::Cron, zone: &TimeZone) -> Option<(Period, Period)> {
    let from = Timestamp::from_second(MEASURED_FROM).ok()?;
    let until = Timestamp::from_second(MEASURED_FROM + MEASURED_SECONDS).ok()?;
    let times = std::iter::successors(next(pattern, zone, from), |at| next(pattern, zone, *at));
    let times: Vec<_> = times.take_while(|at| *at < until).take(MEASURED_TIMES).collect();
    let gaps = times.iter().zip(times.iter().skip(1)).map(|(one, other)| other.duration_since(*one).as_secs());
    let gaps = gaps.filter_map(|seconds| Period::from_secs(u64::try_from(seconds).ok()?));
    gaps.fold(None, |known: Option<(Period, Period)>, gap| {
        Some(known.map_or((gap, gap), |(shortest, longest)| (shortest.min(gap), longest.max(gap))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cron(text: &str, zone: &str) -> Cron {
        Cron::new(text, TimeZone::get(zone).unwrap()).unwrap()
    }

    fn after(cron: &Cron, moment: &str) -> String {
        cron.after(moment.parse().unwrap()).to_string()
    }

    #[test]
    fn five_and_six_fields_are_read_and_explained() {
        let monthly = cron("0 0 2 1 * *", "UTC");
        assert_eq!(monthly, Cron { text: monthly.text.clone(), ..cron("0 2 1 * *", "UTC") });
        assert_eq!(monthly.in_words(), "At 02:00, on day 1, by the clocks of UTC");
        assert_eq!((monthly.shortest(), monthly.longest()), (Period::days(28), Period::days(31)));
        assert_eq!(after(&monthly, "2026-05-01T02:00:00Z"), "2026-06-01T02:00:00Z");
        assert_eq!(after(&monthly, "2026-05-01T01:59:59.5Z"), "2026-05-01T02:00:00Z");
    }

    /// A rotation too many or too few a year would be the price of a mistake here.
    #[test]
    fn it_comes_once_where_clocks_change() {
        let paris = cron("30 2 * * *", "Europe/Paris");
        assert_eq!(after(&paris, "2026-03-28T12:00:00Z"), "2026-03-29T01:00:00Z");
        assert_eq!(after(&paris, "2026-03-29T01:30:00Z"), "2026-03-30T00:30:00Z");
        assert_eq!(after(&paris, "2026-10-24T12:00:00Z"), "2026-10-25T00:30:00Z");
        assert_eq!(after(&paris, "2026-10-25T00:30:00Z"), "2026-10-26T01:30:00Z");
        let london = cron("0 0 0 * * *", "Europe/London");
        assert_eq!(after(&london, "2027-03-27T12:00:00Z"), "2027-03-28T00:00:00Z");
        assert_eq!(after(&london, "2027-03-28T00:00:00Z"), "2027-03-28T23:00:00Z");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text| Cron::new(text, TimeZone::UTC).unwrap_err().to_string();
        assert_eq!(error("0 0 30 2 *"), "never comes, or not twice in five years");
        for text in ["", "0 2 1 *", "0 0 2 1 * * 2027", "61 * * * *", "every monday"] {
            let words = error(text);
            assert!(words.starts_with("is no cron expression of five or six fields: "), "{text:?}: {words}");
        }
    }
}
