//! The place that the daemon would work in: the state directory and the ledger in it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Access, StatVfsMountFlags};

use super::super::presence::holder;
use super::user::DaemonUser;
use super::{Line, Step, checkpoints, control, listener};
use crate::config::Config;
use crate::domain::Fleet;
use crate::ports::Clock;
use crate::store::{self, ReadError, Reader};

/// With less room than this a start may fail, and rotating soon would.
const NO_ROOM: u64 = 16 << 20;
/// With less room than this somebody should make some.
const LITTLE_ROOM: u64 = 256 << 20;

/// What stands in the way of a start on this machine, and what is on record there.
pub(super) fn rehearse(config: &Config, clock: &Arc<dyn Clock>) -> (Vec<Line>, Fleet) {
    let settings = &config.settings;
    let user = DaemonUser::of(&settings.state_dir);
    let (mut lines, holder, fleet) = user.look(|| seen(config, &user));
    // A right to low ports is the unit's to give, and not the user's to have.
    lines.push(listener::rehearse(settings.http.listen, holder));
    lines.extend(user.look(|| listener::web_config(&settings.http, clock)));
    (lines, fleet)
}

/// What the daemon's user finds in its place; and who works there now.
fn seen(config: &Config, user: &DaemonUser) -> (Vec<Line>, Option<String>, Fleet) {
    let settings = &config.settings;
    let mut lines = user.closed(&config.files);
    if settings.rules.managers.is_empty() {
        let next = "add a section [[ops_manager]]";
        lines.push(Step::Config.fail("no manager is configured, so there is nothing to rotate", next));
    } else if settings.warnings.is_empty() && lines.is_empty() {
        lines.push(Step::Config.pass("the configuration has no problem"));
    }
    lines.extend(settings.warnings.iter().map(|warning| {
        Step::Config
            .warn(warning.what.clone(), warning.help.clone().unwrap_or_else(|| "see that it is meant".to_owned()))
    }));
    let dir = &settings.state_dir;
    lines.push(state(dir));
    let holder = holder(dir);
    lines.push(match &holder {
        None => Step::Lock.pass("nobody works in the state directory"),
        Some(pid) => Step::Lock.pass(format!("a daemon works in the state directory, process {pid}")),
    });
    let (ledger, fleet) = ledger(dir);
    lines.push(ledger);
    lines.push(checkpoints::rehearse(settings, config.checkpoint_key.as_ref()));
    lines.push(control::rehearse(settings, holder.as_deref()));
    (lines, holder, fleet)
}

/// Whether a ledger can be kept in the directory, and will last there.
fn state(dir: &Path) -> Line {
    let step = Step::State;
    let shown = dir.display();
    let place = match fs::metadata(dir) {
        Ok(data) if !data.is_dir() => return step.fail(format!("{shown} is no directory"), "set `state_dir` to one"),
        Ok(data) => {
            if data.mode() & 0o022 != 0 {
                let words = format!("others can write into {shown}: mode {:03o}", data.mode() & 0o777);
                return step.warn(words, format!("chmod 700 {shown}"));
            }
            let database = dir.join(store::DATABASE);
            if let Some(mode) = fs::metadata(&database).ok().map(|data| data.mode() & 0o777)
                && mode & 0o022 != 0
            {
                let words = format!("others can write into {}: mode {mode:03o}", database.display());
                return step.warn(words, format!("chmod 600 {}", database.display()));
            }
            dir
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A start makes the directory, and not its parents: where a disk is not mounted, a new one would stand in for it.
            let parent = dir.parent().unwrap_or(dir);
            if !parent.is_dir() {
                let words = format!("{shown} cannot be made: there is no {}", parent.display());
                return step.fail(words, "mount or make it, or set `state_dir`");
            }
            parent
        }
        Err(error) => {
            return step.fail(format!("{shown} cannot be looked at: {error}"), "check its owner and its parents'");
        }
    };
    if rustix::fs::access(place, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let words = format!("this user may not write into {}", place.display());
        return step.fail(words, "give the directory to the daemon's user, or check as that user");
    }
    let (Ok(room), Ok(system)) = (rustix::fs::statvfs(place), rustix::fs::statfs(place)) else {
        return step.fail(format!("the file system of {} does not answer", place.display()), "check its mount");
    };
    if room.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return step.fail(format!("the file system of {} is read-only", place.display()), "mount it for writing");
    }
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let free_mib = free >> 20;
    let local = "keep the state directory on a local disk";
    let kind = kind(system.f_type as u64);
    match kind {
        Kind::Remote(name) => {
            return step.fail(format!("{} is on {name}, where a database cannot be kept safe", place.display()), local);
        }
        Kind::Memory(name) => {
            return step.warn(format!("{} is on {name}: the ledger ends with the machine", place.display()), local);
        }
        Kind::Other => {}
    }
    let made = if place == dir { format!("{shown} can be written") } else { format!("{shown} will be made") };
    if free < NO_ROOM {
        return step
            .fail(format!("{made}, but only {free_mib} MiB are free"), "make room; nothing is rotated on a full disk");
    }
    if free < LITTLE_ROOM {
        return step.warn(format!("{made}, but only {free_mib} MiB are free"), "make room");
    }
    step.pass(format!("{made}, {free_mib} MiB are free, the file system is local"))
}

