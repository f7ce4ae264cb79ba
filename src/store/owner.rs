//! Checks whose the files of a ledger are, and names the user to run as.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Uid, User, geteuid};

use super::reader::ReadError;
use super::{DATABASE, OpenError};

/// Refuses root where another user keeps a ledger, or is to begin one: what root makes there that user could not open.
/// Others need no such rule: where they may write at all, somebody meant it.
pub(super) fn suits_root(state_dir: &Path) -> Result<(), OpenError> {
    suits(state_dir, geteuid())
}

fn suits(state_dir: &Path, me: Uid) -> Result<(), OpenError> {
    match owner(&state_dir.join(DATABASE)) {
        Some(owner) if me.is_root() && !owner.is_root() => {
            Err(OpenError::NotRoots { path: state_dir.to_owned(), owner: name(owner) })
        }
        Some(_) | None => Ok(()),
    }
}

/// Refuses a database that this user may not read, in clearer words than the database's. It is not opened for that: closing it
/// would end the locks that this process holds on it.
pub(super) fn may_read(database: &Path) -> Result<(), ReadError> {
    let refused =
        |source: io::Error| ReadError::Closed { path: database.to_owned(), owner: owner(database).map(name), source };
    fs::metadata(database).map_err(refused)?;
    rustix::fs::access(database, rustix::fs::Access::READ_OK).map_err(|error| refused(error.into()))
}

/// Whose a database is, or its directory's owner where it is not there or cannot be looked at.
fn owner(database: &Path) -> Option<Uid> {
    let places = [Some(database), database.parent()];
    places.into_iter().flatten().find_map(|place| Some(Uid::from_raw(fs::metadata(place).ok()?.uid())))
}

/// A user's name, or `#` and the number, which sudo understands as well.
fn name(uid: Uid) -> String {
    User::from_uid(uid).ok().flatten().map_or_else(|| format!("#{uid}"), |user| user.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ledger that root restored or began in the daemon's directory is one that the daemon cannot open.
    #[test]
    fn root_begins_no_ledger_in_another_users_directory() {
        let dir = tempfile::tempdir().unwrap();
        let (root, nobody) = (Uid::from_raw(0), Uid::from_raw(65_534));
        // Whoever runs this test: only root can give a directory away.
        let owner = if geteuid().is_root() { nobody } else { geteuid() };
        std::os::unix::fs::chown(dir.path(), Some(owner.as_raw()), None).unwrap();
        let refused = suits(dir.path(), root).unwrap_err().to_string();
        assert!(refused.contains(&format!("`sudo -u {} rekeyd ...`", name(owner))), "{refused}");
        assert!(suits(dir.path(), owner).is_ok());
        assert!(suits(&dir.path().join("none"), owner).is_ok());
    }

    /// Whoever may not read is told whom to come as, and not that a file cannot be opened.
    #[test]
    fn a_refusal_names_the_owner() {
        let dir = tempfile::tempdir().unwrap();
        let missing = may_read(&dir.path().join(DATABASE)).unwrap_err().to_string();
        let owner = name(geteuid());
        assert!(missing.contains(&format!("it belongs to {owner}: `sudo -u {owner} rekeyd ...`")), "{missing}");
        std::fs::write(dir.path().join(DATABASE), "").unwrap();
        assert!(may_read(&dir.path().join(DATABASE)).is_ok());
    }
}
