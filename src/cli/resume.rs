//! `rekeyd resume`: lets quarantined targets be tried again, on the record.

use std::os::unix::fs::MetadataExt;

use wildmatch::WildMatch;

use super::output::Output;
use super::{Answer, Exit, Stop, runtime};
use crate::app;
use crate::config::Settings;
use crate::domain::{Actor, Event};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  systemctl stop rekeyd\n  rekeyd resume 'emea/billing/*' --reason 'CHG-1234: role granted'\n  systemctl start rekeyd"
)]
pub(super) struct Args {
    /// Which targets, by name; `*` stands for anything.
    target: String,
    /// Why, for the record.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: String,
}

pub(super) fn resume(args: &Args, settings: &Settings, output: &mut Output) -> Answer {
    let uid = std::fs::metadata("/proc/self").map(|process| process.uid());
    let uid = uid.map_err(|error| Stop::Words(format!("cannot tell who you are, for the record: {error}")))?;
    let glob = WildMatch::new(&args.target);
    let resumed = runtime()?.block_on(app::record_by_hand(settings, Actor::Operator(uid), |fleet| {
        let quarantined = fleet.targets.values().filter(|record| record.quarantine.is_some());
        quarantined
            .filter(|record| glob.matches(record.target.name().as_str()))
            .map(|record| Event::TargetRearmed { target: record.target.id(), reason: args.reason.clone() })
            .collect()
    }));
    let (fleet, events) = resumed.map_err(|error| Stop::Words(error.to_string()))?;
    let names =
        events.iter().filter_map(|event| fleet.targets.get(&event.target()?)).map(|record| record.target.name());
    for name in names {
        output.line(format_args!("{name} may be tried again"))?;
    }
    if events.is_empty() {
        return Err(Stop::Words(format!(
            "no quarantined target matches {:?}; `rekeyd status` lists them",
            args.target
        )));
    }
    Ok(Exit::Done)
}
