//! `rekeyd status`: whether the daemon works, each target's key, its last and its next rotation, and what is wrong.

use jiff::Timestamp;
use serde_json::json;

use super::output::{BAD, DIM, GOOD, Output, WARN, ago, minute, styled};
use super::{Answer, Exit, found_some, runtime};
use crate::app::{Presence, View};
use crate::config::Settings;
use crate::domain::{Decision, Freeze, Glob, WaitReason};
use crate::policy::{freezes_from, next_at};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "With --json each line has a `kind`: `target`, `alert`, and at the end `daemon`, whose `presence` is `answers`, `mute` or `absent`.\n\nExamples:\n  rekeyd status\n  rekeyd status 'emea/billing/*'\n  rekeyd status --json | jq -r 'select(.state == \"quarantined\") | .target'\n\nExit status: 0 all is well, 3 an alert fires or the daemon does not run, 1 the record cannot be read or nothing matches."
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
    let presence = runtime()?.block_on(Presence::of(settings));
    let view = match &presence {
        Presence::Answers(daemon) => View::read_beside(settings, Some(daemon))?,
        Presence::Mute { .. } | Presence::Absent => View::read(settings)?,
    };
    let amiss = amiss(&presence, &view);
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
                "kind": "target",
                "target": name,
                "target_id": planned.target,
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
                minute(next.or(due_at).filter(|_| !matches!(planned.decision, Decision::Quarantined { .. }))),
                later(&planned.decision, next),
            ]);
        }
    }
    if args.json {
        for alert in &view.alerts {
            output.json(&json!({
                "kind": "alert",
                "alert": alert.kind,
                "severity": alert.severity.as_str(),
                "subject": alert.subject,
                "name": alert.name,
                "since": alert.since,
                "words": alert.words,
            }))?;
        }
        let presence = word(&presence);
        output
            .json(&json!({ "kind": "daemon", "presence": presence, "words": amiss, "ledger_head": view.head.seq }))?;
    } else {
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
        if let Some(words) = &amiss {
            output.line(format_args!("{} {words}", styled(BAD, "critical")))?;
        }
        let alerts = match view.alerts.len() {
            // A daemon that does not run raises none.
            0 if amiss.is_some() => styled(BAD, "no alert on record"),
            0 => styled(GOOD, "no alert"),
            1 => styled(BAD, "1 alert"),
            many => styled(BAD, format_args!("{many} alerts")),
        };
        output.line(format_args!("{count} targets, {alerts}; ledger head {}", view.head.seq))?;
    }
    Ok(if view.alerts.is_empty() && amiss.is_none() { Exit::Done } else { Exit::Attention })
}

const fn word(presence: &Presence) -> &'static str {
    match presence {
        Presence::Answers(_) => "answers",
        Presence::Mute { .. } => "mute",
        Presence::Absent => "absent",
    }
}

/// What is wrong with the daemon itself, which no record of its own can tell.
fn amiss(presence: &Presence, view: &View) -> Option<String> {
    match presence {
        Presence::Answers(_) => None,
        Presence::Mute { pid, why } => {
            let pid = pid.as_ref().map_or_else(String::new, |pid| format!(" (process {pid})"));
            Some(format!(
                "The daemon{pid} does not tell how it is: {why}. Whether it makes plans and can write the ledger is not known. \
                 Next: `systemctl status rekeyd`."
            ))
        }
        Presence::Absent => {
            let since = match &view.newest {
                Some(last) if last.kind == "daemon_stopped" => format!("it was stopped at {:.0}", last.at),
                Some(last) => format!("its last record is of {:.0}, and tells of no stop", last.at),
                None => "the ledger has no record".to_owned(),
            };
            Some(format!(
                "The daemon does not run: {since}. No key is rotated or watched. \
                 Next: `systemctl start rekeyd`; `journalctl -u rekeyd` tells how it ended."
            ))
        }
    }
}

/// The decision's reason, without the time that has a column of its own.
pub(super) fn reason(decision: &Decision) -> String {
    match decision {
        Decision::Wait { reason: reason @ WaitReason::NotDue, .. } => reason.to_string(),
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
