//! `rekeyd plan --horizon`: every slot to come, as a table or as JSON.

use jiff::Timestamp;
use serde_json::json;
use wildmatch::WildMatch;

use super::super::output::{DIM, Output, moment, styled};
use super::super::{Answer, Exit, Stop, found_some};
use super::{calendar, ical};
use crate::app::View;
use crate::config::Settings;
use crate::domain::{Period, TargetName, WaitReason};
use crate::policy::{Occasion, horizon};

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
        match (waited_for, window) {
            (Some(WaitReason::Frozen { freeze, reason, .. }), _) => {
                format!("due {due_at:.0}, held by freeze {freeze} ({reason})")
            }
            (Some(_), Some(window)) => format!("due {due_at:.0}, waits for its window {window}"),
            (Some(_), None) => format!("due {due_at:.0}, waits"),
            (None, _) if due_at < at => format!("overdue since {due_at:.0}"),
            (None, Some(window)) => format!("due then, in the window {window}"),
            (None, None) => "due then".to_owned(),
        }
    }
}

pub(super) fn show(length: Period, form: Form, glob: &str, settings: &Settings, output: &mut Output) -> Answer {
    let view = View::read(settings)?;
    let until = length.after(view.now);
    let pattern = WildMatch::new(glob);
    // All targets are planned, whatever is shown: they wait for each other.
    let occasions = horizon(view.now, until, &view.fleet, &settings.rules);
    let named = |occasion: Occasion| {
        let name = view.fleet.targets.get(&occasion.target)?.target.name();
        Some(Slot { occasion, name }).filter(|slot| pattern.matches(slot.name.as_str()))
    };
    let slots: Vec<Slot> = occasions.into_iter().filter_map(named).collect();
    let known = view.fleet.targets.values().filter(|record| pattern.matches(record.target.name().as_str())).count();
    found_some(known, glob)?;
    match form {
        Form::Json => slots.iter().try_for_each(|slot| output.json(&as_json(slot)))?,
        Form::Table => table(&slots, known, until, output)?,
        Form::Calendar => calendar::show(&slots, view.now, until, settings, output)?,
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
    output.line(format_args!("\n{rotations} rotations of {planned} targets before {until:.0}, if nothing fails."))?;
    if planned < known {
        let words = format!("{} targets have no slot in that time; `rekeyd plan` says why.", known - planned);
        output.line(styled(DIM, words))?;
    }
    Ok(())
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
