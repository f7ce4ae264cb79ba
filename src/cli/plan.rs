//! `rekeyd plan`: what is to be done with each target now, and why. The same planner as the daemon's.

use serde_json::json;
use wildmatch::WildMatch;

use super::output::{Output, moment};
use super::status::{reason, state};
use super::{Answer, Exit, found_some};
use crate::app::View;
use crate::config::Settings;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only targets whose name matches; `*` stands for anything.
    #[arg(default_value = "*")]
    target: String,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn plan(args: &Args, settings: &Settings, output: &mut Output) -> Answer {
    let view = View::read(settings)?;
    let glob = WildMatch::new(&args.target);
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
                "slot": record.slot,
                "due_at": decision.due_at(),
                "state": decision.word(),
                "reason": decision.to_string(),
                "policy": settings.rules.policy_of(&record.target).map(|policy| &policy.name),
            }))?;
        }
    } else {
        let rows: Vec<_> = planned
            .into_iter()
            .map(|(name, record, decision)| {
                let policy = settings.rules.policy_of(&record.target).map(|policy| policy.name.to_string());
                let due = moment(decision.due_at());
                [due, name.to_string(), policy.unwrap_or_default(), state(decision), reason(decision)]
            })
            .collect();
        output.table(["DUE", "TARGET", "POLICY", "STATE", "REASON"], &rows)?;
    }
    Ok(Exit::Done)
}
