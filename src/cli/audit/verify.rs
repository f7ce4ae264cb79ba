//! `rekeyd audit verify`: whether the ledger is whole, and agrees with all that is known of it from elsewhere.

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde_json::json;

use super::super::output::{BAD, GOOD, Output, WARN, moment, styled};
use super::super::when::When;
use super::super::{Answer, Exit, Stop};
use super::hex;
use super::kept::{self, Own};
use crate::app::SystemClock;
use crate::config::Settings;
use crate::store::{Demands, Reader, Verified, VerifyError};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rekeyd audit verify --against head-of-january.txt
  ssh vault cat checkpoints | rekeyd audit verify --against -
  rekeyd audit verify --since 90d")]
pub(in super::super) struct Args {
    /// Hold the ledger against heads or checkpoints that were kept elsewhere; - reads standard input.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// The checkpoint file, if it is not the configured one.
    #[arg(long, value_name = "FILE")]
    checkpoints: Option<PathBuf>,
    /// Only records from this time on: `2026-05-01`, `2026-05-01T06:00:00Z`, or `90d` (ago). The tables are not compared.
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn verify(args: &Args, settings: &Settings, output: &mut Output) -> Answer {
    let reader = Reader::open(&settings.state_dir)?;
    let since = args.since.map(|since| since.start(SystemClock::now(), &settings.timezone));
    let file = args.checkpoints.as_ref().unwrap_or(&settings.ledger.checkpoint_file);
    let own = kept::checkpoints_of(file)?;
    let missing = own.is_none().then(|| format!("there is no checkpoint file {}", file.display()));
    if let (Some(why), true) = (&missing, args.checkpoints.is_some()) {
        return Err(Stop::Words(why.clone()));
    }
    let Own { checkpoints, cut_off } = own.unwrap_or_default();
    let mut demands = Demands { checkpoints, kept: Vec::new(), since };
    if let Some(file) = &args.against {
        kept::against(file, &mut demands)?;
    }
    let bar = output.progress("records");
    let verified = reader.verify_against(&demands, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    tell(verified, missing.as_deref(), cut_off, args.json, output)
}

/// Verifies with the configured checkpoint file.
pub(in super::super) fn verify_all(settings: &Settings, output: &mut Output) -> Answer {
    verify(&Args { against: None, checkpoints: None, since: None, json: false }, settings, output)
}

/// Says what came of it; `missing` says why there were no checkpoints to hold the ledger against, `cut_off` that the newest was
/// passed over.
fn tell(
    verified: Result<Verified, VerifyError>,
    missing: Option<&str>,
    cut_off: bool,
    json: bool,
    output: &mut Output,
) -> Answer {
    match verified {
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
                    "tables": verified.tables,
                    "checkpoints": verified.checkpoints,
                    "anchored": verified.anchored,
                    "cut_off": cut_off,
                }))?;
                return Ok(Exit::Done);
            }
            let (first, last) = (moment(verified.first_at), moment(verified.last_at));
            let tables = if verified.tables { ", and every table follows from the records" } else { "" };
            output.line(format_args!(
                "{} {} records from {first} to {last}: every hash follows{tables}.",
                styled(GOOD, "verified"),
                verified.records,
            ))?;
            output.line(format_args!("head {} {hash}", verified.head.seq))?;
            match (verified.anchored, missing) {
                (Some(seq), _) => output.line(format_args!(
                    "{} signed checkpoints agree. Up to record {seq} the ledger is anchored outside of itself.",
                    verified.checkpoints
                ))?,
                (None, why) => output.line(format_args!(
                    "{} {}. Only a head or a checkpoint that was kept elsewhere shows a cut tail or a chain that was written anew.",
                    styled(WARN, "not anchored:"),
                    why.unwrap_or("there is no checkpoint yet")
                ))?,
            }
            if cut_off {
                output.line("The newest checkpoint was not written to its end, and is passed over.")?;
            }
            if verified.unknown > 0 {
                output.line(format_args!("{} records are of kinds that a later version wrote.", verified.unknown))?;
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
        Err(
            error @ (VerifyError::Unreadable(_)
            | VerifyError::Scratch(_)
            | VerifyError::BrokenOff
            | VerifyError::Later { .. }),
        ) => Err(Stop::Words(error.to_string())),
    }
}
