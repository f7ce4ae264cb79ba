//! Times on the command line: a moment, a day in the configured zone, or a length of time from now.

use std::str::FromStr;

use jiff::Timestamp;

use crate::domain::{Moment, Period};

/// A time that may depend on now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Whatever the time is now.
    Said(Moment),
    /// So long before now or after it.
    Length(Period),
}

impl FromStr for When {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let said = text.parse().map(Self::Said).ok();
        said.or_else(|| text.parse().map(Self::Length).ok()).ok_or_else(|| {
            "no time; write 2026-05-01, 2026-05-01T06:00, 2026-05-01T06:00Z, or a length of time such as 4h or 90d"
                .to_owned()
        })
    }
}

impl When {
    /// For a time in the past: a length is counted back from now.
    pub(super) fn ago(self, now: Timestamp) -> Moment {
        match self {
            Self::Said(moment) => moment,
            Self::Length(length) => Moment::At(length.before(now)),
        }
    }

    /// For a time to come: a length is counted from now on.
    pub(super) fn ahead(self, now: Timestamp) -> Moment {
        match self {
            Self::Said(moment) => moment,
            Self::Length(length) => Moment::At(length.after(now)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_reaches_back_or_forward_and_a_moment_is_the_same_both_ways() {
        let now: Timestamp = "2026-05-01T00:00:00Z".parse().unwrap();
        let both = |text: &str| text.parse::<When>().map(|when| (when.ago(now), when.ahead(now)));
        let moment = |text: &str| text.parse::<Moment>().unwrap();
        assert_eq!(both("4h"), Ok((moment("2026-04-30T20:00:00Z"), moment("2026-05-01T04:00:00Z"))));
        assert_eq!(both("2h 30m"), Ok((moment("2026-04-30T21:30:00Z"), moment("2026-05-01T02:30:00Z"))));
        for text in ["2026-05-08", "2026-05-08T06:00:00", "2026-05-08 06:00", "2026-05-08T06:00:00+02:00"] {
            assert_eq!(both(text), Ok((moment(text), moment(text))), "{text}");
        }
        assert!(both("yesterday").unwrap_err().contains("2026-05-01"));
    }
}
