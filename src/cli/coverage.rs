//! `rekeyd coverage`: whether every member of every cluster was rotated in a period, and which were not.

use std::ops::ControlFlow;

use serde_json::json;

use super::output::{BAD, DIM, GOOD, Output, WARN, minute, styled};
use super::{Answer, Exit, Stop};
use crate::app::SystemClock;
use crate::config::Settings;
use crate::domain::{Fleet, Glob, Period, RotationFilter, Span, State};
use crate::policy::{Coverage, Member, coverage};
use crate::store::Reader;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  rekeyd coverage\n  rekeyd coverage 'emea/billing/*' --period 90d --periods 4\n  rekeyd coverage --json | jq -r 'select(.covered != \"all\") | .cluster'\n\nA rotation counts when a GET has shown the new key. A sharded cluster whose config servers are not listed is never covered by all.\n\nExit status: 0 every member was rotated that the configuration does not exclude, 3 some were not, 1 the record cannot be read or nothing matches."
)]
pub(super) struct Args {
    /// Only clusters whose name, `manager/project/cluster`, or one of whose targets' names matches; `*` stands for anything.
    #[arg(default_value = "*")]
    target: String,
    /// How long a period is.
    #[arg(long, value_name = "LENGTH", default_value = "90d")]
    period: Period,
    /// How many periods to look at: the one that ends now, and those before it.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1000))]
    periods: u16,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn show(args: &Args, settings: &Settings, output: &mut Output) -> Answer {
    let now = SystemClock::now();
    let ends = std::iter::successors(Some(now), |end| Some(args.period.before(*end)));
    let periods: Vec<Span> =
        ends.take(usize::from(args.periods)).map(|end| Span { start: args.period.before(end), end }).collect();
    let reader = Reader::open(&settings.state_dir)?;
    let fleet = reader.fleet()?;
    let mut rotated = Vec::new();
    // A rotation may be done long after it began: all are asked.
    let _: ControlFlow<()> = reader.each_rotation(&RotationFilter::default(), None, |_, row| {
        rotated.extend(row.ended_at.filter(|_| row.state == State::Done).map(|at| (row.target, at)));
        ControlFlow::Continue(())
    })?;
    let glob = Glob::new(&args.target);
    let wanted = |found: &Coverage| {
        glob.matches(&found.cluster) || found.members.iter().any(|member| glob.matches(member.name.as_str()))
    };
    let found: Vec<_> = coverage(&fleet, &periods, &rotated).into_iter().filter(wanted).collect();
    if found.is_empty() && args.target != "*" {
        return Err(Stop::Words(format!("no cluster's name matches {:?}", args.target)));
    }
    if args.json {
        found.iter().try_for_each(|cluster| output.json(&as_json(cluster)))?;
    } else {
        table(&found, &fleet, output)?;
    }
    // What the configuration excludes was left out on purpose.
    Ok(if found.iter().all(Coverage::is_as_configured) { Exit::Done } else { Exit::Attention })
}

fn table(found: &[Coverage], fleet: &Fleet, output: &mut Output) -> std::io::Result<()> {
    let rows: Vec<_> = found
        .iter()
        .map(|cluster| {
            let style = match cluster.word() {
                "all" => GOOD,
                _ if cluster.is_as_configured() => DIM,
                "none" => BAD,
                _ => WARN,
            };
            let members = cluster.members.len();
            [
                cluster.cluster.clone(),
                minute(Some(cluster.period.start)),
                minute(Some(cluster.period.end)),
                styled(style, cluster.word()),
                format!("{} of {members}", members - cluster.missing().count()),
                missing(cluster),
            ]
        })
        .collect();
    output.table(["CLUSTER", "FROM", "TO", "COVERED", "ROTATED", "MISSING"], &rows)?;
    if fleet.targets.is_empty() {
        output.line("no target is known yet")?;
    }
    Ok(())
}

/// The members that were not rotated, by their replica sets, and why, where that is known.
fn missing(cluster: &Coverage) -> String {
    let words = |member: &Member| {
        let name = member.name.as_str().rsplit('/').next().unwrap_or_default();
        member.unmanaged.as_ref().map_or_else(|| name.to_owned(), |why| format!("{name} ({why})"))
    };
    let mut missing: Vec<_> = cluster.missing().map(words).collect();
    if cluster.lacks_config_servers {
        missing.push("the config servers, which its manager does not list".to_owned());
    }
    missing.join(", ")
}

fn as_json(cluster: &Coverage) -> serde_json::Value {
    let members = cluster.members.iter().map(|member| {
        json!({
            "target": member.name,
            "target_id": member.target,
            "rotated_at": member.rotated_at,
            "unmanaged": member.unmanaged,
            "excluded": member.excluded,
        })
    });
    json!({
        "cluster": cluster.cluster,
        "from": cluster.period.start,
        "to": cluster.period.end,
        "covered": cluster.word(),
        "members": members.collect::<Vec<_>>(),
        "missing": cluster.missing().map(|member| &member.name).collect::<Vec<_>>(),
        "lacks_config_servers": cluster.lacks_config_servers,
    })
}
