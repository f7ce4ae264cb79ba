//! As whom the daemon runs: root, who checks, may read and write what the daemon's user may not.

use std::ffi::CString;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;

use nix::unistd::{Uid, User, geteuid, getgrouplist};
use rustix::thread::{Gid, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::{Line, Step};

/// Whose rights count, where they are fewer than those of this process.
pub(super) struct DaemonUser(Option<Rights>);

struct Rights {
    name: String,
    uid: u32,
    gid: u32,
    /// All of the user's groups.
    groups: Vec<u32>,
}

impl DaemonUser {
    /// The owner of the state directory, if root asks and it is another; before there is one, nobody knows whose it will be.
    pub(super) fn of(state_dir: &Path) -> Self {
        let data = fs::metadata(state_dir).ok().filter(|data| geteuid().is_root() && data.uid() != 0);
        Self(data.map(|data| {
            let (uid, gid) = (data.uid(), data.gid());
            let Some(user) = User::from_uid(Uid::from_raw(uid)).ok().flatten() else {
                return Rights { name: format!("#{uid}"), uid, gid, groups: vec![gid] };
            };
            let groups = CString::new(user.name.as_str()).ok().and_then(|name| getgrouplist(&name, user.gid).ok());
            let groups = groups.unwrap_or_else(|| vec![user.gid]).into_iter().map(nix::unistd::Gid::as_raw).collect();
            Rights { name: user.name, uid, gid: user.gid.as_raw(), groups }
        }))
    }

    /// Looks with that user's rights and no others, on a thread of its own: the kernel judges, as it will judge the daemon.
    pub(super) fn look<T: Send>(&self, look: impl FnOnce() -> T + Send) -> T {
        let Some(rights) = &self.0 else { return look() };
        thread::scope(|scope| {
            let looking = scope.spawn(|| {
                // Where root may not even do this, it has no more rights than others.
                let _ = rights.put_on();
                look()
            });
            looking.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// The files that the daemon will not be able to read, though root can. To be asked within [`Self::look`].
    pub(super) fn closed(&self, files: &[PathBuf]) -> Vec<Line> {
        let Some(Rights { name, .. }) = &self.0 else { return Vec::new() };
        let closed = files.iter().filter_map(|file| Some((file, File::open(file).err()?)));
        let lines = closed.map(|(file, error)| {
            let words = format!("{name}, to whom the state directory belongs, cannot read {}: {error}", file.display());
            Step::Config.fail(words, "give that user the right to, or hand the file over as a credential")
        });
        lines.collect()
    }
}

impl Rights {
    /// The calling thread has these from now on, and cannot go back.
    fn put_on(&self) -> rustix::io::Result<()> {
        let gid = Gid::from_raw(self.gid);
        let uid = rustix::thread::Uid::from_raw(self.uid);
        set_thread_groups(&self.groups.iter().copied().map(Gid::from_raw).collect::<Vec<_>>())?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)
    }
}
