//! The command line: what can be asked, and what the answer means to the shell. One file a command.

mod audit;
mod backup;
mod check;
mod config;
mod coverage;
mod demo;
mod filter_args;
mod freeze;
mod history;
mod keys;
mod man;
mod observe;
mod order;
mod output;
mod pause;
mod plan;
mod rearm;
mod reload;
mod rotate;
mod run;
mod simulate;
mod status;
mod table;
mod when;

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{Config, Environment, Problems, Settings, Substitute};
use output::Output;

/// Where packages put the configuration.
const CONFIG: &str = "/etc/rekeyd/rekeyd.toml";

/// Rotates MongoDB Ops Manager KMIP master keys on a schedule, and proves each rotation.
#[derive(Debug, Parser)]
#[command(
    name = "rekeyd",
    version = crate::app::BUILD,
    max_term_width = 100,
    after_help = "\
Exit status: 0 done, 1 it did not work out, 2 wrong usage, 3 something needs attention (status, check, coverage, keys, rotate, pause, freeze, audit verify), \
78 wrong configuration. \
The README has the table of what each command means by them.\n\n\
Examples:\n  rekeyd check                              before the first start\n  \
rekeyd status 'emea/billing/*'            how old are the keys\n  \
rekeyd rotate NAME --reason 'CHG-1234'    rotate one now\n  \
rekeyd history --since 90d                what was done"
)]
struct Cli {
    /// The configuration file.
    #[arg(long, global = true, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Work as the daemon, until SIGTERM or SIGINT.
    Run(run::Args),
    /// Rehearse: read everything that `run` would, rotate nothing, write nothing.
    Check(check::Args),
    /// Show what is to be done with each target now, and why, or every slot to come.
    Plan(plan::Args),
    /// Show each target's key, its last and its next rotation.
    Status(status::Args),
    /// Show every attempt to rotate a key, the newest first.
    History(history::Args),
    /// Show which clusters were rotated whole in a period, and whose members were left out.
    Coverage(coverage::Args),
    /// Show which API keys may rotate, the newest first, and which may do more than that takes.
    Keys(keys::Args),
    /// Verify the ledger, show its records and its head, or export evidence of a period.
    #[command(subcommand)]
    Audit(audit::Command),
    /// Rotate keys now, and wait until each new one is confirmed.
    Rotate(rotate::Args),
    /// Look at keys now, and show what the looks found.
    Observe(observe::Args),
    /// Hold targets up for a while; without a time, show the pauses that stand.
    Pause(pause::Pause),
    /// End a pause before its time.
    Resume(pause::Resume),
    /// Rotate nothing from one time to another; without a name, show the freezes that stand or are to come.
    Freeze(freeze::Freeze),
    /// End a freeze before its time, or take it back before it begins.
    Thaw(freeze::Thaw),
    /// Let quarantined targets be tried again.
    Rearm(rearm::Args),
    /// Have the running daemon read its configuration again.
    Reload(reload::Args),
    /// Copy the ledger into a file, beside a running daemon, and verify the copy.
    Backup(backup::BackupArgs),
    /// Bring a copy of the ledger back into a state directory that has none.
    Restore(backup::RestoreArgs),
    /// See it work: a make-believe Ops Manager and the daemon, on loopback, in a temporary folder.
    Demo(demo::Args),
    /// Run the make-believe Ops Manager alone, to rehearse a configuration against.
    Simulate(simulate::Args),
    /// Show the configuration.
    #[command(subcommand)]
    Config(config::Command),
    /// Print the completions for a shell.
    #[command(after_help = "Example:\n  rekeyd completions bash > /etc/bash_completion.d/rekeyd")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write the man pages, one for each command, into a directory.
    #[command(hide = true)]
    Man(man::Args),
}

/// How a command ended, as the shell is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Done,
    Failed,
    Attention,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Done => Self::SUCCESS,
            Exit::Failed => Self::from(1),
            Exit::Attention => Self::from(3),
        }
    }
}

/// Why a command ended early.
enum Stop {
    /// The configuration is wrong.
    Config(PathBuf, Problems),
    /// The configuration can be read, and the command has nothing to do by it: in words that say what to change.
    Misconfigured(String),
    /// Anything else, in words that say what failed, why, and what to do.
    Words(String),
    /// The reader of our output has closed its end.
    Gone,
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::Gone
        } else {
            Self::Words(format!("cannot write the output: {error}"))
        }
    }
}

impl From<crate::store::ReadError> for Stop {
    fn from(error: crate::store::ReadError) -> Self {
        Self::Words(error.to_string())
    }
}

type Answer = Result<Exit, Stop>;

/// Runs the command that the process was given.
pub fn main() -> ExitCode {
    answer(std::env::args_os())
}

