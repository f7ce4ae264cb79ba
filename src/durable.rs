//! File names that survive a power cut, and that are given to nothing unfinished. What stands in the files is for others.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// The folder that a name stands in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes sure that a name which was just given stays.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// Gives what was made, a file or a folder, its own name in the same folder, and writes over nothing.
///
/// # Errors
/// If there is something by that name, or the name cannot be given.
pub(crate) fn name(made: &Path, path: &Path) -> io::Result<()> {
    File::open(made)?.sync_all()?;
    match renameat_with(CWD, made, CWD, path, RenameFlags::NOREPLACE) {
        // Some file systems, those of the network among them, cannot refuse to replace.
        Err(Errno::INVAL | Errno::NOSYS) if path.symlink_metadata().is_err() => fs::rename(made, path)?,
        renamed => renamed?,
    }
    sync_name(path)
}
