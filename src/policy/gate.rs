//! Whether the time is right: windows, freezes and pauses, and a clock that can be gone by.

use std::cell::RefCell;
use std::collections::HashMap;

use jiff::Timestamp;

use super::freeze::freezes;
use super::rules::Rules;
use super::settings::Policy;
use super::window::Windows;
use crate::domain::{
    Fleet, Freeze, Glob, Listing, Pause, Period, PolicyName, Sighting, Span, Standing, TargetId, TargetName,
    TargetRecord, WaitReason,
};

/// A window that is too short to begin in is passed over; after so many there is none.
const LONGEST_SEARCH: usize = 520;

/// Why no attempt may begin at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shut {
    /// When to ask again; none if no window ever comes.
    pub(super) until: Option<Timestamp>,
    /// Why.
    pub(super) reason: WaitReason,
}

/// Why nothing may be sent to this target at `at`, by what is known and in force then; none if it may: it is rotated at all, and
/// nothing holds it.
///
/// An attempt begins only while its window has a request's time-out left: whatever it sends has left by the window's end, or
/// has been given up. So this is asked when the request is about to leave, after whatever it had to wait for.
pub fn objection(at: Timestamp, target: &TargetId, fleet: &Fleet, rules: &Rules) -> Option<String> {
    let record = fleet.targets.get(target);
    let Some((record, policy)) = record.and_then(|record| Some((record, rules.policy_of(&record.target)?))) else {
        return Some("the configuration names neither its manager nor its project".to_owned());
    };
    // The rules may leave it out since a moment ago, which is not on record yet.
    let sighting = Sighting { target: record.target.clone(), listing: record.listing.clone() };
    match (record.standing(), rules.listing_of(&sighting)) {
        (Standing::Managed, Listing::Eligible) => {
            Gates::new(at, fleet, rules).shut(record, policy).map(|shut| shut.reason.to_string())
        }
        (Standing::Managed, listing) => Some(Standing::Listed(&listing).to_string()),
        (standing, _) => Some(standing.to_string()),
    }
}

/// What holds somebody up at a moment, other than a window that is shut.
enum Hold<'a> {
    Pause(Glob, &'a str, &'a Pause),
    Freeze(&'a Freeze),
    /// A clock that was set ahead, until it is believed, and by how many seconds.
    Clock(Timestamp, i64),
}

impl Hold<'_> {
    fn covers(&self, name: &TargetName) -> bool {
        match self {
            Self::Pause(glob, _, _) => glob.matches(name.as_str()),
            Self::Freeze(freeze) => freeze.covers(name),
            Self::Clock(..) => true,
        }
    }

    fn until(&self) -> Timestamp {
        match self {
            Self::Pause(_, _, pause) => pause.until,
            Self::Freeze(freeze) => freeze.span.end,
            Self::Clock(until, _) => *until,
        }
    }

    fn reason(&self) -> WaitReason {
        match self {
            Self::Pause(_, scope, pause) => {
                WaitReason::Paused { scope: (*scope).to_owned(), reason: pause.reason.clone() }
            }
            Self::Freeze(Freeze { name, reason, span, .. }) => {
                WaitReason::Frozen { freeze: name.clone(), reason: reason.clone(), end: span.end }
            }
            Self::Clock(_, by_s) => WaitReason::ClockDoubted { by_s: *by_s },
        }
    }
}

/// What is shut at one moment. What many targets share is looked up once.
pub(super) struct Gates<'a> {
    pub(super) at: Timestamp,
    pub(super) rules: &'a Rules,
    holds: Vec<Hold<'a>>,
    /// By policy and by how much of a window must be left, the window at or after the moment.
    windows: RefCell<HashMap<(PolicyName, Period), Option<Span>>>,
}

impl<'a> Gates<'a> {
    pub(super) fn new(at: Timestamp, fleet: &'a Fleet, rules: &'a Rules) -> Self {
        let mut gates = Self::unpaused(at, fleet, rules);
        let standing = fleet.standing_pauses(at);
        gates.holds.extend(standing.map(|(scope, pause)| Hold::Pause(Glob::new(scope), scope, pause)));
        gates.holds.extend(fleet.doubts_clock(at).map(|(until, by_s)| Hold::Clock(until, by_s)));
        gates
    }

    /// The same without pauses and leaps of the clock: what was to be foreseen.
    pub(super) fn unpaused(at: Timestamp, fleet: &'a Fleet, rules: &'a Rules) -> Self {
        let freezes = freezes(rules, fleet).filter(|freeze| freeze.span.contains(at));
        Self { at, rules, holds: freezes.map(Hold::Freeze).collect(), windows: RefCell::default() }
    }

    /// What keeps an attempt from beginning; none if nothing does, or if a person wants it in spite of everything.
    pub(super) fn shut(&self, record: &TargetRecord, policy: &Policy) -> Option<Shut> {
        self.held(record).or_else(|| self.outside(record, policy))
    }

    /// The pause, the freeze or the leap of the clock that holds the target up the longest.
    pub(super) fn held(&self, record: &TargetRecord) -> Option<Shut> {
        // Names are put together only where somebody asks for them.
        if self.holds.is_empty() || record.overrides() {
            return None;
        }
        let name = record.target.name();
        let hold = self.holds.iter().filter(|hold| hold.covers(&name)).max_by_key(|hold| hold.until())?;
        Some(Shut { until: Some(hold.until()), reason: hold.reason() })
    }

    /// What the policy's windows leave to wait for.
    pub(super) fn outside(&self, record: &TargetRecord, policy: &Policy) -> Option<Shut> {
        if !policy.windows.restrict() || record.overrides() {
            return None;
        }
        let too_old = record.key.as_ref().map(|key| policy.alert_after.after(key.since()));
        let too_old = too_old.filter(|_| policy.max_age_overrides_window);
        if too_old.is_some_and(|too_old| too_old <= self.at) {
            return None;
        }
        let next = self.window(policy, margin(record, self.rules));
        if next.is_some_and(|next| next.start <= self.at) {
            return None;
        }
        let until = next.map(|next| next.start).into_iter().chain(too_old).min();
        Some(Shut { until, reason: WaitReason::OutsideWindow { next } })
    }

    /// The window in which an attempt may begin now, or the next one.
    pub(super) fn window(&self, policy: &Policy, margin: Period) -> Option<Span> {
        let find = || usable(&policy.windows, self.at, margin);
        *self.windows.borrow_mut().entry((policy.name.clone(), margin)).or_insert_with(find)
    }
}

/// How much of a window must be left for an attempt to begin.
pub(super) fn margin(record: &TargetRecord, rules: &Rules) -> Period {
    rules.managers.get(&record.target.manager).map_or(Period::seconds(30), |manager| manager.request_timeout)
}

/// The window at or after a moment in which an attempt may still begin then, or when it opens.
pub(super) fn usable(windows: &Windows, at: Timestamp, margin: Period) -> Option<Span> {
    let mut from = at;
    for _ in 0..LONGEST_SEARCH {
        let span = windows.at_or_after(from)?;
        if margin.after(span.start.max(at)) <= span.end {
            return Some(span);
        }
        from = span.end;
    }
    None
}

#[cfg(test)]
mod tests;
