//! `rekeyd config`: show what is in force, or what is shipped.

use std::path::Path;

use super::output::Output;
use super::{Answer, Exit, Stop};
use crate::app::SystemClock;
use crate::config::{self as settings, Environment, Settings};
use crate::domain::{Caller, Freeze};
use crate::policy::{Rules, freezes_from};
use crate::store::Reader;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    #[command(after_help = "Example:\n  rekeyd config show | diff - yesterday.toml")]
    /// The effective configuration, every setting with its value, and which policy each known target has. Opens no secret.
    Show,
    #[command(after_help = "Example:\n  rekeyd config default > /etc/rekeyd/rekeyd.toml")]
    /// The shipped file: every setting, explained, at its default.
    Default,
}

pub(super) fn config(command: &Command, path: &Path, output: &mut Output) -> Answer {
    match command {
        Command::Show => {
            let shown = settings::show(path, &Environment::of_this_process());
            let text = shown.map_err(|problems| Stop::Config(path.to_owned(), problems))?;
            output.raw(text.as_bytes())?;
            let known = settings::load_settings(path, &Environment::of_this_process());
            show_known(&known.map_err(|problems| Stop::Config(path.to_owned(), problems))?, output)?;
        }
        Command::Default => output.raw(settings::SHIPPED.as_bytes())?,
    }
    Ok(Exit::Done)
}

/// Which policy each known target has, and why, and what was ordered beside the configuration: as remarks, so that what is shown
/// still is a configuration.
fn show_known(settings: &Settings, output: &mut Output) -> Result<(), Stop> {
    let fleet = match Reader::open(&settings.state_dir).and_then(|reader| reader.fleet()) {
        Ok(fleet) => fleet,
        Err(error) => return Ok(output.line(format_args!("\n# Which target has which policy is not known: {error}"))?),
    };
    let now = SystemClock::now();
    for (freeze, by) in freezes_from(now, &Rules::default(), &fleet) {
        let (Freeze { name, scope, span, reason }, by) = (freeze, by.map(Caller::name).unwrap_or_default());
        output.line(format_args!("\n# Freeze {name}, ordered by {by}: {reason}\n#   {scope}, {span}"))?;
    }
    output.line("\n# Which policy each known target has, and why.")?;
    let mut choices: Vec<_> =
        fleet.targets.values().map(|record| (record.target.name(), settings.rules.choice_of(&record.target))).collect();
    choices.sort_by(|(one, _), (other, _)| one.cmp(other));
    let width = choices.iter().map(|(name, _)| name.as_str().chars().count()).max().unwrap_or_default();
    for (name, choice) in choices {
        match choice {
            Some((policy, why)) => output.line(format_args!("# {name:width$}  {}: {why}", policy.name))?,
            None => output
                .line(format_args!("# {name:width$}  none: its manager or its project is not in the configuration"))?,
        }
    }
    Ok(())
}
