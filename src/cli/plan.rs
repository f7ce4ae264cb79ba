//! `rekeyd plan`: what is to be done with each target now, and why, or every slot to come. The same planner as the daemon's.

mod calendar;
mod horizon;
mod ical;

use serde_json::json;

use super::output::{Output, moment};
use super::status::{reason, state};
use super::{Answer, Exit, found_some};
use crate::app::View;
use crate::config::Settings;
use crate::domain::{Glob, Period};
use crate::policy::{held_then, next_at};
use horizon::Form;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  rekeyd plan\n  rekeyd plan 'emea/billing/*' --horizon 400d\n  rekeyd plan --horizon 90d --calendar\n  rekeyd plan --horizon 400d --ical > rekeyd.ics\n\nWhat is to come supposes that nothing fails, and that no target comes or goes."
)]
pub(super) struct Args {
    /// Only targets whose name matches; `*` stands for anything.
    #[arg(default_value = "*")]
    target: String,
    /// Not what is to be done now, but every slot to come within this time, for example `400d`.
    #[arg(long, value_name = "LENGTH")]
    horizon: Option<Period>,
    /// Months as grids with the number of rotations on each day.
    #[arg(long, requires = "horizon", conflicts_with_all = ["json", "ical"])]
    calendar: bool,
    /// An iCalendar file, for a change calendar.
    #[arg(long, requires = "horizon", conflicts_with = "json")]
    ical: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn plan(args: &Args, settings: &Settings, output: &mut Output) -> Answer {
    if let Some(length) = args.horizon {
        let form = match (args.calendar, args.ical, args.json) {
            (true, _, _) => Form::Calendar,
            (_, true, _) => Form::ICalendar,
            (_, _, true) => Form::Json,
            (false, false, false) => Form::Table,
        };
        return horizon::show(length, form, &args.target, settings, output);
    }
    let view = View::read(settings)?;
    let glob = Glob::new(&args.target);
    let mut planned: Vec<_> = view
        .plan
        .decisions
        .iter()
        .filter_map(|planned| Some((view.fleet.targets.get(&planned.target)?, &planned.decision)))
        .map(|(record, decision)| (record.target.name(), record, decision))
        .filter(|(name, _, _)| glob.matches(name.as_str()))
        .collect();
    // What comes first stands first; what has no time stands last.
    planned.sort_by_key(|(name, _, decision)| (decision.due_at().is_none(), decision.due_at(), name.clone()));
    found_some(planned.len(), &args.target)?;
    if args.json {
        for (name, record, decision) in planned {
            output.json(&json!({
                "target": name,
                "target_id": record.target.id(),
                "slot": record.slot,
                "due_at": decision.due_at(),
                "begins_at": next_at(view.now, record, &view.fleet, &settings.rules),
                "state": decision.word(),
                "reason": decision.to_string(),
                "waits_for": held_then(view.now, record, &view.fleet, &settings.rules).map(|held| held.to_string()),
                "policy": settings.rules.policy_of(&record.target).map(|policy| &policy.name),
            }))?;
        }
    } else {
        let rows: Vec<_> = planned
            .into_iter()
            .map(|(name, record, decision)| {
                let policy = settings.rules.policy_of(&record.target).map(|policy| policy.name.to_string());
                let begins_at = next_at(view.now, record, &view.fleet, &settings.rules);
                let why = match (held_then(view.now, record, &view.fleet, &settings.rules), begins_at) {
                    (Some(held), Some(at)) => format!("begins {}: {held}", moment(Some(at))),
                    (Some(held), None) => held.to_string(),
                    (None, _) => reason(decision),
                };
                [moment(decision.due_at()), name.to_string(), policy.unwrap_or_default(), state(decision), why]
            })
            .collect();
        output.table(["DUE", "TARGET", "POLICY", "STATE", "REASON"], &rows)?;
    }
    Ok(Exit::Done)
}
