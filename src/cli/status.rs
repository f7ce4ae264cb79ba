//! `rekeyd status`: whether the daemon works, each target's key, its last and its next rotation, and what is wrong.

use std::io;

use jiff::Timestamp;
use serde_json::json;

use super::output::{BAD, DIM, GOOD, Output, WARN, ago, minute, styled};
use super::{Answer, Exit, found_some, runtime};
use crate::app::{Presence, View};
use crate::config::Settings;
use crate::domain::{Decision, Freeze, Glob, Planned, TargetName, TargetRecord, WaitReason};
use crate::policy::{Rules, freezes_from, next_at};

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
    let shown = shown(&view, &Glob::new(&args.target), &settings.rules);
    found_some(shown.len(), &args.target)?;
    if args.json {
        print_json(&shown, &view, output)?;
        let (presence, head) = (word(&presence), view.head.seq);
        output.json(&json!({ "kind": "daemon", "presence": presence, "words": amiss, "ledger_head": head }))?;
    } else {
        print_table(&shown, &view, &settings.rules, amiss.as_deref(), output)?;
    }
    Ok(if view.alerts.is_empty() && amiss.is_none() { Exit::Done } else { Exit::Attention })
}

/// One target.
struct Shown<'a> {
    name: TargetName,
    record: &'a TargetRecord,
    planned: &'a Planned,
    /// When its rotation begins, as far as can be told.
    next: Option<Timestamp>,
}

/// The targets whose names match, by name.
fn shown<'a>(view: &'a View, glob: &Glob, rules: &Rules) -> Vec<Shown<'a>> {
    let targets = view.plan.decisions.iter().filter_map(|planned| {
        let record = view.fleet.targets.get(&planned.target)?;
        let name = record.target.name();
        let next = next_at(view.now, record, &view.fleet, rules);
        glob.matches(name.as_str()).then_some(Shown { name, record, planned, next })
    });
    let mut shown: Vec<_> = targets.collect();
    shown.sort_by(|one, other| one.name.cmp(&other.name));
    shown
}

fn print_json(shown: &[Shown<'_>], view: &View, output: &mut Output) -> io::Result<()> {
    for Shown { name, record, planned, next } in shown {
        let (target, key) = (&record.target, record.key.as_ref());
        output.json(&json!({
            "kind": "target",
            "target": name,
            "target_id": planned.target,
            "manager": target.manager,
            "project": target.project,
            "project_id": target.project_id,
            "cluster": target.cluster,
            "cluster_id": target.cluster_id,
            "role": target.role,
            "mechanism": target.mechanism,
            "key_id": key.map(|key| &key.id),
            "key_since": key.map(|key| key.since()),
            "key_age_known": key.map(|key| key.not_before.is_some()),
            "last_seen_at": key.map(|key| key.last_seen),
            "last_rotation_at": record.last_rotation_at,
            "next_rotation_at": next,
            "due_at": planned.decision.due_at(),
            "slot": record.slot,
            "state": planned.decision.word(),
            "reason": planned.decision.to_string(),
        }))?;
    }
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
    Ok(())
}

fn print_table(
    shown: &[Shown<'_>],
    view: &View,
    rules: &Rules,
    amiss: Option<&str>,
    output: &mut Output,
) -> io::Result<()> {
    let rows: Vec<_> = shown.iter().map(|shown| as_row(shown, view.now)).collect();
    output.table(["TARGET", "STATE", "KEY", "AGE", "LAST ROTATION", "NEXT", "REASON"], &rows)?;
    output.line("")?;
    for (scope, pause) in view.fleet.standing_pauses(view.now) {
        let (until, by) = (minute(Some(pause.until)), pause.by.name());
        output.line(format_args!("{} of {scope} until {until}, by {by}: {}", styled(WARN, "pause"), pause.reason))?;
    }
    for (freeze, by) in freezes_from(view.now, rules, &view.fleet) {
        let by = by.map_or_else(|| "configured".to_owned(), |by| format!("by {}", by.name()));
        let Freeze { name, scope, span, reason } = freeze;
        output.line(format_args!("{} {name} of {scope}, {span}, {by}: {reason}", styled(WARN, "freeze")))?;
    }
    for alert in &view.alerts {
        output.line(format_args!("{} {}", styled(BAD, alert.severity.as_str()), alert.words))?;
    }
    if let Some(words) = amiss {
        output.line(format_args!("{} {words}", styled(BAD, "critical")))?;
    }
    let alerts = match view.alerts.len() {
        // A daemon that does not run raises none.
        0 if amiss.is_some() => styled(BAD, "no alert on record"),
        0 => styled(GOOD, "no alert"),
        1 => styled(BAD, "1 alert"),
        many => styled(BAD, format_args!("{many} alerts")),
    };
    output.line(format_args!("{} targets, {alerts}; ledger head {}", rows.len(), view.head.seq))
}

fn as_row(Shown { name, record, planned, next }: &Shown<'_>, now: Timestamp) -> [String; 7] {
    let (key, decision) = (record.key.as_ref(), &planned.decision);
    let age = key.map(|key| {
        // What was there before us is at least this old.
        let unknown = if key.not_before.is_none() { "> " } else { "" };
        format!("{unknown}{}", ago(now, key.since()))
    });
    let dash = || "-".to_owned();
    [
        name.to_string(),
        state(decision),
        key.map_or_else(dash, |key| key.id.to_string()),
        age.unwrap_or_else(dash),
        minute(record.last_rotation_at),
        minute(next.or(decision.due_at()).filter(|_| !matches!(decision, Decision::Quarantined { .. }))),
        later(decision, *next),
    ]
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
