//! A stretch of time from one moment to another.

use std::fmt;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// A stretch of time, its end not belonging to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// When it begins.
    pub start: Timestamp,
    /// When it is over.
    pub end: Timestamp,
}

impl Span {
    /// Whether the moment lies in it.
    pub fn contains(self, at: Timestamp) -> bool {
        self.start <= at && at < self.end
    }
}

impl fmt::Display for Span {
    /// In UTC, to the minute, the end's day only where it is another one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let day = |at: Timestamp| at.to_zoned(TimeZone::UTC).date();
        let end = if day(self.start) == day(self.end) { "%H:%MZ" } else { "%Y-%m-%dT%H:%MZ" };
        write!(f, "{} to {}", self.start.strftime("%Y-%m-%dT%H:%MZ"), self.end.strftime(end))
    }
}
