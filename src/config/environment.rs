//! The few facts that come from outside the file. The only place that reads the process environment.

use std::path::PathBuf;

/// What the service manager tells a service about its surroundings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Where systemd puts the credentials of a unit (systemd.exec(5), `LoadCredential=`).
    pub credentials_directory: Option<PathBuf>,
    /// Where systemd lets a unit keep its state (systemd.exec(5), `StateDirectory=`).
    pub state_directory: Option<PathBuf>,
    /// Where systemd lets a unit keep its sockets (systemd.exec(5), `RuntimeDirectory=`).
    pub runtime_directory: Option<PathBuf>,
}

impl Environment {
    /// What this process was started with.
    pub fn of_this_process() -> Self {
        let path = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            credentials_directory: path("CREDENTIALS_DIRECTORY").map(PathBuf::from),
            state_directory: path("STATE_DIRECTORY").and_then(first),
            runtime_directory: path("RUNTIME_DIRECTORY").and_then(first),
        }
    }
}

/// Several directories stand in one variable, with colons between them; the first is ours.
fn first(value: std::ffi::OsString) -> Option<PathBuf> {
    value.to_str()?.split(':').next().map(PathBuf::from)
}