/// What a file system means for a database with a write-ahead log.
#[derive(Clone, Copy)]
enum Kind {
    /// Shared with other machines: locks and shared memory do not hold.
    Remote(&'static str),
    /// Gone with the power.
    Memory(&'static str),
    Other,
}

/// The numbers are those of statfs(2).
fn kind(magic: u64) -> Kind {
    match magic & 0xffff_ffff {
        0x6969 => Kind::Remote("NFS"),
        0x517b => Kind::Remote("SMB"),
        0xff53_4d42 | 0xfe53_4d42 => Kind::Remote("CIFS"),
        0x00c3_6400 => Kind::Remote("Ceph"),
        0x0102_1997 => Kind::Remote("9P"),
        0x5346_414f | 0x6b41_4653 => Kind::Remote("AFS"),
        0x6573_5546 => Kind::Remote("FUSE"),
        0x0102_1994 => Kind::Memory("tmpfs"),
        0x8584_58f6 => Kind::Memory("ramfs"),
        _ => Kind::Other,
    }
}

/// Whether the ledger can be gone on with, and what it knows.
fn ledger(dir: &Path) -> (Line, Fleet) {
    let step = Step::Ledger;
    let verify = "`rekeyd audit verify` tells more; restore the database from a backup";
    if dir.exists() && !dir.is_dir() {
        return (step.skip("not reached"), Fleet::default());
    }
    let line = match Reader::open(dir) {
        Err(ReadError::Missing { .. }) if store::was_begun(dir) => {
            let words = format!("a ledger was kept in {}, and it is gone", dir.display());
            step.fail(words, "restore the database from a backup; a start is refused until then")
        }
        Err(ReadError::Missing { .. }) => step.pass("there is none yet: `rekeyd run` begins one"),
        Err(ReadError::OtherVersion { found, known }) if found < known => step.warn(
            format!("it has version {found}, and a start would bring it to {known}, from which there is no way back"),
            "keep a copy of the database",
        ),
        Err(error @ ReadError::OtherVersion { .. }) => {
            step.fail(error.to_string(), "use the version of rekeyd that wrote it")
        }
        Err(error @ ReadError::Closed { .. }) => step.fail(error.to_string(), "check as the user that it belongs to"),
        Err(
            error @ (ReadError::Database(_)
            | ReadError::Unfit { .. }
            | ReadError::Damaged(_)
            | ReadError::NoLedger { .. }),
        ) => step.fail(error.to_string(), verify),
        Ok(reader) => match reader.fleet().and_then(|fleet| Ok((fleet, reader.head()?.seq))) {
            Ok((fleet, records)) => {
                let line = match reader.check_start() {
                    Ok(()) => step.pass(format!("{records} records; the newest of them continue the chain")),
                    Err(error) => step.fail(error.to_string(), verify),
                };
                return (line, fleet);
            }
            Err(error) => step.fail(error.to_string(), verify),
        },
    };
    (line, Fleet::default())
}
