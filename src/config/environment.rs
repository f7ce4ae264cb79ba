//! The few facts that come from outside the file. The only place that reads the process environment.

use std::path::{Path, PathBuf};

/// Where systemd puts the credentials of the daemon's unit: there as long as it runs, and open to root.
const OF_THE_UNIT: &str = "/run/credentials/rekeyd.service";

/// What the service manager tells a service about its surroundings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// Where systemd puts the credentials of a unit (systemd.exec(5), `LoadCredential=`); for a command that somebody types,
    /// those of the daemon's unit while it runs.
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
            credentials_directory: credentials(
                path("CREDENTIALS_DIRECTORY").map(PathBuf::from),
                Path::new(OF_THE_UNIT),
            ),
            state_directory: path("STATE_DIRECTORY").and_then(first),
            runtime_directory: path("RUNTIME_DIRECTORY").and_then(first),
        }
    }
}

/// The directory of the credentials: the one that was told, or else the unit's, if it is there.
fn credentials(told: Option<PathBuf>, of_the_unit: &Path) -> Option<PathBuf> {
    told.or_else(|| of_the_unit.is_dir().then(|| of_the_unit.to_owned()))
}

/// Several directories stand in one variable, with colons between them; the first is ours.
fn first(value: std::ffi::OsString) -> Option<PathBuf> {
    value.to_str()?.split(':').next().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `sudo rekeyd check` beside the daemon reads what systemd handed to it, and needs no further word.
    #[test]
    fn without_a_directory_of_its_own_a_command_takes_the_units() {
        let unit = tempfile::tempdir().unwrap();
        assert_eq!(credentials(None, unit.path()).as_deref(), Some(unit.path()));
        assert_eq!(credentials(Some("/told".into()), unit.path()).as_deref(), Some(Path::new("/told")));
        assert_eq!(credentials(None, &unit.path().join("none")), None);
    }
}
