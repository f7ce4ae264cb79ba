//! `rekeyd check`: a rehearsal of `run`, and what it would manage.

use serde_json::json;
use wildmatch::WildMatch;

use super::output::{BAD, DIM, GOOD, Output, WARN, moment, styled};
use super::status::{reason, state};
use super::{Answer, Exit, Stop, found_some, runtime};
use crate::app::{self, Listed, Rehearsal, Rehearsed};
use crate::config::{Config, ReceiverForm};
use crate::domain::{Decision, Failure, ManagerName, Reason, Verdict};
use crate::policy::{Policy, Rhythm};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Reads the configuration and the credentials, asks every manager for its targets and every target for its key, and plans. \
Rotates nothing and writes nothing.\n\nExamples:\n  rekeyd check\n  sudo env CREDENTIALS_DIRECTORY=/etc/rekeyd rekeyd check 'emea/billing/*'\n\nExit status: 0 all is well, 1 a manager or a key cannot be read, 3 something needs attention, 78 the configuration is wrong."
)]
pub(super) struct Args {
    /// Only targets whose name matches; `*` stands for anything.
    #[arg(default_value = "*")]
    target: String,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn check(args: &Args, config: &Config, output: &mut Output) -> Answer {
    let rehearsal = runtime()?.block_on(app::rehearse(config)).map_err(|error| Stop::Words(error.to_string()))?;
    let glob = WildMatch::new(&args.target);
    let mut targets: Vec<_> =
        rehearsal.targets.iter().filter(|target| glob.matches(target.target.name().as_str())).collect();
    targets.sort_by_key(|target| target.target.name());
    if args.json {
        for (name, listed) in &rehearsal.managers {
            output.json(&manager_as_json(name, listed))?;
        }
        for receiver in &config.receivers {
            let (name, form, address) = (&receiver.name, form(receiver.form), &receiver.shown);
            output.json(&json!({ "receiver": name, "form": form, "address": address }))?;
        }
        for target in &targets {
            output.json(&target_as_json(target))?;
        }
    } else {
        if !config.settings.warnings.is_empty() {
            output.line(styled(WARN, "warnings about the configuration:"))?;
            for warning in config.settings.warnings.iter() {
                output.line(format_args!("  {}", warning.what))?;
            }
            output.line("")?;
        }
        for policy in config.settings.rules.policies().values() {
            output.line(format_args!("policy {}: {}", policy.name, in_plain_words(policy)))?;
        }
        for (name, listed) in &rehearsal.managers {
            show_manager(name, listed, output)?;
        }
        for receiver in &config.receivers {
            let form = form(receiver.form);
            output.line(format_args!(
                "{} {form} {} at {}; not tried",
                styled(DIM, "told"),
                receiver.name,
                receiver.shown
            ))?;
        }
        output.line("")?;
        let rows: Vec<_> = targets.iter().map(|target| as_row(target)).collect();
        output.table(["TARGET", "KEY", "STATE", "NEXT", "REASON"], &rows)?;
        let managed = targets.iter().filter(|target| is_managed(target)).count();
        output.line(format_args!("\n{managed} of {} targets would be managed; nothing was rotated.", targets.len()))?;
    }
    if rehearsal.managers.values().all(Result::is_ok) {
        found_some(targets.len(), &args.target)?;
    }
    Ok(verdict(&rehearsal, &targets, !config.settings.warnings.is_empty()))
}

const fn form(form: ReceiverForm) -> &'static str {
    match form {
        ReceiverForm::Webhook { .. } => "webhook",
        ReceiverForm::Alertmanager { .. } => "alertmanager",
        ReceiverForm::Heartbeat { .. } => "heartbeat",
    }
}

fn verdict(rehearsal: &Rehearsal, targets: &[&Rehearsed], warned: bool) -> Exit {
    let unread_key = |target: &&Rehearsed| match &target.key {
        Some(Err(failure)) => failure.verdict != Verdict::NotThisWay,
        Some(Ok(_)) | None => false,
    };
    let listed = || rehearsal.managers.values().filter_map(|listed| listed.as_ref().ok());
    let failed = rehearsal.managers.values().any(Result::is_err)
        || listed().any(|listed| !listed.unread.is_empty())
        || targets.iter().any(unread_key);
    if failed {
        Exit::Failed
    } else if warned
        || listed().any(|listed| !listed.gaps.is_empty())
        || !targets.iter().any(|target| is_managed(target))
    {
        Exit::Attention
    } else {
        Exit::Done
    }
}

