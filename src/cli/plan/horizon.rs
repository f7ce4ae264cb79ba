//! `rekeyd plan --horizon`: every slot to come, as a table or as JSON.

use jiff::Timestamp;
use serde_json::json;

use super::super::output::{DIM, Output, minute, moment, styled};
use super::super::{Answer, Exit, Stop, found_some};
use super::{calendar, ical};
use crate::app::View;
use crate::config::Settings;
use crate::domain::{Glob, Period, Span, TargetName, WaitReason};
use crate::policy::{Occasion, freezes_from, horizon};

/// How the slots to come are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Table,
    Json,
    Calendar,
    ICalendar,
}

/// A slot to come, and its target's name.
pub(super) struct Slot {
    pub(super) occasion: Occasion,
    pub(super) name: TargetName,
}

impl Slot {
    /// What it waits for between falling due and beginning, in words.
    pub(super) fn reason(&self) -> String {
        let Occasion { at, due_at, window, waited_for, .. } = &self.occasion;
        let due = match waited_for {
            None if due_at < at => format!("overdue since {}", minute(Some(*due_at))),
            None => "due then".to_owned(),
            Some(_) => format!("due {}", minute(Some(*due_at))),
        };
        let held = match waited_for {
            Some(WaitReason::Frozen { freeze, reason, .. }) => format!(", held by freeze {freeze} ({reason})"),
            Some(WaitReason::OutsideWindow { .. }) | None => String::new(),
            Some(other) => format!(", {other}"),
        };
        // When the window opens, or that it is open, the beginning tells.
        let window = window.map_or_else(String::new, |window| {
            let same_day = window.end.strftime("%F").to_string() == at.strftime("%F").to_string();
            format!(", window until {}", window.end.strftime(if same_day { "%H:%MZ" } else { "%Y-%m-%dT%H:%MZ" }))
        });
        format!("{due}{held}{window}")
    }
}

pub(super) fn show(length: Period, form: Form, glob: &str, settings: &Settings, output: &mut Output) -> Answer {
    let view = View::read(settings)?;
    let until = length.after(view.now);
    let pattern = Glob::new(glob);
    // All targets are planned, whatever is shown: they wait for each other.
    let occasions = horizon(view.now, until, &view.fleet, &settings.rules);
    let occasions = occasions.map_err(|too_many| Stop::Words(too_many.to_string()))?;
    let named = |occasion: Occasion| {
        let name = view.fleet.targets.get(&occasion.target)?.target.name();
        Some(Slot { occasion, name }).filter(|slot| pattern.matches(slot.name.as_str()))
    };
    let slots: Vec<Slot> = occasions.into_iter().filter_map(named).collect();
    let mut known: Vec<_> = view.fleet.targets.values().map(|record| record.target.name()).collect();
    known.retain(|name| pattern.matches(name.as_str()));
    found_some(known.len(), glob)?;
    match form {
        Form::Json => slots.iter().try_for_each(|slot| output.json(&as_json(slot)))?,
        Form::Table => table(&slots, known.len(), until, output)?,
        Form::Calendar => {
            let freezes = freezes_from(view.now, &settings.rules, &view.fleet).map(|(freeze, _)| freeze);
            let touching = freezes.filter(|freeze| known.iter().any(|name| freeze.covers(name)));
            let frozen = touching.map(|freeze| freeze.span).filter(|span| span.start < until).collect();
            calendar::show(&slots, Span { start: view.now, end: until }, frozen, &settings.rules.timezone, output)?;
        }
        Form::ICalendar => output.raw(ical::text(&slots, view.now, settings).as_bytes()).map_err(Stop::from)?,
    }
    Ok(Exit::Done)
}

fn table(slots: &[Slot], known: usize, until: Timestamp, output: &mut Output) -> std::io::Result<()> {
    let row = |slot: &Slot| {
        let Occasion { at, rotation, policy, .. } = &slot.occasion;
        let (slot_number, policy) = (rotation.slot.to_string(), policy.to_string());
        [moment(Some(*at)), slot.name.to_string(), slot_number, policy, slot.reason()]
    };
    output.table(["BEGINS", "TARGET", "SLOT", "POLICY", "REASON"], &slots.iter().map(row).collect::<Vec<_>>())?;
    let mut targets: Vec<_> = slots.iter().map(|slot| &slot.name).collect();
    targets.sort_unstable();
    targets.dedup();
    let (rotations, planned) = (slots.len(), targets.len());
    let (rotations, planned) = (count(rotations, "rotation"), count(planned, "target"));
    output.line(format_args!("\n{rotations} of {planned} before {until:.0}, if nothing fails."))?;
    if known > targets.len() {
        let words =
            format!("Without a slot in that time: {}; `rekeyd plan` says why.", count(known - targets.len(), "target"));
        output.line(styled(DIM, words))?;
    }
    Ok(())
}

/// A number of things, in words.
pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn as_json(slot: &Slot) -> serde_json::Value {
    let Occasion { at, target, rotation, due_at, window, policy, waited_for } = &slot.occasion;
    json!({
        "target": slot.name,
        "target_id": target,
        "slot": rotation.slot,
        "begins_at": at,
        "due_at": due_at,
        "window": window,
        "policy": policy,
        "waits_for": waited_for.as_ref().map(ToString::to_string),
        "reason": slot.reason(),
    })
}
