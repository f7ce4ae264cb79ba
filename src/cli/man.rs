//! `rekeyd man`: the man pages, made from the definitions of the commands. For packages.

use std::path::PathBuf;

use super::{Answer, Exit, Stop};

#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  rekeyd man /usr/share/man/man1")]
pub(super) struct Args {
    /// The directory; it must exist.
    directory: PathBuf,
}

pub(super) fn man(args: &Args, command: clap::Command) -> Answer {
    let directory = args.directory.display();
    clap_mangen::generate_to(command, &args.directory)
        .map_err(|error| Stop::Words(format!("cannot write man pages into {directory}: {error}")))?;
    Ok(Exit::Done)
}
