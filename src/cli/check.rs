//! `rekeyd check`: a rehearsal of `run`, and what it would manage.

use serde_json::{Value, json};

use super::output::{BAD, DIM, GOOD, Output, WARN, moment, styled};
use super::status::{reason, state};
use super::{Answer, Exit, Stop, found_some, runtime};
use crate::alerts::{self, About};
use crate::app::{self, Line, Outcome, Rehearsed};
use crate::config::{Config, Substitute};
use crate::domain::{Failure, Glob, Period, Verdict};
use crate::policy::{Policy, Rhythm};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads the configuration and the credentials, looks at the state directory, the ledger, the listener and its certificates, \
goes the way to every manager step by step, asks each target for its key, knocks at the door of each receiver of alerts, and \
plans. Rotates nothing, tells nobody and writes nothing: every request is a GET, and to receivers a HEAD of their front page.

Examples:
  rekeyd check
  rekeyd check --target 'emea/billing/*'
  rekeyd check --credential /etc/rekeyd/emea-private-key.new --public-key hgfedcba

Exit status, by the worst line: 0 all passes, 1 something fails, 3 something warns, 78 the configuration is wrong.")]
pub(super) struct Args {
    /// Only targets whose name matches; `*` stands for anything.
    #[arg(long, value_name = "GLOB", default_value = "*")]
    target: String,
    /// How long to ask the managers, all of them side by side; what is not reached in time is told.
    #[arg(long, value_name = "TIME", default_value = "9s")]
    within: Period,
    /// Try this private key instead of the configured one, before the switch: a file by its path, or the name of a
    /// credential.
    #[arg(long, value_name = "NEW")]
    credential: Option<String>,
    /// The public half of the key to try.
    #[arg(long, value_name = "KEY", requires = "credential")]
    public_key: Option<String>,
    /// The manager to try it at, where there are several.
    #[arg(long, value_name = "NAME", requires = "credential")]
    manager: Option<String>,
    /// One JSON object a line, each with its `kind`: `step`, `receiver` or `target`.
    #[arg(long)]
    json: bool,
}

impl Args {
    /// The API key to be tried instead of the configured one.
    pub(super) fn substitute(&self) -> Option<Substitute> {
        let private_key = self.credential.clone()?;
        Some(Substitute { manager: self.manager.clone(), private_key, public_key: self.public_key.clone() })
    }
}

pub(super) fn check(args: &Args, config: &Config, output: &mut Output) -> Answer {
    let runtime = runtime()?;
    let rehearsal = runtime.block_on(app::rehearse(config, &Glob::new(&args.target), args.within.as_duration()));
    // A resolver that does not answer holds a thread that nobody waits for any more.
    runtime.shutdown_background();
    let rehearsal = rehearsal.map_err(|error| Stop::Words(error.to_string()))?;
    let targets = &rehearsal.targets;
    if args.json {
        for line in &rehearsal.lines {
            output.json(&line_as_json(line))?;
        }
        for receiver in &config.receivers {
            let (name, form, address) = (&receiver.name, receiver.form.as_str(), &receiver.shown);
            output.json(&json!({ "kind": "receiver", "receiver": name, "form": form, "address": address }))?;
        }
        for target in targets {
            output.json(&target_as_json(target))?;
        }
    } else {
        for policy in config.settings.rules.policies().values() {
            output.line(format_args!("policy {}: {}", policy.name, in_plain_words(policy)))?;
        }
        output.line("")?;
        let rows: Vec<_> = rehearsal.lines.iter().map(line_as_row).collect();
        output.table(["", "MANAGER", "STEP", "WHAT WAS FOUND"], &rows)?;
        output.line("")?;
        let rows: Vec<_> = targets.iter().map(target_as_row).collect();
        output.table(["TARGET", "KEY", "STATE", "DUE", "REASON"], &rows)?;
        let managed = targets.iter().filter(|target| target.is_managed()).count();
        output.line(format_args!("\n{managed} of {} targets would be managed; nothing was rotated.", targets.len()))?;
    }
    match rehearsal.worst() {
        Outcome::Fail => Ok(Exit::Failed),
        outcome @ (Outcome::Skip | Outcome::Pass | Outcome::Warn) => {
            found_some(targets.len(), &args.target)?;
            Ok(if outcome == Outcome::Warn { Exit::Attention } else { Exit::Done })
        }
    }
}

fn line_as_row(line: &Line) -> [String; 4] {
    let style = match line.outcome {
        Outcome::Skip => DIM,
        Outcome::Pass => GOOD,
        Outcome::Warn => WARN,
        Outcome::Fail => BAD,
    };
    let manager = line.manager.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let words = match &line.next {
        Some(next) => format!("{}. Next: {next}.", line.words.trim_end_matches('.')),
        None => line.words.clone(),
    };
    [styled(style, line.outcome.as_str()), manager, line.step.as_str().to_owned(), words]
}

fn line_as_json(line: &Line) -> Value {
    json!({
        "kind": "step",
        "step": line.step.as_str(),
        "manager": line.manager,
        "outcome": line.outcome.as_str(),
        "words": line.words,
        "next": line.next,
    })
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
    format!("{failure}. Next: {}.", alerts::against(About::Target, failure.reason))
}

fn target_as_row(target: &Rehearsed) -> [String; 5] {
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

fn target_as_json(target: &Rehearsed) -> Value {
    let decision = &target.planned.decision;
    json!({
        "kind": "target",
        "target": target.target.name(),
        "target_id": target.planned.target,
        "project_id": target.target.project_id,
        "cluster_id": target.target.cluster_id,
        "role": target.target.role,
        "mechanism": target.target.mechanism,
        "key_id": target.key.as_ref().and_then(|key| key.as_ref().ok()),
        "failure": target.key.as_ref().and_then(|key| key.as_ref().err()),
        "managed": target.is_managed(),
        "due_at": decision.due_at(),
        "state": decision.word(),
        "reason": decision.to_string(),
    })
}
