//! What each day of a target was: was its key within its cryptoperiod, and if that cannot be shown, why not. Pure.

use jiff::{SignedDuration, Timestamp};

use super::blind::Unseen;
use super::span::Span;
use crate::domain::{Governance, KeyId, Period};

/// What a stretch of time, or a day, of a target was; of several on one day the worst stands, which is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    /// It was not listed yet, or no more.
    NotThere,
    /// Its key was within its cryptoperiod, and that is proved.
    Within,
    /// It was listed and not rotated; the population has the reason.
    LeftOut,
    /// Its key was there before the daemon, no policy governs it, or nobody could look: its age, its limit, or that it still was
    /// in use is not on record.
    Unproved,
    /// Its key had not been read yet.
    Unread,
    /// Its key was older than its policy allowed.
    Overrun,
}

impl Class {
    pub(crate) const ALL: [Self; 6] =
        [Self::Within, Self::Overrun, Self::Unread, Self::Unproved, Self::LeftOut, Self::NotThere];

    /// As one word, in files.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::NotThere => "not_there",
            Self::Within => "within",
            Self::LeftOut => "left_out",
            Self::Unproved => "unproved",
            Self::Unread => "unread",
            Self::Overrun => "overrun",
        }
    }
}

/// How a target stood from a moment on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// No listing names it.
    NotThere,
    /// It is not rotated, in words.
    LeftOut(String),
    /// It is rotated, and its key was never read.
    Unread,
    /// It uses this key.
    Key {
        /// Its id.
        id: KeyId,
        /// From when its age is counted.
        since: Timestamp,
        /// Whether it was seen to come.
        dated: bool,
    },
}

/// A target from a moment on. Both times are one, unless clocks were wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Turn {
    /// When it came to be so, if the records before it are dated too late and those behind it are right.
    pub(crate) earliest: Timestamp,
    /// When it did, if the records before it are right and those behind it are dated too early.
    pub(crate) latest: Timestamp,
    pub(crate) condition: Condition,
    pub(crate) rule: Rule,
}

/// By which policy a target was rotated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The ledger does not say: it is older than the records of that.
    Untold,
    /// The ledger says: by this one, or none.
    Told(Option<Governance>),
}

/// A stretch of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) class: Class,
    /// The key in use, or why the target was left out or not seen.
    pub(crate) about: String,
}

/// Cuts the period into stretches, in order and without a gap; where clocks were wrong, each is the worst that it may have been.
/// `turns` and `untold` hold from their times on, in order; before the first turn the target was not there. `untold` is how old
/// its key might grow while the ledger does not say which policy governs it.
pub(crate) fn stretches(span: Span, turns: &[Turn], untold: &[(Timestamp, Period)]) -> Vec<Stretch> {
    let one = reading(span, turns, |turn| turn.earliest, untold);
    let other = reading(span, turns, |turn| turn.latest, untold);
    if one == other { one } else { worse(&one, &other) }
}

fn reading(
    span: Span,
    turns: &[Turn],
    at: impl Fn(&Turn) -> Timestamp,
    untold: &[(Timestamp, Period)],
) -> Vec<Stretch> {
    let (start, end) = (span.start(), span.end());
    let mut cuts: Vec<Timestamp> = turns.iter().map(&at).chain(untold.iter().map(|(at, _)| *at)).collect();
    cuts.extend([start, end]);
    cuts.retain(|at| (start..=end).contains(at));
    cuts.sort_unstable();
    cuts.dedup();
    let mut found: Vec<Stretch> = Vec::new();
    for (from, to) in cuts.iter().zip(cuts.iter().skip(1)) {
        let (condition, limit) = match turns.iter().rfind(|turn| at(turn) <= *from) {
            None => (&Condition::NotThere, None),
            Some(Turn { condition, rule: Rule::Told(rule), .. }) => {
                (condition, rule.as_ref().map(|rule| rule.alert_after))
            }
            Some(Turn { condition, rule: Rule::Untold, .. }) => {
                (condition, untold.iter().rfind(|(at, _)| at <= from).map(|(_, limit)| *limit))
            }
        };
        for stretch in classify(*from, *to, condition, limit) {
            add(&mut found, stretch);
        }
    }
    found
}

/// The worse of the two at each moment. `other` may be of a part of the period only.
fn worse(one: &[Stretch], other: &[Stretch]) -> Vec<Stretch> {
    let mut cuts: Vec<Timestamp> = one.iter().chain(other).flat_map(|stretch| [stretch.from, stretch.to]).collect();
    cuts.sort_unstable();
    cuts.dedup();
    let mut found = Vec::new();
    for (&from, &to) in cuts.iter().zip(cuts.iter().skip(1)) {
        let there =
            |stretches: &&[Stretch]| stretches.iter().find(|stretch| stretch.from <= from && to <= stretch.to).cloned();
        let worst = [one, other].iter().filter_map(there).max_by_key(|stretch| stretch.class);
        if let Some(worst) = worst {
            add(&mut found, Stretch { from, to, ..worst });
        }
    }
    found
}

