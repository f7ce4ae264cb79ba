//! `rekeyd run`: the daemon.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;

use clap::ValueEnum;
use tokio::signal::unix::{SignalKind, signal};

use super::{Answer, Exit, Stop, runtime};
use crate::app::{Daemon, Extras, Read};
use crate::config::{self, Config, Environment};
use crate::telemetry::{self, LogFormat};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
SIGTERM and SIGINT end it: rotations in hand may finish for 25 seconds, what is left is settled by the next start; \
a second one ends it at once. \
SIGHUP has it read its configuration again, and the files that it names: what is wrong changes nothing, and is told by \
the log, the metrics and the ledger. `rekeyd reload` does the same and waits for the outcome.\n\n\
Example:\n  rekeyd run --config /etc/rekeyd/rekeyd.toml --log-level debug")]
pub(super) struct Args {
    /// How log lines look; text on a terminal and json elsewhere, if not said.
    #[arg(long, value_enum)]
    log_format: Option<Format>,
    /// The least important lines to log.
    #[arg(long, value_enum, default_value_t = Level::Info)]
    log_level: Level,
    /// Die before or after recording a kind of event, or stand still there; debug builds only.
    #[cfg(debug_assertions)]
    #[arg(long, hide = true, value_name = "before|after|stall:KIND[:N]")]
    die: Option<crate::app::Failpoint>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<Level> for tracing::Level {
    fn from(level: Level) -> Self {
        match level {
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

pub(super) fn run(args: &Args, config: &Config, path: &Path) -> Answer {
    let format = match args.log_format {
        Some(Format::Text) => LogFormat::Text,
        Some(Format::Json) => LogFormat::Json,
        None => LogFormat::fitting_stderr(),
    };
    let journald = std::env::var_os("JOURNAL_STREAM").is_some() && !std::io::stderr().is_terminal();
    telemetry::init(format, journald, args.log_level.into());
    for warning in config.settings.warnings.iter() {
        tracing::warn!("{}", warning.what);
    }
    let extras = Extras {
        witness: None,
        read: Some(reading(path)),
        #[cfg(debug_assertions)]
        failpoint: args.die.clone(),
    };
    runtime()?.block_on(async {
        let words = |error: std::io::Error| Stop::Words(format!("cannot watch for signals: {error}"));
        // Watched from the start: a signal that comes early must not kill what has just begun.
        let mut terminate = signal(SignalKind::terminate()).map_err(words)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(words)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(words)?;
        let mut daemon = Daemon::start(config, extras).await.map_err(|error| {
            let words = error.to_string();
            if error.is_misconfiguration() { Stop::Misconfigured(words) } else { Stop::Words(words) }
        })?;
        let exit = loop {
            tokio::select! {
                _ = terminate.recv() => break Exit::Done,
                _ = interrupt.recv() => break Exit::Done,
                part = daemon.broken() => {
                    tracing::error!(part, "{part} has ended by a panic: this is a bug; ending, to be started anew");
                    break Exit::Failed;
                }
                _ = hangup.recv() => daemon.reload(),
            }
        };
        tracing::info!("stopping: rotations in hand may finish");
        tokio::select! {
            () = daemon.stop() => tracing::info!("stopped"),
            _ = terminate.recv() => tracing::warn!("asked again: stopped at once; the next start settles what was in hand"),
            _ = interrupt.recv() => tracing::warn!("asked again: stopped at once; the next start settles what was in hand"),
        }
        Ok(exit)
    })
}

/// Reads the file again, and tells all of its problems at once.
fn reading(path: &Path) -> Arc<Read> {
    let path = path.to_owned();
    Arc::new(move || {
        let loaded = config::load(&path, &Environment::of_this_process());
        loaded.map_err(|problems| problems.render(&path, false).trim_end().to_owned())
    })
}
