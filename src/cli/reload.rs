//! `rekeyd reload`: has the running daemon read its configuration again, and waits for the outcome.

use std::path::PathBuf;

use super::order::{DaemonArgs, login, with_daemon};
use super::output::Output;
use super::{Answer, Cli, Exit, Stop};
use crate::config::Environment;
use crate::control::{Client, ReloadOrder};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The configuration, the secrets in files and the certificates are read again. All of it comes into force or, if \
anything is wrong, nothing, and the former configuration stays. Rotations in hand are not disturbed. `systemctl reload rekeyd` does this.\n\n\
state_dir, [ledger], [http] but for stalled_after, [control], [alerts] and the receivers of alerts take a restart. So do credentials of the unit: systemd hands them over when it starts the \
daemon.\n\nExamples:\n  rekeyd check && rekeyd reload\n  systemctl reload rekeyd\n\n\
Exit status: 0 it is in force, 1 the daemon refused it or was not reached, 78 the file is wrong and no daemon is where it would be \
without one: --socket says where."
)]
pub(super) struct Args {
    #[command(flatten)]
    daemon: DaemonArgs,
}

pub(super) fn reload(args: &Args, cli: &Cli, output: &mut Output) -> Answer {
    // A broken file is left for the daemon to refuse: so the refusal is on record and in the metrics.
    let socket = match args.daemon.find(cli) {
        Ok(daemon) => daemon.socket,
        Err(wrong) => {
            let runtime = Environment::of_this_process().runtime_directory;
            let socket = runtime.unwrap_or_else(|| PathBuf::from("/run/rekeyd")).join("control.sock");
            if Client::new(&socket).is_err() {
                return Err(wrong);
            }
            socket
        }
    };
    let reloaded = with_daemon(&socket, async |client| Ok(client.reload(&ReloadOrder { login: login() }).await?));
    let reloaded = reloaded.map_err(|stop| match stop {
        Stop::Words(words) => Stop::Words(format!("nothing was changed: {words}")),
        Stop::Config(..) | Stop::Misconfigured(_) | Stop::Gone => stop,
    })?;
    if reloaded.changes.is_empty() {
        output.line("read again; nothing has changed")?;
    }
    for change in reloaded.changes {
        output.line(change)?;
    }
    Ok(Exit::Done)
}
