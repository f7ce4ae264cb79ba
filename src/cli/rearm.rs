//! `rekeyd rearm`: lets quarantined targets be tried again, on the record, with the daemon up or down.

use std::path::Path;

use super::order::{DaemonArgs, Why, give, matching, this_process};
use super::output::{Output, WARN, styled};
use super::{Answer, Cli, Exit, Stop, runtime, settings};
use crate::app::{self, ByHand};
use crate::config::{Environment, Settings, load_checkpoint_key};
use crate::control::{Client, ClientError, Readiness, RearmOrder};
use crate::domain::{Actor, Event, Glob};
use crate::store::Reader;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A target is quarantined when it failed for good, or its attempts are spent: mend what failed first. With the \
daemon down this writes the order into the ledger itself, signs a checkpoint of it, and the next start follows it.\n\n\
Example:\n  rekeyd rearm 'emea/billing/*' --reason 'CHG-1234: role granted'\n\n\
Exit status: 0 done, 1 nothing quarantined matches or the order could not be given."
)]
pub(super) struct Args {
    /// Which targets, by name; `*` stands for anything.
    target: String,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
}

pub(super) fn rearm(args: &Args, cli: &Cli, output: &mut Output) -> Answer {
    let (names, unsigned) = match Client::new(&args.daemon.find(cli)?.socket) {
        Ok(client) => (runtime()?.block_on(by_daemon(args, &client))?, None),
        Err(ClientError::Down(_)) if args.daemon.socket.is_none() => by_hand(args, &settings(cli)?, &cli.config)?,
        Err(error) => return Err(error.into()),
    };
    if names.is_empty() {
        return Err(Stop::Words(format!(
            "no quarantined target matches {:?}; `rekeyd status` lists them",
            args.target
        )));
    }
    for name in names {
        output.line(format_args!("{name} may be tried again"))?;
    }
    if let Some(why) = unsigned {
        let note = "no signed checkpoint covers this record until the daemon starts, which signs one";
        output.line(format_args!("{} {note}: {why}", styled(WARN, "note:")))?;
    }
    Ok(Exit::Done)
}

async fn by_daemon(args: &Args, client: &Client) -> Result<Vec<String>, Stop> {
    let quarantined = |state: &crate::control::TargetState| state.standing == Readiness::Quarantined;
    let targets: Vec<_> =
        matching(client, &args.target).await?.into_iter().filter(quarantined).map(|state| state.id).collect();
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    let rearmed = give(client, &args.why.reason, RearmOrder { targets }).await?;
    Ok(rearmed.into_iter().map(|state| state.target.to_string()).collect())
}

/// The names, and why no checkpoint covers the record if none does.
fn by_hand(args: &Args, settings: &Settings, config: &Path) -> Result<(Vec<String>, Option<String>), Stop> {
    // Before the store is opened, which would begin a ledger where there is none.
    drop(Reader::open(&settings.state_dir)?);
    let by = this_process();
    let glob = Glob::new(&args.target);
    let key = load_checkpoint_key(config, &Environment::of_this_process());
    let key =
        key.map_err(|problems| problems.iter().map(|problem| problem.what.clone()).collect::<Vec<_>>().join("; "));
    let recorded = runtime()?.block_on(app::record_by_hand(settings, key, Actor::Operator(by.uid), |fleet| {
        let quarantined = fleet.targets.values().filter(|record| record.quarantine.is_some());
        quarantined
            .filter(|record| glob.matches(record.target.name().as_str()))
            .map(|record| Event::TargetRearmed {
                target: record.target.id(),
                reason: args.why.reason.clone(),
                by: Some(by.clone()),
            })
            .collect()
    }));
    let ByHand { fleet, events, unsigned } = recorded.map_err(|error| Stop::Words(error.to_string()))?;
    let names = events.iter().filter_map(|event| fleet.targets.get(&event.target()?));
    Ok((names.map(|record| record.target.name().to_string()).collect(), unsigned))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Command;
    use super::*;

    /// A command that mends a quarantine must not make a ledger in a directory that was mistyped.
    #[test]
    fn without_a_ledger_none_is_begun() {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = dir.path().join("state");
        let text = format!("version = 1\nstate_dir = {:?}\n", state_dir.display().to_string());
        let config = dir.path().join("rekeyd.toml");
        std::fs::write(&config, text).unwrap();
        let config = config.to_str().unwrap();
        let cli = Cli::try_parse_from(["rekeyd", "--config", config, "rearm", "*", "--reason", "CHG-1"]).unwrap();
        let Command::Rearm(args) = &cli.command else { panic!("{cli:?}") };
        let Err(Stop::Words(words)) = rearm(args, &cli, &mut Output::new()) else { panic!("it went on") };
        assert!(words.starts_with("there is no ledger in "), "{words}");
        assert!(!state_dir.exists());
    }
}
