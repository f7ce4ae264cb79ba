//! `rekeyd audit`: verify the ledger, or show its head.

use serde_json::json;

use super::output::{BAD, GOOD, Output, moment, styled};
use super::{Answer, Exit, Stop};
use crate::config::Settings;
use crate::store::{Reader, VerifyError};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Walk the whole chain and compare the tables with it. Works beside a running daemon.
    Verify {
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Show the newest record's number and hash: note them elsewhere, and a cut tail will show.
    Head {
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn audit(command: &Command, settings: &Settings, output: &mut Output) -> Answer {
    let reader = Reader::open(&settings.state_dir)?;
    match command {
        Command::Verify { json } => verify(&reader, *json, output),
        Command::Head { json } => {
            let head = reader.head()?;
            let hash = hex(&head.hash);
            if *json {
                output.json(&json!({ "seq": head.seq, "hash": hash }))?;
            } else {
                output.line(format_args!("{} {hash}", head.seq))?;
            }
            Ok(Exit::Done)
        }
    }
}

pub(super) fn verify(reader: &Reader, json: bool, output: &mut Output) -> Answer {
    match reader.verify(|_, _| {}) {
        Ok(verified) => {
            let hash = hex(&verified.head.hash);
            if json {
                output.json(&json!({
                    "verified": true,
                    "records": verified.records,
                    "head": { "seq": verified.head.seq, "hash": hash },
                    "first_at": verified.first_at,
                    "last_at": verified.last_at,
                    "unknown_kinds": verified.unknown,
                }))?;
            } else {
                let (first, last) = (moment(verified.first_at), moment(verified.last_at));
                output.line(format_args!(
                    "{} {} records from {first} to {last}: every hash follows, and every table follows from the records.",
                    styled(GOOD, "verified"),
                    verified.records,
                ))?;
                output.line(format_args!("head {} {hash}", verified.head.seq))?;
                if verified.unknown > 0 {
                    output
                        .line(format_args!("{} records are of kinds that a later version wrote.", verified.unknown))?;
                }
            }
            Ok(Exit::Done)
        }
        Err(VerifyError::Broken(broken)) => {
            if json {
                output.json(&json!({ "verified": false, "record": broken.seq, "why": broken.why }))?;
            } else {
                output.line(format_args!("{} record {}: {}", styled(BAD, "broken"), broken.seq, broken.why))?;
            }
            Ok(Exit::Failed)
        }
        Err(error @ (VerifyError::Unreadable(_) | VerifyError::Scratch(_))) => Err(Stop::Words(error.to_string())),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
