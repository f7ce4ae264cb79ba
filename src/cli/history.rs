//! `rekeyd history`: every attempt to rotate a key, the newest first.

use std::ops::ControlFlow;

use serde_json::json;

use super::output::{BAD, GOOD, Output, WARN, moment, styled};
use super::when::When;
use super::{Answer, Exit};
use crate::app::SystemClock;
use crate::config::Settings;
use crate::domain::State;
use crate::store::{Reader, RotationFilter, RotationRow};

/// So many stand in a table if nothing is said.
const ROWS: u32 = 100;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  rekeyd history --since 90d\n  rekeyd history 'emea/billing/ledger/*' --since 2026-01-01 --until 2026-07-01\n  rekeyd history --json | jq -r 'select(.state == \"done\") | [.done_at, .target, .key_after] | @tsv'"
)]
pub(super) struct Args {
    /// Only targets whose name matches; `*` stands for anything.
    target: Option<String>,
    /// Only attempts begun at or after this time: `2026-05-01`, `2026-05-01T06:00:00Z`, or `90d` (ago).
    #[arg(long, value_name = "TIME")]
    since: Option<When>,
    /// Only attempts begun before this time; a day stands for its whole length.
    #[arg(long, value_name = "TIME")]
    until: Option<When>,
    /// At most so many, the newest; without it 100 in a table and all in JSON.
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn history(args: &Args, settings: &Settings, output: &mut Output) -> Answer {
    let (now, zone) = (SystemClock::now(), &settings.timezone);
    let filter = RotationFilter {
        target: args.target.clone(),
        since: args.since.map(|since| since.start(now, zone)),
        until: args.until.map(|until| until.end(now, zone)),
        limit: args.limit.or((!args.json).then_some(ROWS)),
    };
    let reader = Reader::open(&settings.state_dir)?;
    if args.json {
        let walked = reader.each_rotation(&filter, |row| match output.json(&as_json(&row)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        })?;
        if let ControlFlow::Break(error) = walked {
            return Err(error.into());
        }
    } else {
        let rows = reader.rotations(&filter)?;
        let count = rows.len();
        if count == 0 {
            output.line("no attempt to rotate a key is on record that fits")?;
        }
        let heading = ["BEGUN", "TARGET", "SLOT", "STATE", "KEY BEFORE", "KEY AFTER", "ENDED", "WHY"];
        output.table(heading, &rows.iter().map(as_row).collect::<Vec<_>>())?;
        if filter.limit.is_some_and(|limit| count as u64 == u64::from(limit)) {
            output.line(format_args!("\nThe newest {count}; --limit or --since for more."))?;
        }
    }
    Ok(Exit::Done)
}

fn as_json(row: &RotationRow) -> serde_json::Value {
    json!({
        "target": row.name,
        "manager": row.manager,
        "project_id": row.project_id,
        "cluster_id": row.cluster_id,
        "mechanism": row.mechanism,
        "actor": row.actor,
        "slot": row.id.slot,
        "attempt": row.id.attempt,
        "due_at": row.due_at,
        "key_before": row.key_before,
        "key_after": row.key_after,
        "state": row.state,
        "how": row.how,
        "begun_at": row.began_at,
        "intended_at": row.intended_at,
        "sent_at": row.sent_at,
        "accepted_at": row.accepted_at,
        "done_at": row.ended_at.filter(|_| row.state == State::Done),
        "ended_at": row.ended_at,
        "stage": row.stage,
        "failure": row.failure,
        "why": row.why,
        "retry_at": row.retry_at,
        "ledger_seq": row.seq,
    })
}

fn as_row(row: &RotationRow) -> [String; 8] {
    let key = |key: &Option<crate::domain::KeyId>| key.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let style = match row.state {
        State::Done => GOOD,
        State::Intended | State::Sending | State::Confirming | State::Withdrawn => WARN,
        State::Failed | State::Unconfirmed => BAD,
    };
    let how = row.how.map(|how| format!(" ({})", how.as_str())).unwrap_or_default();
    let why = row.failure.as_ref().map(ToString::to_string).or_else(|| row.why.clone()).unwrap_or_default();
    [
        moment(Some(row.began_at)),
        row.name.to_string(),
        row.id.to_string(),
        format!("{}{how}", styled(style, row.state.as_str())),
        key(&row.key_before),
        key(&row.key_after),
        moment(row.ended_at),
        why,
    ]
}
