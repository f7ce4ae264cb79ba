//! `rekeyd pause` and `rekeyd resume`: holds targets up for a while, on the record, and lets them go again.

use super::order::{Daemon, DaemonArgs, Why, give, holds_nobody, told, with_daemon};
use super::output::{Output, moment};
use super::when::When;
use super::{Answer, Exit, Stop};
use crate::app::SystemClock;
use crate::control::{PauseOrder, Paused, ResumeOrder};

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing is sent to targets that are paused. What has been sent is still settled, keys are still looked at, and what \
falls due waits. A pause ends by itself; one with the same targets is replaced. Without --until and --reason the pauses \
that stand are shown.\n\n\
Exit status: 0 done, 1 it was not given or was refused, 3 it stands and no target's name matches it now.\n\n\
Examples:\n  rekeyd pause --until 4h --reason 'CHG-1234: network maintenance'\n  \
rekeyd pause 'emea/billing/*' --until 2026-12-31 --reason 'year-end closing'\n  rekeyd pause"
)]
pub(super) struct Pause {
    /// Which targets, by name; `*` stands for anything. Targets found later belong to it too.
    #[arg(default_value = "*")]
    target: String,
    /// When it ends by itself: `4h`, `2026-05-01T06:00` in the configured time zone, `2026-05-01T06:00Z`, or `2026-05-01` for the
    /// end of that day.
    #[arg(long, value_name = "TIME", requires = "reason")]
    until: Option<When>,
    /// Why, for the record: a ticket, a sentence.
    #[arg(long, value_name = "TEXT", requires = "until", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: Option<String>,
    /// One JSON object a line, for what stands.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
}

#[derive(Debug, clap::Args)]
#[command(
    after_help = "What fell due meanwhile is rotated now, the oldest first, within the limits of each manager. Quarantined targets are \
let go by `rekeyd rearm`.\n\n\
Examples:\n  rekeyd resume --reason 'CHG-1234 is over'\n  rekeyd resume 'emea/billing/*' --reason 'closed early'"
)]
pub(super) struct Resume {
    /// The pause to end, by its targets as they were given to `rekeyd pause`.
    #[arg(default_value = "*")]
    target: String,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
}

pub(super) fn pause(args: &Pause, daemon: &Daemon, output: &mut Output) -> Answer {
    let now = SystemClock::now();
    let (standing, idle) = with_daemon(&daemon.socket, async |client| {
        Ok(match (&args.until, &args.reason) {
            (Some(until), Some(reason)) => {
                let until = until.ahead(now).end(&daemon.timezone);
                let standing = give(&client, reason, PauseOrder { scope: args.target.clone(), until }).await?;
                (standing, holds_nobody(&client, &args.target).await?)
            }
            (None, _) | (_, None) => (client.pauses().await?, None),
        })
    })?;
    let shown = show(&standing, args.json, output)?;
    Ok(told(idle, shown, output))
}

pub(super) fn resume(args: &Resume, daemon: &Daemon, output: &mut Output) -> Answer {
    let standing = with_daemon(&daemon.socket, async |client| {
        let before = client.pauses().await?;
        if before.iter().all(|pause| pause.scope != args.target) {
            let scopes: Vec<_> = before.iter().map(|pause| format!("{:?}", pause.scope)).collect();
            let stand = if scopes.is_empty() {
                "none stands".to_owned()
            } else {
                format!("these stand: {}", scopes.join(", "))
            };
            return Err(Stop::Words(format!("there is no pause of {:?}; {stand}", args.target)));
        }
        give(&client, &args.why.reason, ResumeOrder { scope: args.target.clone() }).await
    })?;
    output.line(format_args!("the pause of {} is over", args.target))?;
    show(&standing, false, output)
}

fn show(standing: &[Paused], json: bool, output: &mut Output) -> Answer {
    if json {
        standing.iter().try_for_each(|pause| output.json(&serde_json::json!(pause)))?;
        return Ok(Exit::Done);
    }
    if standing.is_empty() {
        output.line("no pause stands")?;
        return Ok(Exit::Done);
    }
    let rows: Vec<_> = standing
        .iter()
        .map(|pause| {
            let (scope, by, reason) = (pause.scope.clone(), pause.by.clone(), pause.reason.clone());
            [scope, pause.targets.to_string(), moment(Some(pause.since)), moment(Some(pause.until)), by, reason]
        })
        .collect();
    output.table(["PAUSED", "TARGETS", "SINCE", "UNTIL", "BY", "REASON"], &rows)?;
    Ok(Exit::Done)
}
