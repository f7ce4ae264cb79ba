//! The picture of a target's keys and rotations over time, as places in hundredths of its width.
//!
//! Only shapes that scale are placed so; texts keep their size, and the picture fits a phone as it fits a wall.

use jiff::{SignedDuration, Timestamp};

use super::words::{day, hour, moment};
use crate::domain::{State, TargetRecord};
use crate::policy::{Policy, due_at};
use crate::ports::Past;

/// What is left of the width behind the newest moment, so that its text has room.
const MARGIN: f64 = 0.04;

/// So many moments are named below the line.
const TICKS: i64 = 3;

pub(super) struct Timeline {
    pub(super) keys: Vec<Bar>,
    pub(super) rotations: Vec<Dot>,
    pub(super) lines: Vec<Line>,
    pub(super) ticks: Vec<Tick>,
    /// What there is to see, in words.
    pub(super) words: String,
}

/// The time of one key.
pub(super) struct Bar {
    pub(super) x: String,
    pub(super) width: String,
    pub(super) class: &'static str,
    pub(super) title: String,
}

/// One attempt.
pub(super) struct Dot {
    pub(super) x: String,
    pub(super) sign: &'static str,
    pub(super) class: &'static str,
    pub(super) title: String,
}

/// A moment that matters.
pub(super) struct Line {
    pub(super) x: String,
    pub(super) class: &'static str,
    pub(super) label: &'static str,
    /// Where its text begins or ends: `start`, or `end` near the right edge.
    pub(super) anchor: &'static str,
}

pub(super) struct Tick {
    pub(super) x: String,
    pub(super) label: String,
    pub(super) anchor: &'static str,
}

/// The stretch of time that is drawn.
struct Scale {
    start: Timestamp,
    seconds: f64,
}

impl Scale {
    fn part(&self, at: Timestamp) -> f64 {
        (at.duration_since(self.start).as_secs_f64() / self.seconds).clamp(0.0, 1.0)
    }

    fn at(&self, at: Timestamp) -> String {
        format!("{:.2}%", self.part(at) * 100.0)
    }
}

impl Timeline {
    /// None while there is no key to draw.
    pub(super) fn of(record: &TargetRecord, policy: Option<&Policy>, past: &Past, now: Timestamp) -> Option<Self> {
        let oldest_key = past.keys.iter().map(|key| key.not_before.unwrap_or(key.first_seen).min(key.first_seen)).min();
        let start = oldest_key.into_iter().chain(past.rotations.iter().map(|row| row.began_at)).min()?;
        let due = policy.and_then(|policy| due_at(record, policy));
        let too_old = policy.zip(record.key.as_ref()).map(|(policy, key)| policy.alert_after.after(key.since()));
        let behind = now.duration_since(start).as_secs_f64().max(1.0);
        // What lies far ahead would press all that happened into a corner.
        let near = |at: &Timestamp| at.duration_since(now).as_secs_f64() <= behind.max(60.0);
        let end = [due, too_old].into_iter().flatten().filter(near).max().map_or(now, |ahead| ahead.max(now));
        let drawn = end.duration_since(start).as_secs_f64().max(1.0);
        let scale = Scale { start, seconds: drawn * (1.0 + MARGIN) };

        let keys = past.keys.iter().enumerate().rev().map(|(at, key)| {
            let came = past.keys.get(at + 1).and_then(|before| before.replaced_at).unwrap_or(key.first_seen);
            let gone = key.replaced_at.unwrap_or(now);
            let width = (scale.part(gone) - scale.part(came)).max(0.002);
            let until = key.replaced_at.map_or_else(|| "now".to_owned(), moment);
            Bar {
                x: scale.at(came),
                width: format!("{:.2}%", width * 100.0),
                class: if key.replaced_at.is_none() { "present" } else { "past" },
                title: format!("{}: {} to {until}", key.id, moment(came)),
            }
        });
        let rotations = past.rotations.iter().rev().map(|row| {
            let (sign, class) = match row.state {
                State::Done => ("●", "good"),
                State::Failed | State::Unconfirmed => ("×", "bad"),
                State::Withdrawn | State::Intended | State::Sending | State::Confirming => ("○", "warn"),
            };
            let at = row.ended_at.unwrap_or(row.began_at);
            Dot { x: scale.at(at), sign, class, title: format!("{}: {}", row.state.as_str(), moment(at)) }
        });
        let lines = [(Some(now), "now", "now"), (due, "due", "next"), (too_old, "old", "too old")];
        let lines = lines.into_iter().filter_map(|(at, class, label)| {
            let at = at.filter(|at| *at <= end && *at >= start)?;
            // The text of now stands before its line and those of the future behind theirs, so that they keep apart.
            let anchor = if scale.part(at) > 0.8 || class == "now" && scale.part(at) > 0.2 { "end" } else { "start" };
            Some(Line { x: scale.at(at), class, label, anchor })
        });
        let days = drawn > 2.0 * 86_400.0;
        let ticks = (0..TICKS).map(|number| {
            let part = number as f64 / (TICKS - 1) as f64;
            let after = SignedDuration::from_secs((drawn * part) as i64);
            let at = start.saturating_add(after).unwrap_or(end);
            let anchor = match number {
                0 => "start",
                number if number == TICKS - 1 => "end",
                _ => "middle",
            };
            Tick { x: scale.at(at), label: if days { day(at) } else { hour(at) }, anchor }
        });
        let done = past.rotations.iter().filter(|row| row.state == State::Done).count();
        let failed =
            past.rotations.iter().filter(|row| matches!(row.state, State::Failed | State::Unconfirmed)).count();
        let words = format!(
            "From {} to {}: {} keys, {done} rotations proved, {failed} attempts that failed.",
            moment(start),
            moment(end),
            past.keys.len()
        );
        Some(Self {
            keys: keys.collect(),
            rotations: rotations.collect(),
            lines: lines.collect(),
            ticks: ticks.collect(),
            words,
        })
    }
}
