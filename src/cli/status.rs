//! `rekeyd status`: each target's key, its last and its next rotation.

use jiff::Timestamp;
use serde_json::json;

use super::output::{BAD, DIM, GOOD, Output, WARN, ago, minute, styled};
use super::{Answer, Exit, found_some};
use crate::app::View;
use crate::config::Settings;
use crate::domain::{Decision, Freeze, Glob, WaitReason};
use crate::policy::{freezes_from, next_at};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  rekeyd status\n  rekeyd status 'emea/billing/*'\n  rekeyd status --json | jq -r 'select(.state == \"quarantined\") | .target'\n\nExit status: 0 all is well, 3 an alert fires, 1 the record cannot be read or nothing matches."
)]
pub(super) struct Args {
    /// Only targets whose name matches; `*` stands for anything.
    #[arg(default_value = "*")]
    target: String,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn status(args: &Args, settings: &Settings, output: &mut Output) -> Answer {
    let view = View::read(settings)?;
    let glob = Glob::new(&args.target);
    let mut rows = Vec::new();
    let mut planned: Vec<_> = view
        .plan
        .decisions
        .iter()
        .filter_map(|planned| Some((view.fleet.targets.get(&planned.target)?, planned)))
        .map(|(record, planned)| (record.target.name(), record, planned))
        .filter(|(name, _, _)| glob.matches(name.as_str()))
        .collect();
    planned.sort_by(|(a, _, _), (b, _, _)| a.cmp(b));
    found_some(planned.len(), &args.target)?;
    for (name, record, planned) in planned {
        let key = record.key.as_ref();
        let due_at = planned.decision.due_at();
        let next = next_at(view.now, record, &view.fleet, &settings.rules);
        if args.json {
            output.json(&json!({
                "target": name,
                "manager": record.target.manager,
                "project": record.target.project,
                "project_id": record.target.project_id,
                "cluster": record.target.cluster,
                "cluster_id": record.target.cluster_id,
                "role": record.target.role,
                "mechanism": record.target.mechanism,
                "key_id": key.map(|key| &key.id),
                "key_since": key.map(|key| key.since()),
                "key_age_known": key.map(|key| key.not_before.is_some()),
                "last_seen_at": key.map(|key| key.last_seen),
                "last_rotation_at": record.last_rotation_at,
                "next_rotation_at": next,
                "due_at": due_at,
                "slot": record.slot,
                "state": planned.decision.word(),
                "reason": planned.decision.to_string(),
            }))?;
        } else {
            let age = key.map_or_else(
                || "-".to_owned(),
                |key| {
                    // What was there before us is at least this old.
                    let unknown = if key.not_before.is_none() { "> " } else { "" };
                    format!("{unknown}{}", ago(view.now, key.since()))
                },
            );
            rows.push([
                name.to_string(),
                state(&planned.decision),
                key.map_or_else(|| "-".to_owned(), |key| key.id.to_string()),
                age,
                minute(record.last_rotation_at),
                minute(next.or(due_at)),
                later(&planned.decision, next),
            ]);
        }
    }
    if !args.json {
        let count = rows.len();
        output.table(["TARGET", "STATE", "KEY", "AGE", "LAST ROTATION", "NEXT", "REASON"], &rows)?;
        output.line("")?;
        for (scope, pause) in view.fleet.standing_pauses(view.now) {
            let (until, by) = (minute(Some(pause.until)), pause.by.name());
            output.line(format_args!(
                "{} of {scope} until {until}, by {by}: {}",
                styled(WARN, "pause"),
                pause.reason
            ))?;
        }
        for (freeze, by) in freezes_from(view.now, &settings.rules, &view.fleet) {
            let by = by.map_or_else(|| "configured".to_owned(), |by| format!("by {}", by.name()));
            let Freeze { name, scope, span, reason } = freeze;
            output.line(format_args!("{} {name} of {scope}, {span}, {by}: {reason}", styled(WARN, "freeze")))?;
        }
        for alert in &view.alerts {
            output.line(format_args!("{} {}", styled(BAD, alert.severity.as_str()), alert.words))?;
        }
        let alerts = match view.alerts.len() {
            0 => styled(GOOD, "no alert"),
            1 => styled(BAD, "1 alert"),
            many => styled(BAD, format_args!("{many} alerts")),
        };
        output.line(format_args!("{count} targets, {alerts}; ledger head {}", view.head.seq))?;
    }
    Ok(if view.alerts.is_empty() { Exit::Done } else { Exit::Attention })
}

/// The decision's reason, where a column for the time does not tell it already.
pub(super) fn reason(decision: &Decision) -> String {
    match decision {
        Decision::Wait { reason: WaitReason::NotDue, .. } => String::new(),
        Decision::Wait { .. }
        | Decision::Resume { .. }
        | Decision::Withdraw { .. }
        | Decision::Rotate { .. }
        | Decision::Quarantined { .. }
        | Decision::NotManaged { .. } => decision.to_string(),
    }
}

/// The decision's reason, or where it will not begin when it falls due, when that is.
fn later(decision: &Decision, next: Option<Timestamp>) -> String {
    match (decision, decision.due_at()) {
        (Decision::Wait { reason: WaitReason::NotDue, .. }, Some(due_at)) if next != Some(due_at) => {
            format!("due {}", minute(Some(due_at)))
        }
        (_, _) => reason(decision),
    }
}

/// The decision's word, coloured.
pub(super) fn state(decision: &Decision) -> String {
    let style = match decision {
        Decision::Resume { .. } | Decision::Rotate { .. } => GOOD,
        Decision::Withdraw { .. } => WARN,
        Decision::Wait { .. } => anstyle::Style::new(),
        Decision::Quarantined { .. } => BAD,
        Decision::NotManaged { .. } => DIM,
    };
    styled(style, decision.word())
}
