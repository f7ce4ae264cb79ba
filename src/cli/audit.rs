//! `rekeyd audit`: verify the ledger, show its records and its head, or export evidence.

mod export;
mod head;
mod kept;
mod records;
mod verify;

pub(super) use verify::verify_all;

use super::Answer;
use super::output::Output;
use crate::config::Settings;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Walk the whole chain, and compare checkpoints and tables with it. Works beside a running daemon.
    Verify(verify::Args),
    /// Show the newest record's number and hash, and the key that signs checkpoints: keep both elsewhere, and a cut tail
    /// will show.
    Head(head::Args),
    /// Write the evidence of a period, complete in itself.
    Export(export::Args),
    /// Show the records themselves, the newest first.
    Records(records::Args),
}

pub(super) fn audit(command: &Command, settings: &Settings, output: &mut Output) -> Answer {
    match command {
        Command::Verify(args) => verify::verify(args, settings, output),
        Command::Head(args) => head::head(args, settings, output),
        Command::Export(args) => export::export(args, settings, output),
        Command::Records(args) => records::records(args, settings, output),
    }
}
