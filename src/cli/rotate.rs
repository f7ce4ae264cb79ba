//! `rekeyd rotate`: has keys rotated now, and waits until a GET has shown each new one.

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::order::{Daemon, DaemonArgs, Why, give, matching, with_daemon};
use super::output::{BAD, GOOD, Output, WARN, moment, styled};
use super::{Answer, Exit, Stop};
use crate::app::SystemClock;
use crate::control::{Client, ClientError, Readiness, RotateOrder, TargetState};
use crate::domain::{KeyOrigin, TargetId};
use crate::ports::Clock;

/// The least time between two looks at how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The least and the most, in times of what a look takes: the daemon has to answer for every target, and has other work just
/// then.
const LOOK_SHARES: [u32; 2] = [5, 50];
/// After so long it is said what is being waited for.
const SILENCE: Duration = Duration::from_secs(10);
/// So many looks in a row may find no daemon: it may be starting anew.
const PATIENT_LOOKS: u32 = 1200;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The order is on record before anything is sent, and the planner follows it as it follows the schedule: members of a \
cluster one after another, clusters side by side up to each manager's limit. Ordered twice before it is done, it is one \
rotation. A crash or a restart loses nothing: the order stands until the key has changed. The schedule moves with it: the \
next rotation falls due one interval after the new key.\n\n\
Pauses, freezes and windows hold an ordered rotation up as they hold up others. In an emergency, when keys are compromised, \
--override goes on in spite of them, and that is recorded.\n\n\
Examples:\n  rekeyd rotate emea/billing/ledger/ledger-0 --reason CHG-1234\n  \
rekeyd rotate 'emea/billing/*' --reason CHG-1234 --dry-run\n  \
rekeyd rotate --all --override --yes --reason 'INC-7: key server compromised'\n\n\
Exit status: 0 every new key is confirmed, 1 one is not, 3 some are held up and will follow by themselves."
)]
pub(super) struct Args {
    /// Which targets, by name; `*` stands for anything.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    target: Option<String>,
    /// Every target that there is.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    why: Why,
    /// In spite of pauses, freezes and windows; recorded as such.
    #[arg(long = "override")]
    overrides: bool,
    /// Do not ask, however many there are.
    #[arg(long, short)]
    yes: bool,
    /// Only show what would be rotated.
    #[arg(long)]
    dry_run: bool,
    /// Do not wait for the new keys.
    #[arg(long)]
    no_wait: bool,
    #[command(flatten)]
    pub(super) daemon: DaemonArgs,
}

pub(super) fn rotate(args: &Args, daemon: &Daemon, output: &mut Output) -> Answer {
    let glob = args.target.as_deref().unwrap_or("*");
    with_daemon(&daemon.socket, async |client| {
        let (fit, unfit): (Vec<_>, Vec<_>) =
            matching(&client, glob).await?.into_iter().partition(|state| state.standing.can_rotate());
        if args.dry_run {
            return rehearse(&fit, &unfit, output);
        }
        if fit.is_empty() {
            let why: Vec<_> = unfit.iter().map(|state| format!("\n  {}: {}", state.target, state.words)).collect();
            return Err(Stop::Words(format!("none of these can be rotated now:{}", why.concat())));
        }
        if !args.yes && fit.len() > 1 {
            confirm(fit.len(), output)?;
        }
        let targets = fit.iter().map(|state| state.id.clone()).collect();
        let order = RotateOrder { targets, overrides: args.overrides };
        let ordered = give(&client, &args.why.reason, order).await?;
        for state in &unfit {
            output.line(format_args!("{} {}: {}", styled(WARN, "left out"), state.target, state.words))?;
        }
        if args.no_wait {
            output.line(format_args!("ordered for {} targets; `rekeyd status` shows how far it is", ordered.len()))?;
            return Ok(Exit::Done);
        }
        Waiting::of(&client, glob, fit, ordered).wait(output).await
    })
}

fn rehearse(fit: &[TargetState], unfit: &[TargetState], output: &mut Output) -> Answer {
    let row = |state: &TargetState, what: &str| {
        let every = state.every.as_ref().map(|every| format!("{every}, from the new key on")).unwrap_or_default();
        [state.target.to_string(), what.to_owned(), moment(state.due_at), every, state.words.clone()]
    };
    let rows: Vec<_> =
        fit.iter().map(|state| row(state, "rotate")).chain(unfit.iter().map(|state| row(state, "leave out"))).collect();
    output.table(["TARGET", "WOULD", "DUE NOW AT", "DUE THEN", "NOW"], &rows)?;
    output.line(format_args!("\n{} keys would be rotated; nothing was ordered.", fit.len()))?;
    Ok(Exit::Done)
}

fn confirm(count: usize, output: &mut Output) -> Result<(), Stop> {
    if !io::stdin().is_terminal() {
        return Err(Stop::Words(format!(
            "that would rotate {count} keys; nothing was ordered. --yes says so, --dry-run shows them"
        )));
    }
    output.line(format_args!("Rotate {count} keys? Type yes:"))?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Stop::Words("nothing was ordered".to_owned())) }
}

/// An order on its way.
struct Waiting<'a> {
    client: &'a Client,
    glob: &'a str,
    /// How each stood before, and which slot the order is for.
    open: BTreeMap<TargetId, (TargetState, u64)>,
    ordered: usize,
    failed: usize,
    bar: ProgressBar,
    /// What holds up the rest, in words that have not been told yet; none once such words were.
    news: Option<String>,
}

impl<'a> Waiting<'a> {
    fn of(client: &'a Client, glob: &'a str, before: Vec<TargetState>, ordered: Vec<TargetState>) -> Self {
        let mut before: BTreeMap<_, _> = before.into_iter().map(|state| (state.id.clone(), state)).collect();
        let open = ordered.into_iter().map(|now| {
            // One that was answered between the order and this look at it has its next slot already.
            let slot = if now.requested { now.slot } else { now.slot.saturating_sub(1) };
            let id = now.id.clone();
            (id.clone(), (before.remove(&id).unwrap_or(now), slot))
        });
        let open: BTreeMap<_, _> = open.collect();
        let bar = ProgressBar::with_draw_target(Some(open.len() as u64), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} keys  {msg}") {
            bar.set_style(style);
        }
        Self { client, glob, ordered: open.len(), open, failed: 0, bar, news: Some(String::new()) }
    }

    async fn wait(mut self, output: &mut Output) -> Answer {
        let mut silent = 0;
        let clock = SystemClock::new();
        let began = clock.monotonic();
        let held = loop {
            let asked = clock.monotonic();
            match self.client.targets(self.glob).await {
                Ok(states) => {
                    silent = 0;
                    let held = self.take_in(states, output)?;
                    if held == self.open.len() {
                        break held;
                    }
                }
                Err(ClientError::Broken { .. }) if silent < PATIENT_LOOKS => {
                    silent += 1;
                    self.hear("the daemon does not answer".to_owned());
                }
                Err(error) => return Err(error.into()),
            }
            let now = clock.monotonic();
            if now - began > SILENCE
                && let Some(words) = self.news()
            {
                self.bar.suspend(|| output.complain_as_is(&words));
            }
            clock.sleep(self.pause(now - asked, now - began)).await;
        };
        self.bar.finish_and_clear();
        for (before, _) in self.open.values() {
            output.line(format_args!(
                "{} {}: it is held up, and follows by itself",
                styled(WARN, "held"),
                before.target
            ))?;
        }
        Ok(if self.failed > 0 {
            Exit::Failed
        } else if held > 0 {
            Exit::Attention
        } else {
            Exit::Done
        })
    }

    /// How long to wait after a look that took so long: no longer than the rest may take if it goes on like this.
    fn pause(&self, took: Duration, since: Duration) -> Duration {
        let rest = match self.ordered - self.open.len() {
            0 => since,
            done => since.mul_f64(self.open.len() as f64 / done as f64),
        };
        let [least, most] = LOOK_SHARES.map(|share| took * share);
        rest.clamp(least, most).max(LOOK_EVERY)
    }

    /// Tells what has ended, and returns how many of the others are held up.
    fn take_in(&mut self, states: Vec<TargetState>, output: &mut Output) -> io::Result<usize> {
        let mut held = 0;
        for state in states {
            let Some((before, slot)) = self.open.get(&state.id) else { continue };
            if state.slot > *slot {
                let line = answered(before, &state);
                self.tell(&line, output)?;
                self.open.remove(&state.id);
            } else if !state.standing.can_rotate() {
                let line = format!("{} {}: {}", styled(BAD, "failed"), state.target, state.words);
                self.failed += 1;
                self.tell(&line, output)?;
                self.open.remove(&state.id);
            } else if state.standing == Readiness::Held {
                held += 1;
            } else if state.standing == Readiness::Waiting {
                self.hear(format!("{}: {}", state.target, state.words));
            }
        }
        Ok(held)
    }

    /// Takes down what the rest waits for; a terminal shows it beside the bar.
    fn hear(&mut self, words: String) {
        self.bar.set_message(words.clone());
        if let Some(news) = &mut self.news {
            *news = words;
        }
    }

    /// What is being waited for, once: it is said also where no bar can be seen.
    fn news(&mut self) -> Option<String> {
        let words = self.news.take_if(|words| !words.is_empty())?;
        let (open, all) = (self.open.len(), self.ordered);
        Some(format!("{open} of {all} keys are awaited still: {words}. The order is on record and stands without us."))
    }

    fn tell(&self, line: &str, output: &mut Output) -> io::Result<()> {
        self.bar.inc(1);
        self.bar.suspend(|| output.line(line))
    }
}

fn answered(before: &TargetState, after: &TargetState) -> String {
    let key = |state: &TargetState| state.key.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let (word, how) = match after.came {
        Some(KeyOrigin::Rotated) => (styled(GOOD, "rotated"), "confirmed by a GET"),
        Some(KeyOrigin::Recovered) => (styled(GOOD, "rotated"), "confirmed by a GET; no reply had proved it"),
        Some(KeyOrigin::FoundChanged | KeyOrigin::Foreign | KeyOrigin::FirstSeen | KeyOrigin::Regression) | None => {
            (styled(WARN, "changed"), "by somebody else: no PUT was sent")
        }
    };
    format!(
        "{word} {}: {} -> {}, {how}; next due {} (was {})",
        after.target,
        key(before),
        key(after),
        moment(after.due_at),
        moment(before.due_at)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A script's log tells what an order waits for, and is not filled with it.
    #[test]
    fn what_is_awaited_is_said_once() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("control.sock");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let client = Client::new(&socket).unwrap();
        let mut waiting = Waiting::of(&client, "*", Vec::new(), Vec::new());
        assert_eq!(waiting.news(), None, "nothing was heard");
        waiting.hear("the daemon does not answer".to_owned());
        assert!(waiting.news().unwrap().contains("the daemon does not answer. The order is on record"));
        waiting.hear("the daemon does not answer".to_owned());
        assert_eq!(waiting.news(), None);
    }
}
