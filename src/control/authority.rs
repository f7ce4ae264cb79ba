//! Who may give orders: root, the daemon's own user, and the members of one group.

use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist};

use crate::domain::Caller;

/// Who may give orders.
#[derive(Clone, Debug)]
pub struct Authority {
    own: u32,
    group: Option<(String, Gid)>,
}

/// A group cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The system does not know it.
    #[error("this system knows no group {0:?}")]
    Unknown(String),
    /// The system could not be asked.
    #[error("the system cannot tell of the group {0:?}: {1}")]
    Unreadable(String, nix::Error),
}

impl Authority {
    /// Root, this process's user, and the members of `group`, if one is named.
    pub fn new(group: Option<&str>) -> Result<Self, AuthorityError> {
        let group = group.map(|name| match Group::from_name(name) {
            Ok(Some(group)) => Ok((name.to_owned(), group.gid)),
            Ok(None) => Err(AuthorityError::Unknown(name.to_owned())),
            Err(error) => Err(AuthorityError::Unreadable(name.to_owned(), error)),
        });
        Ok(Self { own: geteuid().as_raw(), group: group.transpose()? })
    }

    /// Whether anyone besides root and the daemon's own user may give orders.
    pub(super) fn is_shared(&self) -> bool {
        self.group.is_some()
    }

    /// Whether this user may give orders whatever the system's user database says.
    pub(super) fn is_known(&self, uid: u32) -> bool {
        uid == 0 || uid == self.own
    }

    /// Names the caller, and says whether it may give orders. Asks the system's user database, which may wait for a network: not
    /// for threads that serve sockets.
    pub(super) fn judge(&self, uid: u32, gid: u32, pid: i32) -> (Caller, bool) {
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let may = self.is_known(uid)
            || self.group.as_ref().is_some_and(|(_, group)| {
                // Not only the group that the process happens to run with: the user's groups, as the system knows them.
                let groups =
                    user.as_ref().and_then(|user| getgrouplist(&CString::new(user.name.as_str()).ok()?, user.gid).ok());
                group.as_raw() == gid || groups.is_some_and(|groups| groups.contains(group))
            });
        (Caller { uid, gid, pid, user: user.map(|user| user.name), login: None }, may)
    }

    /// Names those who may give orders, for a refusal.
    pub(super) fn words(&self) -> String {
        let own = User::from_uid(Uid::from_raw(self.own)).ok().flatten();
        let own = own.map_or_else(|| format!("uid {}", self.own), |user| user.name);
        match &self.group {
            Some((group, _)) => format!("root, {own} and the members of the group {group}"),
            None => format!("root and {own}; `group` in [control] lets a group in"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Root and the own user, whatever the configuration says; and no one else, if it says nothing.
    #[test]
    fn without_a_group_only_root_and_the_own_user_may() {
        let authority = Authority { own: 4_000_000, group: None };
        for (uid, may) in [(0, true), (4_000_000, true), (65_534, false), (4_000_001, false)] {
            assert_eq!(authority.judge(uid, 0, 1).1, may, "{uid}");
        }
    }

    #[test]
    fn the_members_of_the_group_may() {
        let authority = Authority { own: 4_000_000, group: Some(("operators".to_owned(), Gid::from_raw(4_000_007))) };
        assert!(authority.judge(4_000_001, 4_000_007, 1).1);
        assert!(!authority.judge(4_000_001, 4_000_008, 1).1);
        assert!(matches!(Authority::new(Some("no-such-group-here")), Err(AuthorityError::Unknown(_))));
    }
}
