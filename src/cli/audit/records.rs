//! `rekeyd audit records`: the ledger itself, the newest record first.

use std::io;
use std::ops::ControlFlow;

use clap::builder::PossibleValuesParser;

use super::super::filter_args::FilterArgs;
use super::super::output::{Output, moment};
use super::super::{Answer, Exit};
use crate::config::Settings;
use crate::domain::{Event, LedgerFilter, LedgerRow};
use crate::evidence::{RECORD_COLUMNS, csv_heading, csv_line};
use crate::store::Reader;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rekeyd audit records --kind daemon_started --kind daemon_stopped --since 90d
  rekeyd audit records 'emea/billing/*' --json
  rekeyd audit records --kind target_rearmed")]
pub(in super::super) struct Args {
    #[command(flatten)]
    asked: FilterArgs,
    /// Only records of this kind; may be repeated.
    #[arg(long, value_name = "KIND", value_parser = PossibleValuesParser::new(Event::KINDS))]
    kind: Vec<String>,
}

pub(super) fn records(args: &Args, settings: &Settings, output: &mut Output) -> Answer {
    let asked = &args.asked;
    let filter = LedgerFilter { selection: asked.selection(&settings.rules.timezone)?, kinds: args.kind.clone() };
    let reader = Reader::open(&settings.state_dir)?;
    asked.fits_something(&reader)?;
    let (mut rows, mut last) = (Vec::new(), None);
    if asked.csv {
        output.raw(csv_heading(RECORD_COLUMNS).as_bytes())?;
    }
    let walked: ControlFlow<io::Error> = reader.each_record(&filter, asked.limit(), |cursor, row| {
        let shown = match (asked.json, asked.csv) {
            (true, _) => output.json(&row.to_json()),
            (_, true) => output.raw(csv_line(RECORD_COLUMNS, &row.to_json()).as_bytes()),
            (false, false) => {
                rows.push(as_row(row));
                last = Some(cursor);
                Ok(())
            }
        };
        shown.map_or_else(ControlFlow::Break, ControlFlow::Continue)
    })?;
    if let ControlFlow::Break(error) = walked {
        return Err(error.into());
    }
    output.table(["SEQ", "AT", "KIND", "BY", "TARGET", "ROTATION", "DETAILS"], &rows)?;
    asked.tell_more(rows.len(), last, output)?;
    Ok(Exit::Done)
}

fn as_row(row: LedgerRow) -> [String; 7] {
    let dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    [
        row.seq.to_string(),
        moment(Some(row.at)),
        row.kind,
        row.actor,
        row.name.map_or_else(|| "-".to_owned(), |name| name.to_string()),
        dash(row.rotation),
        row.payload,
    ]
}
