//! Why a daemon cannot start.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::alerts::delivery;
use crate::control::{AuthorityError, ListenError};
use crate::domain::{ManagerName, ReceiverName};
use crate::http::WebConfigError;
use crate::ports::JournalError;
use crate::remote::SetupError;
use crate::store::{KeyError, OpenError, ReadError};

/// Why the daemon cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Nothing to rotate.
    #[error("the configuration names no manager, so there is nothing to rotate; add an [[ops_manager]] section")]
    NoManager,
    /// The state directory cannot be worked in.
    #[error("cannot work in the state directory {}: {source}", dir.display())]
    State {
        /// Which one.
        dir: PathBuf,
        /// Why.
        source: OpenError,
    },
    /// What is known cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Random(getrandom::Error),
    /// There is no key to sign checkpoints with.
    #[error(transparent)]
    CheckpointKey(#[from] KeyError),
    /// A manager's client cannot be made.
    #[error("manager {name}: {source}")]
    Manager {
        /// Which one.
        name: ManagerName,
        /// Why.
        source: SetupError,
    },
    /// A receiver of alerts cannot be reached as it is configured.
    #[error("receiver {name}: {source}")]
    Receiver {
        /// Which one.
        name: ReceiverName,
        /// Why.
        source: delivery::SetupError,
    },
    /// The address cannot be listened on.
    #[error(
        "cannot listen on {address}: {source}; `listen` in [http] names another address, and `ss -ltnp` tells who is there"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The socket for orders cannot be opened.
    #[error("cannot take orders on {}: {source}; `socket` in [control] names another place", path.display())]
    Control {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: ListenError,
    },
    /// The group that may give orders cannot be used.
    #[error("`group` in [control]: {0}")]
    Group(#[from] AuthorityError),
    /// The listener's web configuration cannot be followed.
    #[error("{}: {source}", path.display())]
    WebConfig {
        /// The file.
        path: PathBuf,
        /// Why.
        source: WebConfigError,
    },
    /// The start could not be recorded: no record, no rotation.
    #[error("the start cannot be recorded, and what cannot be recorded is not begun: {0}")]
    Ledger(#[from] JournalError),
    /// The scheduler of the standing jobs did not start.
    #[error("the scheduler cannot be started: {0}")]
    Scheduler(#[from] tokio_cron_scheduler::JobSchedulerError),
}

impl StartError {
    /// Whether the configuration, or a file that it names, is at fault: the next start would fail as this one did.
    pub fn is_misconfiguration(&self) -> bool {
        match self {
            Self::NoManager | Self::Manager { .. } | Self::Receiver { .. } => true,
            Self::CheckpointKey(error) => matches!(error, KeyError::Malformed | KeyError::Open { .. }),
            Self::Group(error) => matches!(error, AuthorityError::Unknown(_)),
            Self::Control { source, .. } => match source {
                ListenError::NoSocket => true,
                ListenError::Taken => false,
                ListenError::Io(error) => !matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::OutOfMemory),
            },
            Self::WebConfig { source, .. } => !matches!(source, WebConfigError::Random(_)),
            // The address may come with the network, and the disk may be mounted, or get room.
            Self::State { .. }
            | Self::Read(_)
            | Self::Random(_)
            | Self::Listen { .. }
            | Self::Ledger(_)
            | Self::Scheduler(_) => false,
        }
    }
}
