//! The period that a bundle is about: whole days, in UTC.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::domain::Moment;

/// From one day to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first day.
    pub from: Date,
    /// The last day.
    pub to: Date,
}

/// Why a period cannot be reported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpanError {
    /// It ends before it begins.
    #[error("the period ends before it begins")]
    Backwards,
    /// It is longer than anyone asks for.
    #[error("the period is longer than 100 years")]
    TooLong,
    /// It is not over.
    #[error("the period is not over: its last day ends in the future, and another export would not be the same")]
    NotOver,
}

impl Span {
    /// The days from `from` to `to`, which must be over by `now`.
    ///
    /// # Errors
    /// If there are none, too many, or some that are not over.
    pub fn new(from: Date, to: Date, now: Timestamp) -> Result<Self, SpanError> {
        let span = Self { from, to };
        if to < from {
            Err(SpanError::Backwards)
        } else if span.days() > 36_525 {
            Err(SpanError::TooLong)
        } else if span.end() > now {
            Err(SpanError::NotOver)
        } else {
            Ok(span)
        }
    }

    /// When it begins.
    pub fn start(self) -> Timestamp {
        Moment::On(self.from).start(&TimeZone::UTC)
    }

    /// When it is over: the first moment of the next day.
    pub fn end(self) -> Timestamp {
        Moment::On(self.to).end(&TimeZone::UTC)
    }

    /// How many days it has.
    pub fn days(self) -> usize {
        let days = self.end().duration_since(self.start()).as_secs() / 86_400;
        usize::try_from(days).unwrap_or(0)
    }

    /// The day with this number, from 0.
    pub fn day(self, number: usize) -> Date {
        self.from.saturating_add(i64::try_from(number).unwrap_or(i64::MAX).days())
    }
}
