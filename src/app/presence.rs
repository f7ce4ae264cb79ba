//! Whether the daemon runs, found out from outside of it: its socket is asked, and the lock on its state directory.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use tokio::time::timeout;

use crate::config::Settings;
use crate::control::{Client, ClientError, DaemonState};

/// The daemon has this at hand: what takes longer is no answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The daemon, as others meet it.
#[derive(Clone, Debug)]
pub enum Presence {
    /// It tells what it alone knows.
    Answers(DaemonState),
    /// Somebody works in the state directory, or listens on the socket, and does not tell how it is.
    Mute {
        /// The process; none where the system does not tell it.
        pid: Option<String>,
        /// Why it was not told.
        why: String,
    },
    /// Nobody is there.
    Absent,
}

impl Presence {
    /// Looks for the daemon of this configuration.
    pub async fn of(settings: &Settings) -> Self {
        let asked = match Client::new(&settings.control.socket) {
            Ok(client) => timeout(PATIENCE, client.daemon()).await.unwrap_or_else(|_| {
                let (path, reason) = (settings.control.socket.clone(), format!("within {PATIENCE:?}"));
                Err(ClientError::Broken { path, reason })
            }),
            Err(error) => Err(error),
        };
        match (asked, holder(&settings.state_dir)) {
            (Ok(state), _) => Self::Answers(state),
            (Err(ClientError::Down(_) | ClientError::Closed(_)), None) => Self::Absent,
            (Err(error), pid) => Self::Mute { pid, why: error.to_string() },
        }
    }
}

/// The process that holds the lock on the directory. Read from the kernel's list (`proc_locks(5)`): to try the lock, even
/// for a moment, could keep a daemon that starts just then from having it.
pub(super) fn holder(dir: &Path) -> Option<String> {
    let data = fs::metadata(dir).ok()?;
    let (major, minor) = (rustix::fs::major(data.dev()), rustix::fs::minor(data.dev()));
    let place = format!("{major:02x}:{minor:02x}:{}", data.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let (kind, _, _, pid, held) = (words.next()?, words.next()?, words.next()?, words.next()?, words.next()?);
        (kind == "FLOCK" && held == place).then(|| pid.to_owned())
    })
}
