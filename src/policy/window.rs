//! Stretches of the week in which keys may be rotated, read off the clock on a wall.
//!
//! A moment lies in a window when the clock of the window's zone shows a time within it. So where clocks go back, a repeated
//! hour counts twice, and where they go forward, a skipped one is not there: a window of four hours may have three or five.

use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};

use crate::domain::Span;

const DAY: u32 = 24 * 60;
const WEEK: u32 = 7 * DAY;
/// No zone is further from UTC than this, nor turns its clocks further.
const FARTHEST: SignedDuration = SignedDuration::from_hours(26);
/// A window that clocks skip whenever it comes round is none; from one week to the next they skip it once at most.
const LONGEST_SEARCH: u32 = 8;

/// One window as it is written: `Sat,Sun 01:00-05:00`, `Mon-Fri 22:00-04:00`, `01:00-05:00` for every day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// By the day on which it begins, Monday first.
    days: [bool; 7],
    /// Minutes of the day.
    from: u32,
    /// At most a day later than `from`.
    to: u32,
}

/// Why a text is not a [`Window`]; continues a sentence that began with its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    /// There are not one or two parts.
    #[error("must be days and times, for example \"Sat,Sun 01:00-05:00\", or times alone")]
    Parts,
    /// A day that is none.
    #[error("names a day {0:?}; write Mon, Tue, Wed, Thu, Fri, Sat, Sun, or two of them with - between")]
    Day(String),
    /// A time that is none.
    #[error("has a time {0:?}; write hours and minutes with two digits each, from 00:00 to 24:00")]
    Time(String),
    /// Its end is its beginning.
    #[error("takes no time; a whole day is 00:00-24:00")]
    Empty,
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

impl FromStr for Window {
    type Err = WindowError;

    fn from_str(text: &str) -> Result<Self, WindowError> {
        let mut parts: Vec<&str> = text.split_whitespace().collect();
        let times = parts.pop().ok_or(WindowError::Parts)?;
        let days = match *parts {
            [] => [true; 7],
            [days] => days_of(days)?,
            _ => return Err(WindowError::Parts),
        };
        let (from, to) = times.split_once('-').ok_or(WindowError::Parts)?;
        let (from, to) = (minutes_of(from)?, minutes_of(to)?);
        if from == to {
            return Err(WindowError::Empty);
        }
        if from == DAY {
            return Err(WindowError::Time("24:00".to_owned()));
        }
        Ok(Self { days, from, to: if to < from { to + DAY } else { to } })
    }
}

fn days_of(text: &str) -> Result<[bool; 7], WindowError> {
    let number = |name: &str| {
        let found = DAYS.iter().position(|day| day.eq_ignore_ascii_case(name));
        found.ok_or_else(|| WindowError::Day(name.to_owned()))
    };
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        // Sat-Mon goes on past the week's end.
        let length = (last + 7 - first) % 7;
        for (day, chosen) in days.iter_mut().enumerate() {
            *chosen |= (day + 7 - first) % 7 <= length;
        }
    }
    Ok(days)
}

fn minutes_of(text: &str) -> Result<u32, WindowError> {
    let two = |digits: &str| (digits.len() == 2).then(|| digits.parse::<u8>().ok()).flatten().map(u32::from);
    text.split_once(':')
        .and_then(|(hours, minutes)| Some((two(hours)?, two(minutes)?)))
        .filter(|(hours, minutes)| *minutes < 60 && hours * 60 + minutes <= DAY)
        .map(|(hours, minutes)| hours * 60 + minutes)
        .ok_or_else(|| WindowError::Time(text.to_owned()))
}

impl Window {
    /// How long it is on a day without a change of clocks.
    pub fn length(&self) -> SignedDuration {
        SignedDuration::from_mins(i64::from(self.to - self.from))
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |minutes: u32| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        if self.days != [true; 7] {
            let chosen = self.days.iter().zip(DAYS).filter_map(|(chosen, day)| chosen.then_some(day));
            write!(f, "{} ", chosen.collect::<Vec<_>>().join(","))?;
        }
        let to = if self.to > DAY { self.to - DAY } else { self.to };
        write!(f, "{}-{}", time(self.from), time(to))
    }
}

/// The windows of a policy. None at all means any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    zone: TimeZone,
    windows: Vec<Window>,
    /// The same as minutes of a week that begins on Monday, in order, none touching another. The last may reach into the
    /// next week.
    stretches: Vec<(u32, u32)>,
}

impl Windows {
    /// Any time at all.
    pub fn any() -> Self {
        Self::new(TimeZone::UTC, Vec::new())
    }

    /// These windows, by the clocks of this zone.
    pub fn new(zone: TimeZone, windows: Vec<Window>) -> Self {
        let stretches = stretches(&windows);
        Self { zone, windows, stretches }
    }

