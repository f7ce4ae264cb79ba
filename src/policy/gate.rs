//! Whether the time is right: windows and freezes.

use std::cell::RefCell;
use std::collections::HashMap;

use jiff::Timestamp;

use super::freeze::Freeze;
use super::rules::Rules;
use super::settings::Policy;
use super::window::Windows;
use crate::domain::{Period, PolicyName, Span, TargetRecord, WaitReason};

/// A window that is too short to begin in is passed over; after so many there is none.
const LONGEST_SEARCH: usize = 520;

/// Why no attempt may begin at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shut {
    /// When to ask again; none if no window ever comes.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: WaitReason,
}

/// What keeps an attempt from beginning at `at`; none if nothing does.
///
/// An attempt begins only while its window has a request's time-out left: whatever it sends has left by the window's end, or
/// has been given up. The engine asks again right before it sends.
pub fn shut(at: Timestamp, record: &TargetRecord, policy: &Policy, rules: &Rules) -> Option<Shut> {
    Gates::new(at, rules).shut(record, policy)
}

/// The windows and freezes of one moment. What many targets share is looked up once.
pub(super) struct Gates<'a> {
    pub(super) at: Timestamp,
    pub(super) rules: &'a Rules,
    /// The freezes that hold somebody now.
    freezes: Vec<&'a Freeze>,
    /// By policy and by how much of a window must be left, the window at or after the moment.
    windows: RefCell<HashMap<(PolicyName, Period), Option<Span>>>,
}

impl<'a> Gates<'a> {
    pub(super) fn new(at: Timestamp, rules: &'a Rules) -> Self {
        let freezes = rules.freezes.iter().filter(|freeze| freeze.span.contains(at)).collect();
        Self { at, rules, freezes, windows: RefCell::default() }
    }

    /// What keeps an attempt from beginning; none if nothing does, or if a person wants it in spite of everything.
    pub(super) fn shut(&self, record: &TargetRecord, policy: &Policy) -> Option<Shut> {
        if record.overrides() {
            return None;
        }
        self.frozen(record).or_else(|| self.outside(record, policy))
    }

    fn frozen(&self, record: &TargetRecord) -> Option<Shut> {
        // Names are put together only where somebody asks for them.
        if self.freezes.is_empty() {
            return None;
        }
        let name = record.target.name();
        let holding = self.freezes.iter().filter(|freeze| freeze.covers(&name));
        let freeze = holding.max_by_key(|freeze| freeze.span.end)?;
        let end = freeze.span.end;
        let reason = WaitReason::Frozen { freeze: freeze.name.clone(), reason: freeze.reason.clone(), end };
        Some(Shut { until: Some(end), reason })
    }

    fn outside(&self, record: &TargetRecord, policy: &Policy) -> Option<Shut> {
        if !policy.windows.restrict() {
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
