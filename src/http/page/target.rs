//! `/targets/…`: one target: its key, what is decided and why, its past, and the command to type next.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use jiff::Timestamp;

use super::Shell;
use super::map::Twins;
use super::mark::Mark;
use super::past::{Item, items};
use super::timeline::Timeline;
use super::words::{AlertWords, Piece, beside, capital, distance, legible, moment, title};
use crate::alerts::{self, About, against, fire};
use crate::domain::{AlertSubject, Decision, TargetId, TargetName, TargetRecord};
use crate::policy::{FirstRotation, Policy, Rhythm, Rules, due_at, next_at, plan};
use crate::ports::{ArchiveError, Past, Situation};

#[derive(Template)]
#[template(path = "target.html")]
pub(super) struct TargetPage {
    shell: Shell,
    record: Arc<TargetRecord>,
    name: TargetName,
    /// None if it is not rotated.
    mark: Option<Mark>,
    /// What is decided, and why.
    decision: String,
    wrong: Vec<(String, AlertWords)>,
    facts: Vec<(&'static str, String)>,
    /// The name of its policy, and what it says.
    policy: Option<(String, Vec<String>)>,
    timeline: Option<Timeline>,
    history: Vec<Item>,
    /// Why there is no history to show.
    history_error: Option<String>,
    step: Step,
}

/// What to do next.
struct Step {
    words: String,
    commands: Vec<String>,
}

#[derive(Template)]
#[template(path = "no_target.html")]
pub(super) struct NoTarget {
    pub(super) name: String,
    pub(super) shell: Shell,
}

/// The target that is meant: by its id if one is said, or by its name, the listed ones first.
pub(super) fn find(situation: &Situation, name: &str, id: Option<&TargetId>) -> Option<Arc<TargetRecord>> {
    let targets = &situation.fleet.targets;
    match id {
        Some(id) => targets.get(id).cloned(),
        None => targets
            .values()
            .filter(|record| record.target.name().as_str() == name)
            .min_by_key(|record| record.gone_since.is_some())
            .cloned(),
    }
}

impl TargetPage {
    pub(super) fn of(
        situation: &Situation,
        rules: &Rules,
        record: &Arc<TargetRecord>,
        past: Result<Past, ArchiveError>,
        shell: Shell,
    ) -> Self {
        let now = situation.now;
        let (id, name) = (record.target.id(), record.target.name());
        let plan = plan(now, &situation.fleet, rules, &BTreeSet::new());
        let decision = plan.decisions.into_iter().find(|planned| planned.target == id).map(|planned| planned.decision);
        let managed = decision.as_ref().is_some_and(|decision| !matches!(decision, Decision::NotManaged { .. }));
        let policy = rules.policy_of(&record.target).filter(|_| managed);
        let twins = Twins::of(situation);
        let subjects = AlertSubject::around(&record.target);
        let mut alerts = fire(situation, rules);
        alerts.retain(|alert| subjects.contains(&alert.subject));
        alerts.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), alert.kind));
        let wrong = alerts.iter().map(|alert| (title(alert), AlertWords::of(alert, &twins))).collect();
        let mark = policy.map(|policy| Mark::of(record, policy, now));
        let (past, history_error) = match past {
            Ok(past) => (past, None),
            Err(error) => (Past::default(), Some(capital(&error.to_string()))),
        };
        Self {
            shell,
            mark,
            decision: decision.as_ref().map_or_else(
                || "Nothing is decided yet".to_owned(),
                |decision| capital(&legible(&decision.to_string())),
            ),
            wrong,
            facts: facts(
                record,
                situation,
                managed.then(|| policy.and_then(|policy| due_at(record, policy))).flatten(),
                next_at(now, record, &situation.fleet, rules),
            ),
            policy: policy.map(|policy| (policy.name.to_string(), policy_words(policy))),
            timeline: Timeline::of(record, policy.map(|policy| &**policy), &past, now),
            history: items(&past),
            history_error,
            step: Step::of(record, &name, managed, !alerts.is_empty(), situation),
            record: Arc::clone(record),
            name,
        }
    }
}

/// When a policy's slots come, and when they may be answered.
fn slots(policy: &Policy) -> String {
    let turn = match &policy.rhythm {
        Rhythm::Every(every) => format!("every {every}"),
        Rhythm::Cron(cron) => format!("by the calendar: {}", cron.in_words().to_lowercase()),
    };
    let place = format!("A new key {turn}, at a place of its own in a spread of {}.", policy.spread);
    if policy.windows.restrict() { format!("{place} Only in the windows {}.", policy.windows) } else { place }
}