/// The same, in doubt where nobody could look.
pub(crate) fn doubted(known: &[Stretch], span: Span, unseen: &Unseen) -> Vec<Stretch> {
    let (from, to) = (unseen.from.max(span.start()), unseen.to.min(span.end()));
    let about = format!("not seen: {}", unseen.why);
    let doubt = (from < to).then_some(Stretch { from, to, class: Class::Unproved, about });
    worse(known, doubt.as_slice())
}

/// Adds what comes next, to the last one if it is the same.
fn add(found: &mut Vec<Stretch>, stretch: Stretch) {
    match found.last_mut() {
        Some(last) if last.class == stretch.class && last.about == stretch.about => last.to = stretch.to,
        _ => found.push(stretch),
    }
}

fn classify(from: Timestamp, to: Timestamp, condition: &Condition, limit: Option<Period>) -> Vec<Stretch> {
    let whole = |class, about: &str| vec![Stretch { from, to, class, about: about.to_owned() }];
    let (id, since, dated) = match condition {
        Condition::NotThere => return whole(Class::NotThere, ""),
        Condition::LeftOut(why) => return whole(Class::LeftOut, why),
        Condition::Unread => return whole(Class::Unread, ""),
        Condition::Key { id, since, dated } => (id, *since, *dated),
    };
    let young = match (limit, dated) {
        (Some(_), true) => Class::Within,
        (Some(_), false) | (None, _) => Class::Unproved,
    };
    let old = limit.map_or(Timestamp::MAX, |limit| limit.after(since)).clamp(from, to);
    let parts = [(from, old, young), (old, to, Class::Overrun)];
    let parts = parts.into_iter().filter(|(from, to, _)| from < to);
    parts.map(|(from, to, class)| Stretch { from, to, class, about: id.to_string() }).collect()
}

