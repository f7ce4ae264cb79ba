//! `rekeyd freeze` and `rekeyd thaw`: a stretch of time in which nothing is rotated, ordered and on record.

use super::order::{Daemon, DaemonArgs, Why, give, holds_nobody, told, with_daemon};
use super::output::{Output, moment};
use super::when::When;
use super::{Answer, Exit};
use crate::app::SystemClock;
use crate::control::{FreezeOrder, Frozen, ThawOrder};
use crate::domain::Period;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "In a freeze nothing is rotated. What falls due in it is put on record as held, and catches up afterwards, the oldest \
first. It ends by itself. To make one longer, order another that goes on where it ends; to make one shorter, use `rekeyd thaw`. \
Without --name the freezes that stand or are to come are shown, those of the configuration too.\n\n\
A pause (`rekeyd pause`) begins at once and needs no name; a freeze can be ordered in advance, and `rekeyd plan --horizon` \
reckons with it.\n\n\
Exit status: 0 done, 1 it was not given or was refused, 3 it stands and no target's name matches it now.\n\n\
Examples:\n  rekeyd freeze --name year-end --reason 'CHG-1234: the books are closed' --from 2026-12-20 --until 2027-01-03\n  \
rekeyd freeze 'emea/billing/*' --name audit --reason 'CHG-1235' --for 3d\n  rekeyd freeze"
)]
pub(super) struct Freeze {
    /// Whose keys, by name; `*` stands for anything. Targets found later belong to it too.
    #[arg(default_value = "*")]
    target: String,
    /// What people will call it, now and on record, and no other: a to z, 0 to 9, - and _.
    #[arg(long, requires_all = ["reason", "end"])]
    name: Option<String>,
    /// Why, for the record: a ticket, a sentence.
    #[arg(long, value_name = "TEXT", requires = "name", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: Option<String>,
    /// When it begins, if not now: `4h`, `2026-12-20T18:00` in the configured time zone, `2026-12-20T18:00Z`, or `2026-12-20`
    /// for the beginning of that day.
    #[arg(long, value_name = "TIME", requires = "name")]
    from: Option<When>,
    /// When it ends by itself: `4h` from now, a time as above, or `2027-01-03` for the end of that day.
    #[arg(long, value_name = "TIME", requires = "name", group = "end")]
    until: Option<When>,
    /// How long it lasts, from its beginning on.
    #[arg(long = "for", value_name = "LENGTH", requires = "name", group = "end")]
    length: Option<Period>,
    /// One JSON object a line, for what stands.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "What fell due in the freeze is rotated now, the oldest first, in its windows. A freeze that has not begun is taken \
back. One of the configuration is ended there.\n\n\
Example:\n  rekeyd thaw year-end --reason 'CHG-1234: closed early'"
)]
pub(super) struct Thaw {
    /// The freeze to end, by its name.
    name: String,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
}

pub(super) fn freeze(args: &Freeze, daemon: &Daemon, output: &mut Output) -> Answer {
    let (now, zone) = (SystemClock::now(), &daemon.timezone);
    let start = args.from.map(|from| from.ahead(now).start(zone));
    let until = args.until.map(|until| until.ahead(now).end(zone));
    let end = until.or_else(|| Some(args.length?.after(start.unwrap_or(now))));
    let (known, idle) = with_daemon(&daemon.socket, async |client| {
        Ok(match (&args.name, &args.reason, end) {
            (Some(name), Some(reason), Some(end)) => {
                let order = FreezeOrder { name: name.clone(), scope: args.target.clone(), start, end };
                let known = give(&client, reason, order).await?;
                (known, holds_nobody(&client, &args.target).await?)
            }
            (None, _, _) | (_, None, _) | (_, _, None) => (client.freezes().await?, None),
        })
    })?;
    let shown = show(&known, args.json, output)?;
    Ok(told(idle, shown, output))
}

pub(super) fn thaw(args: &Thaw, daemon: &Daemon, output: &mut Output) -> Answer {
    let order = ThawOrder { name: args.name.clone() };
    let left = with_daemon(&daemon.socket, async |client| give(&client, &args.why.reason, order).await)?;
    output.line(format_args!("freeze {} is over", args.name))?;
    show(&left, false, output)
}

fn show(known: &[Frozen], json: bool, output: &mut Output) -> Answer {
    if json {
        known.iter().try_for_each(|frozen| output.json(&serde_json::json!(frozen)))?;
        return Ok(Exit::Done);
    }
    if known.is_empty() {
        output.line("no freeze stands or is to come")?;
        return Ok(Exit::Done);
    }
    let rows: Vec<_> = known
        .iter()
        .map(|frozen| {
            let by = frozen.by.clone().unwrap_or_else(|| "configuration".to_owned());
            let (name, scope, reason) = (frozen.name.clone(), frozen.scope.clone(), frozen.reason.clone());
            let (start, end) = (moment(Some(frozen.start)), moment(Some(frozen.end)));
            [name, scope, frozen.targets.to_string(), start, end, by, reason]
        })
        .collect();
    output.table(["FREEZE", "OF", "TARGETS", "FROM", "UNTIL", "BY", "REASON"], &rows)?;
    Ok(Exit::Done)
}
