//! `rekeyd history`: every attempt to rotate a key, the newest first, and the life of one key.

use std::io;
use std::ops::ControlFlow;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde_json::json;

use super::filter_args::FilterArgs;
use super::output::{BAD, BOLD, GOOD, Output, WARN, moment, styled};
use super::{Answer, Exit, Stop};
use crate::config::Settings;
use crate::domain::{KeyId, KeyLife, KeyOrigin, RotationFilter, RotationRow, State};
use crate::evidence::{ROTATION_COLUMNS, csv_heading, csv_line};
use crate::store::Reader;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  rekeyd history --since 90d\n  rekeyd history 'emea/billing/ledger/*' --since 2026-01-01 --until 2026-07-01\n  rekeyd history --state failed --state unconfirmed --project billing\n  rekeyd history --key 6f9619ff-8b86-d011-b42d-00c04fc964ff\n  rekeyd history --csv > rotations.csv\n  rekeyd history --json | jq -r 'select(.state == \"done\") | [.done_at, .target, .key_after] | @tsv'"
)]
pub(super) struct Args {
    #[command(flatten)]
    asked: FilterArgs,
    /// Only attempts that began with this key or led to it, and before them the key's own life; with --json one object in all.
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    /// Only attempts in this state; may be repeated.
    #[arg(long, value_name = "STATE", value_parser = a_state())]
    state: Vec<State>,
}

fn a_state() -> impl TypedValueParser<Value = State> {
    let word = PossibleValuesParser::new(State::ALL.iter().map(|state| state.as_str()));
    word.map(|word| *State::ALL.iter().find(|state| state.as_str() == word).expect("only these words pass"))
}

pub(super) fn history(args: &Args, settings: &Settings, output: &mut Output) -> Answer {
    let asked = &args.asked;
    let filter = RotationFilter {
        selection: asked.selection(&settings.rules.timezone)?,
        key: args.key.as_deref().map(KeyId::new),
        states: args.state.clone(),
    };
    let limit = asked.limit();
    let reader = Reader::open(&settings.state_dir)?;
    asked.fits_something(&reader)?;
    match (&filter.key, asked.json, asked.csv) {
        (Some(key), true, _) => {
            let life: Vec<_> = reader.life_of(key)?.iter().map(KeyLife::to_json).collect();
            let rotations: Vec<_> = reader.rotations(&filter, limit)?.iter().map(RotationRow::to_json).collect();
            output.json(&json!({ "key": key, "life": life, "rotations": rotations }))?;
        }
        (_, _, true) => {
            output.raw(csv_heading(ROTATION_COLUMNS).as_bytes())?;
            show_each(&reader, &filter, limit, |row| {
                output.raw(csv_line(ROTATION_COLUMNS, &row.to_json()).as_bytes())
            })?;
        }
        (None, true, false) => show_each(&reader, &filter, limit, |row| output.json(&row.to_json()))?,
        (key, false, false) => {
            if let Some(key) = key {
                show_life(&reader.life_of(key)?, output)?;
            }
            show_table(&reader, &filter, asked, output)?;
        }
    }
    Ok(Exit::Done)
}

fn show_each(
    reader: &Reader,
    filter: &RotationFilter,
    limit: Option<u32>,
    mut show: impl FnMut(RotationRow) -> io::Result<()>,
) -> Result<(), Stop> {
    let walked = reader.each_rotation(filter, limit, |_, row| match show(row) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    })?;
    match walked {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error.into()),
    }
}

fn show_table(reader: &Reader, filter: &RotationFilter, asked: &FilterArgs, output: &mut Output) -> Result<(), Stop> {
    let (mut rows, mut last) = (Vec::new(), None);
    let _: ControlFlow<()> = reader.each_rotation(filter, asked.limit(), |cursor, row| {
        rows.push(as_row(&row));
        last = Some(cursor);
        ControlFlow::Continue(())
    })?;
    if rows.is_empty() {
        output.line("no attempt to rotate a key is on record that fits")?;
    }
    let heading = ["BEGUN", "TARGET", "SLOT", "STATE", "KEY BEFORE", "KEY AFTER", "ENDED", "WHY"];
    output.table(heading, &rows)?;
    Ok(asked.tell_more(rows.len(), last, output)?)
}

fn show_life(life: &[KeyLife], output: &mut Output) -> Result<(), Stop> {
    if life.is_empty() {
        output.line("no target has been seen with this key")?;
        return Ok(());
    }
    let rows: Vec<[String; 6]> = life
        .iter()
        .map(|life| {
            let came = match (life.used.came, &life.rotation) {
                (KeyOrigin::FirstSeen, _) => "was there before us".to_owned(),
                (KeyOrigin::Foreign, _) => "somebody else brought it".to_owned(),
                (KeyOrigin::Regression, _) => "came back: an earlier key".to_owned(),
                (KeyOrigin::Rotated | KeyOrigin::FoundChanged | KeyOrigin::Recovered, rotation) => {
                    format!("rotation {}", rotation.as_deref().unwrap_or("-"))
                }
            };
            let next = match (&life.replaced_by, life.used.replaced_at) {
                (Some(next), _) => format!("by {next}"),
                (None, Some(_)) => String::new(),
                (None, None) => "in use".to_owned(),
            };
            let used = &life.used;
            [
                life.name.to_string(),
                came,
                moment(Some(used.first_seen)),
                moment(Some(used.last_seen)),
                moment(used.replaced_at),
                next,
            ]
        })
        .collect();
    output.table(["TARGET", "HOW IT CAME", "FIRST SEEN", "LAST SEEN", "REPLACED", "BY"], &rows)?;
    output.line(format_args!("\n{}", styled(BOLD, "Attempts that began with it or led to it")))?;
    Ok(())
}

fn as_row(row: &RotationRow) -> [String; 8] {
    let key = |key: &Option<KeyId>| key.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
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
