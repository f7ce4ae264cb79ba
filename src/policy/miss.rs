//! What went by unused: windows that a slot missed, freezes that held it. Each is told once.

use std::collections::HashMap;

use jiff::Timestamp;

use super::freeze::freezes;
use super::gate::{margin, usable};
use super::plan::Plan;
use super::rules::Rules;
use super::settings::Policy;
use super::window::Windows;
use crate::domain::{Decision, Event, Fleet, Freeze, Glob, Pause, Period, PolicyName, Span, TargetRecord};

/// So many windows are told of at once; what is left is told with the next plan.
const AT_ONCE: u32 = 1000;
/// Windows come round every week.
const LOOKED_BACK: Period = Period::days(8);

/// What is to be put on record about the slots that are due and unanswered, given the plan of `now`, and since when this
/// process has been there to see.
///
/// A window is missed when it is over, the slot was due in it, and an attempt could have begun. Windows that nobody saw go by
/// are told together, as one miss.
pub fn passed(now: Timestamp, awake_since: Timestamp, fleet: &Fleet, rules: &Rules, plan: &Plan) -> Vec<Event> {
    // By a clock that may have leapt nothing has gone by: what has is told when it can be gone by.
    if fleet.doubts_clock(now).is_some() {
        return Vec::new();
    }
    let mut events = Vec::new();
    let mut closed: HashMap<&PolicyName, Timestamp> = HashMap::new();
    for planned in &plan.decisions {
        let due_at = match &planned.decision {
            Decision::Rotate { due_at, .. } | Decision::Wait { due_at: Some(due_at), .. } if *due_at <= now => *due_at,
            Decision::Rotate { .. }
            | Decision::Wait { .. }
            | Decision::Resume { .. }
            | Decision::Withdraw { .. }
            | Decision::Quarantined { .. }
            | Decision::NotManaged { .. } => continue,
        };
        let Some(record) = fleet.targets.get(&planned.target) else { continue };
        let Some(policy) = rules.policy_of(&record.target) else { continue };
        // An open rotation has been sent: its slot may be answered already.
        if record.rotation.is_some() {
            continue;
        }
        let look = Look { now, awake_since, fleet, rules, record, policy, due_at };
        events.extend(look.held());
        // Most of what is due has been told of already.
        let closed = *closed.entry(&policy.name).or_insert_with(|| last_closed(&policy.windows, now));
        if look.told() < closed {
            events.extend(look.missed());
        }
    }
    events
}

/// When the newest window closed that has: what was told until then needs no second look. The beginning of time if there are
/// no windows, and `now` if none has closed lately.
fn last_closed(windows: &Windows, now: Timestamp) -> Timestamp {
    if !windows.restrict() {
        return Timestamp::MIN;
    }
    let mut last = None;
    let mut from = LOOKED_BACK.before(now);
    while let Some(window) = windows.at_or_after(from).filter(|window| window.end <= now) {
        last = Some(window.end);
        from = window.end;
    }
    last.unwrap_or(now)
}

struct Look<'a> {
    now: Timestamp,
    awake_since: Timestamp,
    fleet: &'a Fleet,
    rules: &'a Rules,
    record: &'a TargetRecord,
    policy: &'a Policy,
    due_at: Timestamp,
}

impl Look<'_> {
    /// The freezes that have held the slot and are not on record.
    fn held(&self) -> Vec<Event> {
        // An end that no freeze has any more was not the end: one was cut short, and others may have followed.
        let ends_so = |until: &Timestamp| freezes(self.rules, self.fleet).any(|freeze| freeze.span.end == *until);
        let told = self.record.held_until.filter(ends_so).unwrap_or(Timestamp::MIN);
        let begun = |span: Span| span.start <= self.now && span.end > self.due_at && span.end > told;
        let mut begun = freezes(self.rules, self.fleet).filter(|freeze| begun(freeze.span)).peekable();
        if begun.peek().is_none() {
            return Vec::new();
        }
        let name = self.record.target.name();
        let mut holding: Vec<_> = begun.filter(|freeze| freeze.covers(&name)).collect();
        holding.sort_by_key(|freeze| freeze.span.end);
        let event = |freeze: &Freeze| Event::SlotHeld {
            target: self.record.target.id(),
            slot: self.record.slot,
            due_at: self.due_at,
            freeze: freeze.name.clone(),
            reason: freeze.reason.clone(),
            until: freeze.span.end,
        };
        holding.into_iter().map(event).collect()
    }

    /// What was before this is on record, or was before the slot fell due. A window that has not closed yet was told of by a
    /// clock that ran ahead.
    fn told(&self) -> Timestamp {
        let told = self.record.missed_until.filter(|told| *told <= self.now);
        told.map_or(self.due_at, |told| told.max(self.due_at))
    }

    fn missed(&self) -> Option<Event> {
        let mut windows = 0;
        let mut stretch: Option<Span> = None;
        let margin = margin(self.record, self.rules);
        let mut from = self.told();
        while windows < AT_ONCE
            && let Some(window) = usable(&self.policy.windows, from, margin)
            && window.end <= self.now
        {
            let open = Span { start: window.start.max(from), end: margin.before(window.end) };
            if !self.frozen_throughout(open) {
                windows += 1;
                stretch = Some(Span { start: stretch.map_or(window.start, |known| known.start), end: window.end });
            }
            from = window.end;
        }
        let Span { start: opened_at, end: closed_at } = stretch?;
        Some(Event::SlotMissed {
            target: self.record.target.id(),
            slot: self.record.slot,
            due_at: self.due_at,
            windows,
            opened_at,
            closed_at,
            why: self.why(closed_at),
        })
    }

    /// Whether freezes leave no moment of the span, each of them held by one alone or by several that follow each other.
    fn frozen_throughout(&self, span: Span) -> bool {
        let mut at = span.start;
        while at <= span.end {
            let name = || self.record.target.name();
            let holding = freezes(self.rules, self.fleet);
            let holding = holding.filter(|freeze| freeze.span.contains(at) && freeze.covers(&name()));
            match holding.map(|freeze| freeze.span.end).max() {
                Some(end) => at = end,
                None => return false,
            }
        }
        true
    }

    /// A pause that stands, and was there before the window's end.
    fn paused_before(&self, closed_at: Timestamp) -> Option<(&String, &Pause)> {
        let name = self.record.target.name();
        let mut standing = self.fleet.pauses.iter().filter(|(_, pause)| pause.since < closed_at);
        standing.find(|(scope, _)| Glob::new(scope).matches(name.as_str()))
    }

    /// What kept the slot from being answered in a window that ended then, as far as it is known.
    fn why(&self, closed_at: Timestamp) -> String {
        let outage = self.fleet.outage_of(&self.record.target.manager);
        if closed_at <= self.awake_since {
            "the daemon was not running".to_owned()
        } else if let Some(outage) = outage.filter(|outage| outage.since < closed_at) {
            let manager = &self.record.target.manager;
            format!("{manager} has been failing since {:.0} ({})", outage.since, outage.failure)
        } else if let Some(step) = self
            .fleet
            .clock_step
            .filter(|step| step.at < closed_at && step.doubted_until().is_some_and(|until| closed_at <= until))
        {
            format!("the clock was set ahead by {} s", step.by_s)
        } else if let Some((scope, pause)) = self.paused_before(closed_at) {
            format!("paused with {scope} ({})", pause.reason)
        } else if let Some((failure, _)) = &self.record.setback {
            format!("attempt {} failed ({failure})", self.record.attempt)
        } else {
            "others went first, of its cluster or of its manager, and no place was left".to_owned()
        }
    }
}
