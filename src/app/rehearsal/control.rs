//! Whether orders can be taken: the socket, and the group that may give them.

use std::fs;
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;

use rustix::fs::Access;

use super::{Line, Step};
use crate::config::Settings;
use crate::control::Authority;

/// Below it the service manager makes a directory for the daemon at each start, and takes it away at each stop.
const RUNTIME: &str = "/run";

/// Whether the daemon can open its socket; `holder` is the process that works here now, if one does.
pub(super) fn rehearse(settings: &Settings, holder: Option<&str>) -> Line {
    let step = Step::Control;
    let path = &settings.control.socket;
    let shown = path.display();
    if let Err(error) = Authority::new(settings.control.group.as_deref()) {
        return step
            .fail(format!("`group`: {error}"), "make the group, or set `group` in [control] to one that is there");
    }
    let dir = &settings.state_dir;
    if path.starts_with(dir) && dir.exists() && !dir.is_dir() {
        return step.skip("not reached");
    }
    let another = "set `socket` in [control] to another place";
    if let Err(error) = SocketAddr::from_pathname(path) {
        return step.fail(format!("{shown} cannot be a socket: {error}"), another);
    }
    let left = match fs::symlink_metadata(path) {
        Ok(data) if !data.file_type().is_socket() => {
            return step.fail(format!("{shown} is no socket, and is not written over"), another);
        }
        Ok(_) => match (UnixStream::connect(path), holder) {
            (_, Some(pid)) => {
                return step.pass(format!("{shown} is there, as it should be while process {pid} works here"));
            }
            (Ok(_), None) => return step.fail(format!("somebody else listens at {shown}"), another),
            (Err(_), None) => true,
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return step.fail(format!("{shown} cannot be looked at: {error}"), another),
    };
    let parent = path.parent().unwrap_or(path);
    if !parent.exists() && (parent == dir || parent.parent() == Some(Path::new(RUNTIME))) {
        return step.pass(format!("{shown} will be made, and its directory by a start or the service manager"));
    }
    if let Err(error) = rustix::fs::access(parent, Access::WRITE_OK | Access::EXEC_OK) {
        let words = format!("{shown} cannot be made: {}: {}", parent.display(), io::Error::from(error));
        return step.fail(words, another);
    }
    step.pass(if left {
        format!("{shown} is left over, and will be made anew")
    } else {
        format!("{shown} will be made")
    })
}
