//! `rekeyd audit head`: what to keep elsewhere.

use serde_json::json;

use super::super::output::{DIM, Output, styled};
use super::super::{Answer, Exit};
use super::kept::{checkpoints_of, unreadable};
use crate::config::Settings;
use crate::domain::hex;
use crate::store::Reader;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
The first line, or a checkpoint from the checkpoint file, is what `rekeyd audit verify --against` takes.\n\nExample:\n  rekeyd audit head | head -n 1 > /mnt/elsewhere/head")]
pub(in super::super) struct Args {
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn head(args: &Args, settings: &Settings, output: &mut Output) -> Answer {
    let reader = Reader::open(&settings.state_dir)?;
    let (head, keys) = (reader.head()?, reader.checkpoint_keys()?);
    let (key, hash) = (keys.last(), hex(&head.hash));
    let file = &settings.ledger.checkpoint_file;
    let newest = checkpoints_of(file)?.and_then(Iterator::last).transpose().map_err(|why| unreadable(file, &why))?;
    if args.json {
        output.json(&json!({
            "seq": head.seq,
            "hash": hash,
            "checkpoint": newest.as_ref().map(|newest| newest.to_note()),
            "checkpoint_seq": newest.as_ref().map(|newest| newest.head.seq),
            "checkpoint_file": file,
            "key": key.map(ToString::to_string),
        }))?;
        return Ok(Exit::Done);
    }
    output.line(format_args!("{} {hash}", head.seq))?;
    if let Some(key) = key {
        output.line(format_args!("{} {key}", styled(DIM, "key")))?;
    }
    match newest {
        Some(newest) => {
            let title = format!("newest checkpoint, in {}:", file.display());
            output.line(format_args!("{}\n{}", styled(DIM, title), newest.to_note().trim_end()))?;
        }
        None => output.line(styled(DIM, format!("no checkpoint is in {}", file.display())))?,
    }
    Ok(Exit::Done)
}