    /// As they were written.
    pub fn written(&self) -> &[Window] {
        &self.windows
    }

    /// By whose clocks.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Whether they leave any time out.
    pub fn restrict(&self) -> bool {
        !self.windows.is_empty() && self.stretches.as_slice() != [(0, WEEK)]
    }

    /// The window that the moment lies in, or the next one. None for windows that leave no time out, and at the end of time.
    pub fn at_or_after(&self, at: Timestamp) -> Option<Span> {
        if !self.restrict() {
            return None;
        }
        let today = at.to_zoned(self.zone.clone()).date();
        let monday = today.checked_sub(i32::from(today.weekday().to_monday_zero_offset()).days()).ok()?;
        let mut found: Option<Span> = None;
        // From the week before, whose last window may reach into this one, to the week after, whose first one may come before
        // this one's last where clocks go back on a Monday.
        for week in 0..LONGEST_SEARCH {
            let monday = monday.checked_add((i64::from(week) - 1).weeks()).ok()?;
            for stretch in &self.stretches {
                let before = found.map_or(Timestamp::MAX, |found| found.start);
                for span in self.spans(monday, *stretch, Span { start: at, end: before })?.filter(|span| span.end > at)
                {
                    if found.is_none_or(|found| span.start < found.start) {
                        found = Some(span);
                    }
                }
            }
            if week >= 2 && found.is_some() {
                break;
            }
        }
        found
    }

    /// The moments at which the wall's clock shows a time of the stretch, in the week that begins on `monday`: one span, but
    /// where clocks go back over its edge, and none where they skip it. What is far from `wanted` is left out.
    fn spans(&self, monday: Date, (from, to): (u32, u32), wanted: Span) -> Option<impl Iterator<Item = Span>> {
        let civil = |minutes: u32| monday.at(0, 0, 0, 0).checked_add(i64::from(minutes).minutes());
        let (from, to) = (civil(from).ok()?, civil(to).ok()?);
        let earliest = as_if_at(from, Offset::UTC)?.checked_sub(FARTHEST).ok()?;
        let latest = as_if_at(to, Offset::UTC)?.checked_add(FARTHEST).ok()?;
        let mut spans: Vec<Span> = Vec::new();
        if latest <= wanted.start || earliest >= wanted.end {
            return Some(spans.into_iter());
        }
        let changes = self.zone.following(earliest).map(|change| change.timestamp()).take_while(|at| *at < latest);
        let mut since = earliest;
        for until in changes.chain([latest]) {
            let offset = self.zone.to_offset(since);
            let span = Span { start: as_if_at(from, offset)?.max(since), end: as_if_at(to, offset)?.min(until) };
            since = until;
            if span.start >= span.end {
                continue;
            }
            match spans.last_mut() {
                Some(last) if last.end == span.start => last.end = span.end,
                _ => spans.push(span),
            }
        }
        Some(spans.into_iter())
    }
}

fn as_if_at(civil: DateTime, offset: Offset) -> Option<Timestamp> {
    offset.to_timestamp(civil).ok()
}

/// The windows laid over one week, what overlaps or touches made one.
fn stretches(windows: &[Window]) -> Vec<(u32, u32)> {
    let mut begun: Vec<(u32, u32)> = windows
        .iter()
        .flat_map(|window| (0..7).zip(window.days).filter(|(_, chosen)| *chosen).map(move |(day, _)| (day, window)))
        .map(|(day, window)| (day * DAY + window.from, day * DAY + window.to))
        .collect();
    begun.sort_unstable();
    let mut merged: Vec<(u32, u32)> = Vec::new();
    for (from, to) in begun {
        match merged.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(to),
            _ => merged.push((from, to)),
        }
    }
    // What reaches past Sunday takes in what Monday begins with.
    while let (Some(&(first_from, first_to)), Some(&(_, last_to))) = (merged.first(), merged.last()) {
        if last_to < WEEK || first_from > last_to - WEEK {
            break;
        }
        if merged.len() == 1 {
            if last_to - WEEK >= first_from {
                return vec![(0, WEEK)];
            }
            break;
        }
        merged.remove(0);
        if let Some(last) = merged.last_mut() {
            last.1 = last.1.max(first_to + WEEK);
        }
    }
    merged
}

impl fmt::Display for Windows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written: Vec<_> = self.windows.iter().map(Window::to_string).collect();
        write!(f, "{} {}", written.join("; "), name_of(&self.zone))
    }
}

/// A zone as it is written in a configuration.
pub fn name_of(zone: &TimeZone) -> &str {
    zone.iana_name().unwrap_or("UTC")
}

#[cfg(test)]
pub(super) mod tests;
