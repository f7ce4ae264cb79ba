//! `rekeyd backup` and `rekeyd restore`: copies of the ledger.

use std::path::{Path, PathBuf};

use super::output::{GOOD, Output, WARN, styled};
use super::{Answer, Exit, Stop};
use crate::config::Settings;
use crate::store::{self, BackupError, Reader, Verified};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The copy is one SQLite file, made beside a running daemon and verified before it gets its name. The key that signs \
checkpoints and the checkpoint file are not in it.\n\nExample:\n  rekeyd backup /mnt/elsewhere/rekeyd-2026-05-01.db\n\n\
Exit status: 0 it is whole; 1 it is not, or cannot be made; 3 it has records that this version cannot read, so its tables \
were not compared.")]
pub(super) struct BackupArgs {
    /// The file to make; it must not exist.
    file: PathBuf,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The daemon must be stopped, and the state directory without a ledger: move an old one away, `rekeyd.db` and with it \
`rekeyd.db-wal` and `rekeyd.db-shm` if they are there: they hold what was recorded last. What was recorded after the \
backup was made is lost, and the checkpoint file shows it: move that away too, and keep it.\n\nExample:\n  rekeyd restore /mnt/elsewhere/rekeyd-2026-05-01.db")]
pub(super) struct RestoreArgs {
    /// The file that `rekeyd backup` made.
    file: PathBuf,
}

pub(super) fn backup(args: &BackupArgs, settings: &Settings, output: &mut Output) -> Answer {
    let reader = Reader::open(&settings.state_dir)?;
    let copied = reader.backup(&args.file);
    tell(copied, "copied", &args.file, output)
}

pub(super) fn restore(args: &RestoreArgs, settings: &Settings, output: &mut Output) -> Answer {
    let restored = store::restore(&args.file, &settings.state_dir);
    tell(restored, "restored", &settings.state_dir, output)
}

fn tell(done: Result<Verified, BackupError>, what: &str, to: &Path, output: &mut Output) -> Answer {
    let verified = done.map_err(|error| Stop::Words(error.to_string()))?;
    let (done, to, head) = (styled(GOOD, what), to.display(), verified.head.seq);
    output.line(format_args!("{done} to {to} and verified: {} records, head {head}", verified.records))?;
    let Some(unread) = &verified.unread else { return Ok(Exit::Done) };
    let not_compared = styled(WARN, "tables not compared:");
    output.line(format_args!("{not_compared} {unread}. Verify with the version that wrote them."))?;
    Ok(Exit::Attention)
}
