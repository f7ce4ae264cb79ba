//! `rekeyd audit records`: the ledger itself, the newest record first.

use std::io;
use std::ops::ControlFlow;

use super::super::output::{Output, moment};
use super::super::when::When;
use super::super::{Answer, Exit};
use crate::app::SystemClock;
use crate::config::Settings;
use crate::domain::{Cursor, LedgerFilter, LedgerRow};
use crate::evidence::{RECORD_COLUMNS, csv_heading, csv_line};
use crate::store::Reader;

/// So many stand in a table if nothing is said.
const ROWS: u32 = 100;

#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  rekeyd audit records --kind daemon_started --kind daemon_stopped --since 90d
  rekeyd audit records 'emea/billing/*' --json
  rekeyd audit records --kind target_rearmed")]
pub(in super::super) struct Args {
    /// Only records about targets whose name matches; `*` stands for anything.
    target: Option<String>,
    /// Only records about targets of this project, by its name or id.
    #[arg(long, value_name = "PROJECT")]
    project: Option<String>,
    /// Only records of this kind; may be repeated.
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Only records by this hand: `daemon`, `schedule`, or `uid:1000`.
    #[arg(long, value_name = "ACTOR")]
    actor: Option<String>,
    /// Only records of this time or later: `2026-05-01`, `2026-05-01T06:00:00Z`, or `90d` (ago).
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Only records from before this time; a day stands for its whole length.
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// At most so many, the newest; without it 100 in a table and all in JSON and CSV.
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Only what is behind an earlier answer, by the cursor at its end.
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<Cursor>,
    /// One JSON object a line, with all that its hash was made of.
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Comma-separated values with a heading.
    #[arg(long)]
    csv: bool,
}

pub(super) fn records(args: &Args, settings: &Settings, output: &mut Output) -> Answer {
    let (now, zone) = (SystemClock::now(), &settings.timezone);
    let filter = LedgerFilter {
        target: args.target.clone(),
        project: args.project.clone(),
        kinds: args.kind.clone(),
        actor: args.actor.clone(),
        since: args.since.map(|since| since.start(now, zone)),
        until: args.until.map(|until| until.end(now, zone)),
        behind: args.cursor,
        limit: args.limit.or((!args.json && !args.csv).then_some(ROWS)),
    };
    let reader = Reader::open(&settings.state_dir)?;
    let (mut rows, mut last) = (Vec::new(), None);
    if args.csv {
        output.raw(csv_heading(RECORD_COLUMNS).as_bytes())?;
    }
    let walked: ControlFlow<io::Error> = reader.each_record(&filter, |cursor, row| {
        let shown = match (args.json, args.csv) {
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
    if let (Some(limit), Some(last)) = (filter.limit, last)
        && rows.len() as u64 == u64::from(limit)
    {
        output.line(format_args!("\nThe newest {limit}; --limit or --since for more, --cursor {last} to go on."))?;
    }
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
