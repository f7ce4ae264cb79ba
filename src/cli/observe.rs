//! `rekeyd observe`: has keys looked at now, and shows what the looks found.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::order::{Daemon, DaemonArgs, Why, give, matching, with_daemon};
use super::output::{BAD, GOOD, Output, WARN, moment, styled};
use super::{Answer, Exit};
use crate::app::{self, SystemClock};
use crate::control::{ObserveOrder, Readiness, TargetState};
use crate::domain::TargetId;

/// How often to look how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Longer than a request may take, by default, and some waiting for room.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
#[command(
    after_help = "A look is one GET. It finds changes that others made without waiting for `observe_every`. A target that is being \
rotated is looked at by its rotation.\n\n\
Example:\n  rekeyd observe 'emea/billing/*' --reason 'INC-7: who changed it'\n\n\
Exit status: 0 every key was read, 1 one could not be."
)]
pub(super) struct Args {
    /// Which targets, by name; `*` stands for anything.
    target: String,
    #[command(flatten)]
    why: Why,
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
}

pub(super) fn observe(args: &Args, daemon: &Daemon, output: &mut Output) -> Answer {
    with_daemon(&daemon.socket, async |client| {
        let began = SystemClock::now();
        let targets = matching(&client, &args.target).await?;
        let targets = targets.into_iter().filter(|state| state.standing != Readiness::NotManaged);
        let targets: Vec<_> = targets.map(|state| state.id).collect();
        let order = ObserveOrder { scope: args.target.clone(), targets };
        let asked = give(&client, &args.why.reason, order).await?;
        let mut open: BTreeMap<TargetId, TargetState> =
            asked.into_iter().map(|state| (state.id.clone(), state)).collect();
        let mut rows = Vec::new();
        let mut failed = false;
        while !open.is_empty() {
            let late = SystemClock::now().duration_since(began).unsigned_abs() > PATIENCE;
            for state in client.targets(&args.target).await? {
                let Some(before) = open.get(&state.id) else { continue };
                if let Some(row) = outcome(before, &state, began, late) {
                    failed |= state.unread.is_some() || !seen(&state, began);
                    rows.push(row);
                    open.remove(&state.id);
                }
            }
            if late {
                break;
            }
            app::pause(LOOK_EVERY).await;
        }
        rows.sort();
        output.table(["TARGET", "KEY", "SEEN", "LOOK"], &rows)?;
        Ok(if failed || !open.is_empty() { Exit::Failed } else { Exit::Done })
    })
}

fn seen(state: &TargetState, began: Timestamp) -> bool {
    state.key_seen_at.is_some_and(|at| at >= began)
}

/// What came of a look; none as long as there is nothing to tell.
fn outcome(before: &TargetState, now: &TargetState, began: Timestamp, late: bool) -> Option<[String; 4]> {
    let word = if now.key != before.key {
        styled(WARN, format_args!("changed from {}", before.key.as_ref().map_or("none", |key| key.as_str())))
    } else if seen(now, began) {
        styled(GOOD, "unchanged")
    } else if let (Some(why), true) = (&now.unread, now.unread != before.unread || late) {
        styled(BAD, why)
    } else if late {
        styled(BAD, &now.words)
    } else {
        return None;
    };
    let key = now.key.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    Some([now.target.to_string(), key, moment(now.key_seen_at), word])
}
