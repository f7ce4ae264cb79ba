//! What the commands that order something share: finding the daemon, naming the user who logged in, choosing targets.

use std::future::Future;
use std::path::{Path, PathBuf};

use jiff::tz::TimeZone;
use nix::unistd::{Uid, User, getgid, getuid};

use super::output::Output;
use super::{Cli, Exit, Stop, runtime, settings};
use crate::control::{Client, ClientError, Orderable, Reasoned, TargetState};
use crate::domain::{Caller, Glob, TargetName};

/// Which daemon.
#[derive(Debug, clap::Args)]
pub(super) struct DaemonArgs {
    /// Where the daemon takes orders. No configuration is read then, as while it is being edited; days and
    /// times without an offset are those of UTC.
    #[arg(long, value_name = "PATH")]
    pub(super) socket: Option<PathBuf>,
}

/// The daemon that an order goes to, and how times in it are read.
pub(super) struct Daemon {
    /// Where the daemon takes orders.
    pub(super) socket: PathBuf,
    /// Of days and of times without an offset.
    pub(super) timezone: TimeZone,
}

impl DaemonArgs {
    /// By the socket that was given, or else by the configuration.
    pub(super) fn find(&self, cli: &Cli) -> Result<Daemon, Stop> {
        match &self.socket {
            Some(socket) => Ok(Daemon { socket: socket.clone(), timezone: TimeZone::UTC }),
            None => settings(cli)
                .map(|settings| Daemon { socket: settings.control.socket, timezone: settings.rules.timezone }),
        }
    }
}

/// Why, for the record: what every order has to say.
#[derive(Debug, clap::Args)]
pub(super) struct Why {
    /// Why, for the record: a ticket, a sentence.
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub(super) reason: String,
}

/// Speaks with the daemon of this configuration.
pub(super) fn with_daemon<T, F>(socket: &Path, work: impl FnOnce(Client) -> F) -> Result<T, Stop>
where
    F: Future<Output = Result<T, Stop>>,
{
    runtime()?.block_on(async {
        let client = Client::new(socket)?;
        work(client).await
    })
}

/// Gives an order, with its reason and with the name of the user who logged in.
pub(super) async fn give<T: Orderable>(client: &Client, reason: &str, order: T) -> Result<T::Answer, Stop> {
    Ok(client.order(&Reasoned { reason: reason.to_owned(), login: login(), order }).await?)
}

impl From<ClientError> for Stop {
    /// With the next step.
    fn from(error: ClientError) -> Self {
        let next = match &error {
            ClientError::Down(_) => {
                "\n  Nothing was ordered. `systemctl status rekeyd` says whether it runs, and `systemctl start rekeyd` starts it."
            }
            ClientError::Closed(_) => {
                "\n  Nothing was ordered. Root and the daemon's user may, `sudo rekeyd ...`; `group` in [control] lets others in."
            }
            ClientError::Broken { .. } => {
                "\n  `rekeyd status` and `journalctl -u rekeyd` tell what became of the order."
            }
            ClientError::Refused(_) => "",
        };
        Self::Words(format!("{error}{next}"))
    }
}

/// The targets whose names match; none is an error.
pub(super) async fn matching(client: &Client, glob: &str) -> Result<Vec<TargetState>, Stop> {
    let targets = client.targets(glob).await?;
    super::found_some(targets.len(), glob)?;
    Ok(targets)
}

/// What to say of an order to hold up what `scope` names, if that is nobody: it stands, as targets found later belong to it, and
/// was mistyped more often than not. None as long as no target is known at all.
pub(super) async fn holds_nobody(client: &Client, scope: &str) -> Result<Option<String>, Stop> {
    let names: Vec<_> = client.targets("*").await?.into_iter().map(|state| state.target).collect();
    let glob = Glob::new(scope);
    if names.iter().any(|name| glob.matches(name.as_str())) {
        return Ok(None);
    }
    let like = |name: &&TargetName| (strsim::jaro(scope, name.as_str()) * 1e6) as u32;
    Ok(names.iter().max_by_key(like).map(|name| {
        format!(
            "no target's name matches {scope:?} now, so nothing is held up by this; the one most like it is {name}, and \
             `rekeyd status` lists all"
        )
    }))
}

/// How an order ends that is given: with the warning, if there is one.
pub(super) fn told(warning: Option<String>, exit: Exit, output: &mut Output) -> Exit {
    let Some(words) = warning else { return exit };
    output.warn(&words);
    Exit::Attention
}

/// The user who logged in, if this process runs as another one, as under `sudo`.
pub(super) fn login() -> Option<String> {
    let uid = logged_in(&std::fs::read_to_string("/proc/self/loginuid").ok()?)?;
    if uid == getuid().as_raw() {
        return None;
    }
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    Some(user.map_or_else(|| format!("uid {uid}"), |user| user.name))
}

/// Who this process is, as the daemon would see it on the socket.
pub(super) fn this_process() -> Caller {
    let user = User::from_uid(getuid()).ok().flatten().map(|user| user.name);
    let (uid, gid, pid) = (getuid().as_raw(), getgid().as_raw(), std::process::id().cast_signed());
    Caller { uid, gid, pid, user, login: login() }
}

/// What `/proc/self/loginuid` tells; the kernel writes -1, unsigned, where nobody logged in.
fn logged_in(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|uid| *uid != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The record must name the person, and not call an absent one 4294967295.
    #[test]
    fn nobody_logged_in_is_nobody() {
        assert_eq!(logged_in("1000\n"), Some(1000));
        assert_eq!(logged_in("4294967295"), None);
        assert_eq!(logged_in(""), None);
    }
}