/// The class of each day of the period. Every day has exactly one.
pub(crate) fn days(span: Span, stretches: &[Stretch]) -> Vec<Class> {
    let mut days = vec![Class::NotThere; span.days()];
    for stretch in stretches {
        let number = |at: Timestamp| at.duration_since(span.start()).as_secs() / 86_400;
        // A stretch that ends at midnight has no part in the next day.
        let last = number(stretch.to.saturating_sub(SignedDuration::from_micros(1)).unwrap_or(stretch.to));
        let (first, last) = (usize::try_from(number(stretch.from)), usize::try_from(last));
        let (Ok(first), Ok(last)) = (first, last) else { continue };
        for day in days.iter_mut().skip(first).take(last + 1 - first) {
            *day = (*day).max(stretch.class);
        }
    }
    days
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn span() -> Span {
        Span::new("2026-01-01".parse().unwrap(), "2026-01-10".parse().unwrap(), at("2026-02-01T00:00:00Z")).unwrap()
    }

    fn key(since: &str, dated: bool) -> Condition {
        Condition::Key { id: "k".into(), since: at(since), dated }
    }

    fn turn(on: &str, condition: Condition) -> Turn {
        Turn { earliest: at(on), latest: at(on), condition, rule: Rule::Untold }
    }

    /// A key of unknown age proves nothing, one that was seen to come does until its limit, and then it does not.
    #[test]
    fn a_day_is_what_was_worst_on_it() {
        let turns = [
            turn("2026-01-02T12:00:00Z", Condition::Unread),
            turn("2026-01-03T00:00:00Z", key("2026-01-03T00:00:00Z", false)),
            turn("2026-01-04T12:00:00Z", key("2026-01-04T11:00:00Z", true)),
            turn("2026-01-08T00:00:00Z", Condition::LeftOut("excluded".to_owned())),
            turn("2026-01-09T00:00:00Z", Condition::NotThere),
        ];
        let limits = [(at("2020-01-01T00:00:00Z"), Period::days(2))];
        let cut = stretches(span(), &turns, &limits);
        assert_eq!(cut.first().map(|first| first.from), Some(span().start()));
        assert!(cut.windows(2).all(|pair| pair[0].to == pair[1].from) && cut.last().unwrap().to == span().end());
        use Class::*;
        let expected = [NotThere, Unread, Unproved, Unproved, Within, Overrun, Overrun, LeftOut, NotThere, NotThere];
        assert_eq!(days(span(), &cut), expected);
    }

    /// A policy that became stricter counts from then on, and not before.
    #[test]
    fn a_limit_holds_from_its_time_on() {
        let turns = [turn("2025-12-01T00:00:00Z", key("2025-12-30T00:00:00Z", true))];
        let limits = [(at("2025-12-01T00:00:00Z"), Period::days(90)), (at("2026-01-06T00:00:00Z"), Period::days(3))];
        let days = days(span(), &stretches(span(), &turns, &limits));
        assert_eq!(days.iter().filter(|day| **day == Class::Within).count(), 5);
        assert_eq!(days.iter().filter(|day| **day == Class::Overrun).count(), 5);
    }

    /// Of records that are dated backwards either may be wrong: no day is better than it may have been.
    #[test]
    fn where_clocks_were_wrong_a_day_is_the_worst_that_it_may_have_been() {
        let limits = [(at("2020-01-01T00:00:00Z"), Period::days(3))];
        let excluded = Condition::LeftOut("excluded".to_owned());
        // Left out on the 3rd, behind a record of the 8th.
        let ahead = Turn { latest: at("2026-01-08T00:00:00Z"), ..turn("2026-01-03T00:00:00Z", excluded) };
        let turns = [turn("2026-01-01T00:00:00Z", key("2026-01-01T00:00:00Z", true)), ahead];
        let cut = stretches(span(), &turns, &limits);
        assert!(cut.windows(2).all(|pair| pair[0].to == pair[1].from) && cut.last().unwrap().to == span().end());
        use Class::*;
        let expected = [Within, Within, LeftOut, Overrun, Overrun, Overrun, Overrun, LeftOut, LeftOut, LeftOut];
        assert_eq!(days(span(), &cut), expected);
    }

    /// What the ledger says of a target's policy holds, whatever the limits of policies were; before that no limit is known, and
    /// nothing holds backwards.
    #[test]
    fn a_limit_is_the_one_on_record() {
        let untold = [(at("2026-01-02T00:00:00Z"), Period::days(1000)), (at("2026-01-07T00:00:00Z"), Period::days(1))];
        let young = || key("2025-12-31T00:00:00Z", true);
        let governance = Governance { policy: "p".into(), alert_after: Period::days(5) };
        let turns = [
            turn("2025-12-31T00:00:00Z", young()),
            Turn { rule: Rule::Told(Some(governance)), ..turn("2026-01-04T00:00:00Z", young()) },
            Turn { rule: Rule::Told(None), ..turn("2026-01-08T00:00:00Z", young()) },
        ];
        use Class::*;
        let expected = [Unproved, Within, Within, Within, Overrun, Overrun, Overrun, Unproved, Unproved, Unproved];
        assert_eq!(days(span(), &stretches(span(), &turns, &untold)), expected);
    }

    /// A doubt begins when nobody could look any more, and not before.
    #[test]
    fn doubt_does_not_spread() {
        let turns = [turn("2025-12-01T00:00:00Z", key("2025-12-30T00:00:00Z", true))];
        let limits = [(at("2025-12-01T00:00:00Z"), Period::days(90))];
        let known = stretches(span(), &turns, &limits);
        let unseen = |from, to| Unseen { from: at(from), to: at(to), why: "rekeyd did not run" };
        let cut = doubted(&known, span(), &unseen("2026-01-05T00:00:00Z", "2026-01-08T00:00:00Z"));
        use Class::*;
        let expected = [Within, Within, Within, Within, Unproved, Unproved, Unproved, Within, Within, Within];
        assert_eq!(days(span(), &cut), expected);
        // It may have begun before the period, and last beyond its end.
        let cut = doubted(&cut, span(), &unseen("2026-01-10T12:00:00Z", "2026-02-01T00:00:00Z"));
        assert_eq!(cut.last().unwrap().from, at("2026-01-10T12:00:00Z"));
        let cut = doubted(&cut, span(), &unseen("2025-12-01T00:00:00Z", "2026-01-02T00:00:00Z"));
        let expected = [Unproved, Within, Within, Within, Unproved, Unproved, Unproved, Within, Within, Unproved];
        assert_eq!(days(span(), &cut), expected);
        assert!(cut.windows(2).all(|pair| pair[0].to == pair[1].from) && cut.last().unwrap().to == span().end());
    }

    /// Without a policy nothing is proved; without a target nothing is there.
    #[test]
    fn nothing_is_proved_by_silence() {
        let turns = [turn("2025-12-01T00:00:00Z", key("2025-12-30T00:00:00Z", true))];
        assert_eq!(days(span(), &stretches(span(), &turns, &[])), [Class::Unproved; 10]);
        assert_eq!(days(span(), &stretches(span(), &[], &[])), [Class::NotThere; 10]);
    }
}
