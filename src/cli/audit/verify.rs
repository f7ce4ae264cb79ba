//! `rekeyd audit verify`: whether the ledger is whole, and agrees with all that is known of it from elsewhere.

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde_json::json;

use super::super::output::{BAD, GOOD, Output, WARN, moment, styled};
use super::super::when::When;
use super::super::{Answer, Exit, Stop};
use super::kept;
use crate::app::SystemClock;
use crate::config::Settings;
use crate::domain::hex;
use crate::store::{Demands, Reader, SignedBy, Verified, VerifierKey, VerifyError};

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rekeyd audit verify --against head-of-january.txt
  ssh vault cat checkpoints | rekeyd audit verify --against -
  rekeyd audit verify --keys checkpoint-keys-we-kept.txt
  rekeyd audit verify --since 90d

Exit status: 0 the ledger is whole; 1 it is broken, or could not be read; 3 the tables were not compared, because there are
records that this version cannot read, or the checkpoints that must have been signed are gone.")]
pub(in super::super) struct Args {
    /// Hold the ledger against heads or checkpoints that were kept elsewhere; - reads standard input.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// The checkpoint file, if it is not the configured one.
    #[arg(long, value_name = "FILE")]
    checkpoints: Option<PathBuf>,
    /// Trust this key alone, as `audit head` printed it; may be repeated. Without one, any key that the ledger names is
    /// believed, and whoever wrote a ledger anew named a key of his own in it.
    #[arg(long, value_name = "KEY")]
    key: Vec<VerifierKey>,
    /// Trust the keys in this file alone, one a line.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Only records from this time on: `2026-05-01`, `2026-05-01T06:00`, `2026-05-01T06:00Z`, or `90d` (ago). The tables are not compared.
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn verify(args: &Args, settings: &Settings, output: &mut Output) -> Answer {
    let reader = Reader::open(&settings.state_dir)?;
    let since = args.since.map(|since| since.ago(SystemClock::now()).start(&settings.rules.timezone));
    let file = args.checkpoints.as_ref().unwrap_or(&settings.ledger.checkpoint_file);
    let there = file.try_exists().map_err(|error| kept::unreadable(file, &error))?;
    let missing = (!there).then(|| format!("there is no checkpoint file {}", file.display()));
    if let (Some(why), true) = (&missing, args.checkpoints.is_some()) {
        return Err(Stop::Words(why.clone()));
    }
    let mut trusted = args.key.clone();
    if let Some(file) = &args.keys {
        trusted.extend(kept::keys_of(file)?);
    }
    let checkpoint_file = there.then(|| file.clone());
    let mut demands = Demands { checkpoint_file, trusted, since, ..Demands::default() };
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
    tell(verified, missing.as_deref(), &demands.trusted, args.json, output)
}

/// Verifies with the configured checkpoint file.
pub(in super::super) fn verify_all(settings: &Settings, output: &mut Output) -> Answer {
    let args = Args { against: None, checkpoints: None, key: Vec::new(), keys: None, since: None, json: false };
    verify(&args, settings, output)
}

/// Says what came of it; `missing` is why there is no checkpoint file.
fn tell(
    verified: Result<Verified, VerifyError>,
    missing: Option<&str>,
    trusted: &[VerifierKey],
    json: bool,
    output: &mut Output,
) -> Answer {
    match verified {
        Ok(verified) => {
            let hash = hex(&verified.head.hash);
            // The daemon signs a checkpoint as soon as a record names its key.
            let gone = verified.named.filter(|_| verified.anchored.is_none());
            // Whoever hid what he did to the tables behind a record that nobody can read must not pass.
            let exit = if verified.unread.is_some() || gone.is_some() { Exit::Attention } else { Exit::Done };
            if json {
                output.json(&json!({
                    "verified": true,
                    "records": verified.records,
                    "head": { "seq": verified.head.seq, "hash": hash },
                    "first_at": verified.first_at,
                    "last_at": verified.last_at,
                    "unread": verified.unread.as_ref().map_or(0, |unread| unread.records),
                    "first_unread": verified.unread.as_ref().map(|unread| unread.first),
                    "tables": verified.tables,
                    "checkpoints": verified.checkpoints,
                    "keys": verified.signed_by.iter().map(|signed| key_json(signed, trusted)).collect::<Vec<_>>(),
                    "key_named": verified.named,
                    "anchored": verified.anchored,
                    "cut_off": verified.cut_off,
                }))?;
                return Ok(exit);
            }
            let (first, last) = (moment(verified.first_at), moment(verified.last_at));
            let tables = if verified.tables { ", and every table follows from the records" } else { "" };
            output.line(format_args!(
                "{} {} records from {first} to {last}: every hash follows{tables}.",
                styled(GOOD, "verified"),
                verified.records,
            ))?;
            output.line(format_args!("head {} {hash}", verified.head.seq))?;
            match verified.anchored {
                Some(seq) => output.line(format_args!(
                    "{} signed checkpoints agree. Up to record {seq} the ledger is anchored outside of itself.",
                    verified.checkpoints
                ))?,
                None => {
                    let why = missing.unwrap_or("there is no checkpoint");
                    let gone = gone.map_or_else(String::new, |seq| {
                        format!(", though checkpoints were signed from record {seq} on: somebody took them away")
                    });
                    output.line(format_args!(
                        "{} {why}{gone}. Only a head or a checkpoint that was kept elsewhere shows a cut tail or a chain that was written anew.",
                        styled(WARN, "not anchored:"),
                    ))?;
                }
            }
            for signed in &verified.signed_by {
                let SignedBy { key, named, checkpoints, first, newest } = signed;
                let trust = match (trusted.is_empty(), trusted.contains(key)) {
                    (true, _) => String::new(),
                    (false, true) => format!(", {}", styled(GOOD, "trusted")),
                    (false, false) => format!(", {}", styled(WARN, "not trusted")),
                };
                output.line(format_args!(
                    "  {checkpoints}, of records {first} to {newest}, by {key}, named by record {named}{trust}"
                ))?;
            }
            if verified.cut_off {
                output.line("The newest checkpoint was not written to its end, and is passed over.")?;
            }
            if let Some(unread) = &verified.unread {
                let not_compared = styled(WARN, "tables not compared:");
                output.line(format_args!("{not_compared} {unread}. Verify with the version that wrote them."))?;
            }
            Ok(exit)
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
            | VerifyError::Random(_)
            | VerifyError::Checkpoints { .. }
            | VerifyError::BrokenOff
            | VerifyError::Later { .. }),
        ) => Err(Stop::Words(error.to_string())),
    }
}

fn key_json(signed: &SignedBy, trusted: &[VerifierKey]) -> serde_json::Value {
    json!({
        "key": signed.key.to_string(),
        "named": signed.named,
        "checkpoints": signed.checkpoints,
        "first": signed.first,
        "newest": signed.newest,
        "trusted": trusted.contains(&signed.key),
    })
}