/// What a policy asks for, a sentence for each setting.
fn policy_words(policy: &Policy) -> Vec<String> {
    let first = match policy.first_rotation {
        FirstRotation::Spread => "A key of unknown age gets its turn within one interval.",
        FirstRotation::Now => "A key of unknown age is rotated at once.",
    };
    vec![
        slots(policy),
        format!("An alert when a key is older than {}, or may be.", policy.alert_after),
        first.to_owned(),
        format!("A GET must show the new key within {}.", policy.confirm_within),
        format!("After an unknown outcome nothing is sent for {}.", policy.settle),
        format!("After {} failed attempts it waits for an operator.", policy.max_attempts),
        format!("Its key is read every {}.", policy.observe_every),
    ]
}

fn facts(
    record: &TargetRecord,
    situation: &Situation,
    due_at: Option<Timestamp>,
    begins_at: Option<Timestamp>,
) -> Vec<(&'static str, String)> {
    let now = situation.now;
    let both = |at| format!("{} ({})", moment(at), distance(at, now));
    let mut facts = Vec::new();
    if let Some(key) = &record.key {
        let age = alerts::length(key.since(), now);
        facts.push(match key.not_before {
            Some(since) => ("Age", format!("at most {age}: in use since {} at the earliest", moment(since))),
            None => ("Age", format!("at least {age}; it was there before the daemon, so how much more is not known")),
        });
        facts.push(("Last read", both(key.last_seen)));
    }
    facts.extend(due_at.map(|due_at| {
        let at = begins_at.unwrap_or(due_at);
        ("Next rotation", format!("{} ({})", beside(at, due_at), distance(at, now)))
    }));
    facts.push(("Last rotation", record.last_rotation_at.map_or_else(|| "none yet".to_owned(), both)));
    facts.extend(record.gone_since.map(|at| ("Gone since", both(at))));
    let target = &record.target;
    facts.push((
        "What it is",
        format!("{}, by {}", target.role.as_str().replace('_', " "), target.mechanism.as_str().replace('_', " ")),
    ));
    facts.push(("Id", target.id().to_string()));
    facts
}

impl Step {
    fn of(record: &TargetRecord, name: &TargetName, managed: bool, wrong: bool, situation: &Situation) -> Self {
        let name = quoted(name.as_str());
        let plan = format!("rekeyd plan {name}");
        let history = format!("rekeyd history {name}");
        let outage = situation.fleet.outage_of(&record.target.manager);
        let (words, commands) = if let Some(quarantine) = &record.quarantine {
            (
                format!(
                    "{}. Then let it be tried again, and say why:",
                    capital(against(About::Target, quarantine.failure.reason))
                ),
                vec![format!("rekeyd rearm {name} --reason 'what was mended'")],
            )
        } else if let Some(outage) = outage {
            (
                format!(
                    "{}. Then see whether all can be read:",
                    capital(against(About::Manager, outage.failure.reason))
                ),
                vec!["rekeyd check".to_owned()],
            )
        } else if let Some(unread) = &record.unread {
            (
                format!(
                    "{}. Then see whether all can be read:",
                    capital(against(About::Target, unread.failure.reason))
                ),
                vec!["rekeyd check".to_owned()],
            )
        } else if let Some((failure, _)) = &record.setback {
            (
                format!(
                    "{}. It is tried again by itself; this shows how that goes:",
                    capital(against(About::Target, failure.reason))
                ),
                vec![history],
            )
        } else if wrong {
            (
                "What is wrong stands above, with what to do about it. To see more on a terminal:".to_owned(),
                vec![plan, history],
            )
        } else if managed {
            ("Nothing needs to be done. To see the same on a terminal:".to_owned(), vec![plan, history])
        } else {
            ("It is not rotated. To see the same on a terminal:".to_owned(), vec![plan])
        };
        Self { words, commands }
    }
}

/// As one word for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The command on the page is pasted into a root shell: a name must stay a name.
    #[test]
    fn a_name_is_one_word_for_a_shell() {
        let name = "a/b'; rm -rf $HOME `id` \"x\"";
        let output = std::process::Command::new("sh").arg("-c").arg(format!("printf %s {}", quoted(name))).output();
        assert_eq!(String::from_utf8(output.unwrap().stdout).unwrap(), name);
    }
}
