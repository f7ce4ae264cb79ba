//! How long a server asks to be left alone, as it says in the header `Retry-After`.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;

/// A day: no honest server asks for longer, and nothing may overflow on a dishonest one.
const LONGEST: Duration = Duration::from_secs(86_400);

/// So long from `now`, at most a day; in whole seconds. The header's value is a number of seconds, or a date (RFC 9110
/// §10.2.3); none for anything else.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let seconds = match value.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let date = rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(value).ok()?;
            date.duration_since(now).as_secs().try_into().unwrap_or(0)
        }
    };
    Some(Duration::from_secs(seconds).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_seconds_or_a_date_and_never_beyond_a_day() {
        let now: Timestamp = "2026-05-01T06:00:00Z".parse().unwrap();
        for (value, seconds) in [
            ("17", Some(17)),
            ("Fri, 01 May 2026 06:01:30 GMT", Some(90)),
            ("Fri, 01 May 2026 05:00:00 GMT", Some(0)),
            ("99999999999999", Some(86_400)),
            ("Fri, 01 May 9026 05:00:00 GMT", Some(86_400)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(retry_after(value, now), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