fn is_managed(target: &Rehearsed) -> bool {
    !matches!(target.planned.decision, Decision::NotManaged { .. }) && !matches!(target.key, Some(Err(_)))
}

fn show_manager(name: &ManagerName, listed: &Result<Listed, Failure>, output: &mut Output) -> std::io::Result<()> {
    match listed {
        Ok(listed) => {
            let version = listed.server_version.as_deref().unwrap_or("a version that it does not tell");
            output.line(format_args!("{} {name} answers, {version}", styled(GOOD, "pass")))?;
            for project in &listed.unread {
                let (project, failure) = (&project.name, &project.failure);
                // It is a project that is not found, and no deployment.
                let words = if failure.reason == Reason::NotFound {
                    next(failure, "check its name or id in the configuration, and that the API key belongs to it")
                } else {
                    in_words(failure)
                };
                output.line(format_args!("{} {name}, project {project}: {words}", styled(BAD, "fail")))?;
            }
            for gap in &listed.gaps {
                output.line(format_args!(
                    "{} {name}, project {}: the sharded cluster {} is listed without config servers, so it can not be covered whole",
                    styled(WARN, "warn"), gap.project, gap.cluster
                ))?;
            }
            Ok(())
        }
        Err(failure) => output.line(format_args!("{} {name}: {}", styled(BAD, "fail"), in_words(failure))),
    }
}

/// When a policy rotates, for people who do not read cron.
fn in_plain_words(policy: &Policy) -> String {
    let turn = match &policy.rhythm {
        Rhythm::Every(every) => format!("every {every}"),
        Rhythm::Cron(cron) => cron.in_words(),
    };
    let windows =
        if policy.windows.restrict() { format!(", in the windows {}", policy.windows) } else { String::new() };
    format!("{turn}, spread over {}{windows}", policy.spread)
}

/// What failed and the next step.
fn in_words(failure: &Failure) -> String {
    next(failure, app::advice_against(failure.reason))
}

fn next(failure: &Failure, advice: &str) -> String {
    let failure = failure.to_string();
    // Some servers end their sentences, others do not.
    format!("{}. Next: {advice}.", failure.trim_end_matches('.'))
}

fn as_row(target: &Rehearsed) -> [String; 5] {
    let decision = &target.planned.decision;
    let (key, word, why) = match &target.key {
        None => ("-".to_owned(), state(decision), reason(decision)),
        Some(Ok(key)) => (key.to_string(), state(decision), reason(decision)),
        Some(Err(failure)) if failure.verdict == Verdict::NotThisWay => {
            ("-".to_owned(), styled(DIM, "not_managed"), in_words(failure))
        }
        Some(Err(failure)) => ("-".to_owned(), styled(BAD, "unreadable"), in_words(failure)),
    };
    [target.target.name().to_string(), key, word, moment(decision.due_at()), why]
}

fn manager_as_json(name: &ManagerName, listed: &Result<Listed, Failure>) -> serde_json::Value {
    match listed {
        Ok(listed) => json!({
            "manager": name,
            "ok": listed.unread.is_empty(),
            "server_version": listed.server_version,
            "unread": listed.unread.iter().map(|project| json!({ "project": project.name, "failure": project.failure })).collect::<Vec<_>>(),
            "gaps": listed.gaps,
        }),
        Err(failure) => {
            json!({ "manager": name, "ok": false, "failure": failure, "next": app::advice_against(failure.reason) })
        }
    }
}

fn target_as_json(target: &Rehearsed) -> serde_json::Value {
    let decision = &target.planned.decision;
    json!({
        "target": target.target.name(),
        "project_id": target.target.project_id,
        "cluster_id": target.target.cluster_id,
        "role": target.target.role,
        "key_id": target.key.as_ref().and_then(|key| key.as_ref().ok()),
        "failure": target.key.as_ref().and_then(|key| key.as_ref().err()),
        "managed": is_managed(target),
        "next_rotation_at": decision.due_at(),
        "state": decision.word(),
        "reason": decision.to_string(),
    })
}
