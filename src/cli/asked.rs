//! What `history` and `audit records` are asked in the same words: about which targets, by whom, when, how many, in which form.

use std::io;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::output::Output;
use super::when::When;
use crate::domain::Cursor;

/// So many stand in a table if nothing is said.
const ROWS: u32 = 100;

#[derive(Debug, clap::Args)]
pub(super) struct Asked {
    /// Only about targets whose name matches; `*` stands for anything.
    pub(super) target: Option<String>,
    /// Only about targets of this project, by its name or id.
    #[arg(long, value_name = "PROJECT")]
    pub(super) project: Option<String>,
    /// Only what this hand began or did: `schedule`, `daemon`, or `uid:1000`.
    #[arg(long, value_name = "ACTOR")]
    pub(super) actor: Option<String>,
    /// Only from this time on: `2026-05-01`, `2026-05-01T06:00:00Z`, or `90d` (ago).
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Only from before this time; a day stands for its whole length.
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// At most so many, the newest; without it 100 in a table and all in JSON and CSV.
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Only what is behind an earlier answer, by the cursor at its end.
    #[arg(long, value_name = "CURSOR")]
    pub(super) cursor: Option<Cursor>,
    /// One JSON object a line, with all that is known.
    #[arg(long, conflicts_with = "csv")]
    pub(super) json: bool,
    /// Comma-separated values with a heading.
    #[arg(long)]
    pub(super) csv: bool,
}

impl Asked {
    /// From when to when.
    pub(super) fn times(&self, now: Timestamp, zone: &TimeZone) -> (Option<Timestamp>, Option<Timestamp>) {
        (self.since.map(|since| since.start(now, zone)), self.until.map(|until| until.end(now, zone)))
    }

    /// How many at most.
    pub(super) fn limit(&self) -> Option<u32> {
        self.limit.or((!self.json && !self.csv).then_some(ROWS))
    }

    /// Says how to go on from a table of so many rows, `last` being the place of the last one, if there may be more.
    pub(super) fn tell_more(&self, rows: usize, last: Option<Cursor>, output: &mut Output) -> io::Result<()> {
        match (self.limit(), last) {
            (Some(limit), Some(last)) if rows as u64 == u64::from(limit) => output
                .line(format_args!("\nThe newest {limit}; --limit or --since for more, --cursor {last} to go on.")),
            (Some(_) | None, _) => Ok(()),
        }
    }
}