fn answer(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // clap knows its own exit statuses: 0 for help and version, 2 for wrong usage.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let mut output = Output::new();
    match obey(&cli, &mut output) {
        Ok(exit) => exit.into(),
        // As if SIGPIPE had ended it: what there was to say was not said, so it is no success.
        Err(Stop::Gone) => ExitCode::from(141),
        Err(Stop::Words(words)) => {
            output.complain(&words);
            Exit::Failed.into()
        }
        Err(Stop::Misconfigured(words)) => {
            output.complain(&words);
            ExitCode::from(78)
        }
        Err(Stop::Config(path, problems)) => {
            output.complain_as_is(&problems.render(&path, output.complains_in_colour()));
            ExitCode::from(78)
        }
    }
}

fn obey(cli: &Cli, output: &mut Output) -> Answer {
    match &cli.command {
        Command::Run(args) => run::run(args, &config(cli)?, &cli.config),
        Command::Check(args) => check::check(args, &tried(cli, args.substitute())?, output),
        Command::Plan(args) => plan::plan(args, &settings(cli)?, output),
        Command::Status(args) => status::status(args, &settings(cli)?, output),
        Command::History(args) => history::history(args, &settings(cli)?, output),
        Command::Coverage(args) => coverage::show(args, &settings(cli)?, output),
        Command::Keys(args) if args.recorded => keys::recall(args, &settings(cli)?, output),
        Command::Keys(args) => keys::ask(args, &config(cli)?, output),
        Command::Audit(command) => audit::audit(command, &settings(cli)?, output),
        Command::Rotate(args) => rotate::rotate(args, &args.daemon.find(cli)?, output),
        Command::Observe(args) => observe::observe(args, &args.daemon.find(cli)?, output),
        Command::Pause(args) => pause::pause(args, &args.daemon.find(cli)?, output),
        Command::Resume(args) => pause::resume(args, &args.daemon.find(cli)?, output),
        Command::Freeze(args) => freeze::freeze(args, &args.daemon.find(cli)?, output),
        Command::Thaw(args) => freeze::thaw(args, &args.daemon.find(cli)?, output),
        Command::Rearm(args) => rearm::rearm(args, cli, output),
        Command::Reload(args) => reload::reload(args, cli, output),
        Command::Man(args) => man::man(args, Cli::command()),
        Command::Backup(args) => backup::backup(args, &settings(cli)?, output),
        Command::Restore(args) => backup::restore(args, &settings(cli)?, output),
        Command::Demo(args) => demo::demo(args, output),
        Command::Simulate(args) => simulate::simulate(args, output),
        Command::Config(command) => config::config(command, &cli.config, output),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "rekeyd", &mut script);
            output.raw(&script)?;
            Ok(Exit::Done)
        }
    }
}

/// The whole configuration, secrets and certificates included.
fn config(cli: &Cli) -> Result<Config, Stop> {
    let loaded = crate::config::load(&cli.config, &Environment::of_this_process());
    loaded.map_err(|problems| Stop::Config(cli.config.clone(), problems))
}

/// The whole configuration, with a new credential in the place of the present one if there is one to be tried.
fn tried(cli: &Cli, substitute: Option<Substitute>) -> Result<Config, Stop> {
    let Some(substitute) = substitute else { return config(cli) };
    let environment = Environment::of_this_process();
    substitute.try_out(&environment).map_err(Stop::Misconfigured)?;
    let loaded = crate::config::load_with(&cli.config, &environment, &substitute);
    loaded.map_err(|problems| Stop::Config(cli.config.clone(), problems))
}

/// The configuration without what only the daemon may read.
fn settings(cli: &Cli) -> Result<Settings, Stop> {
    let loaded = crate::config::load_settings(&cli.config, &Environment::of_this_process());
    loaded.map_err(|problems| Stop::Config(cli.config.clone(), problems))
}

/// A pattern that matched no target is mistyped more often than not, and must not look like good news.
fn found_some(matched: usize, glob: &str) -> Result<(), Stop> {
    if matched == 0 && glob != "*" {
        return Err(Stop::Words(format!(
            "no target's name matches {glob:?}; * stands for any text, slashes too, and `rekeyd status` lists all"
        )));
    }
    Ok(())
}

/// A runtime for commands that wait for sockets.
fn runtime() -> Result<tokio::runtime::Runtime, Stop> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Stop::Words(format!("cannot start the runtime: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The help of every command shows how it is typed.
    #[test]
    fn every_command_has_an_example() {
        fn without(command: &clap::Command, path: &str) -> Vec<String> {
            let path = format!("{path} {}", command.get_name());
            let inner = command.get_subcommands().flat_map(|inner| without(inner, &path));
            let shown = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let missing = !command.has_subcommands() && !shown.contains("Example");
            inner.chain(missing.then(|| path.clone())).collect()
        }
        assert_eq!(without(&Cli::command(), ""), [""; 0]);
    }

    /// clap finds contradictions in the definitions only when they are used.
    #[test]
    fn the_definitions_hold() {
        Cli::command().debug_assert();
    }
}
