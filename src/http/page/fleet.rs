//! `/`: what is wrong first, then every key, then what comes next.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;

use super::Shell;
use super::held::{Held, held};
use super::map::{Map, Twins};
use super::words::{AlertWords, Piece, address, beside, count, distance, legible, moment, title};
use crate::alerts::{Alert, Severity, fire};
use crate::domain::{Decision, Freeze, TargetName, hex};
use crate::http::router::ROUTES;
use crate::policy::{Plan, Rules, freezes_from, next_at, plan};
use crate::ports::Situation;

/// So many alerts of one kind are spelled out before the rest is folded.
const SHOWN_OF_A_KIND: usize = 3;

/// So many more are in the fold; `/api/v1/alerts` has them all.
const FOLDED_OF_A_KIND: usize = 47;

/// So many of the next rotations are named.
const SHOWN_NEXT: usize = 8;

#[derive(Template)]
#[template(path = "fleet.html")]
pub(super) struct FleetPage {
    shell: Shell,
    /// The state of affairs in one sentence.
    headline: String,
    /// `good`, `warn` or `bad`.
    tone: &'static str,
    /// What is wrong with the daemon itself.
    own_troubles: Vec<String>,
    wrong: Vec<Wrong>,
    held: Vec<Held>,
    map: Map,
    next: Vec<Next>,
    /// How many more rotations are planned.
    next_more: usize,
    facts: Vec<(&'static str, String)>,
    routes: &'static [&'static str],
}

/// The alerts of one kind.
struct Wrong {
    title: String,
    severity: &'static str,
    number: usize,
    shown: Vec<AlertWords>,
    folded: Vec<AlertWords>,
    /// How many are neither shown nor folded.
    left: usize,
}

/// A rotation that is in hand or comes next.
struct Next {
    name: TargetName,
    address: String,
    when: String,
    /// Why then, or the moment.
    note: String,
}

impl FleetPage {
    pub(super) fn of(situation: &Situation, rules: &Rules, shell: Shell) -> Self {
        // What is in hand is known by its open rotation.
        let plan = plan(situation.now, &situation.fleet, rules, &BTreeSet::new());
        let twins = Twins::of(situation);
        let alerts = fire(situation, rules);
        let map = Map::of(situation, rules, &plan, &twins);
        let own_troubles = own_troubles(situation, rules);
        let (headline, tone) = headline(&map, &alerts, &own_troubles);
        let (next, next_more) = next(situation, rules, &plan, &twins);
        Self {
            shell,
            headline,
            tone,
            own_troubles,
            wrong: wrong(&alerts, &twins),
            held: held(situation, rules),
            map,
            next,
            next_more,
            facts: facts(situation, rules),
            routes: ROUTES,
        }
    }
}

fn headline(map: &Map, alerts: &[Alert], own_troubles: &[String]) -> (String, &'static str) {
    let critical = alerts.iter().filter(|alert| alert.severity == Severity::Critical).count();
    let needs = |number: usize| count(number, "thing needs you", "things need you");
    match (own_troubles, alerts.len(), map.total) {
        ([_, ..], _, _) => ("Nothing is rotated now.".to_owned(), "bad"),
        ([], 0, 0) => ("No key is looked after yet.".to_owned(), "warn"),
        ([], 0, 1) => ("The one key is in order.".to_owned(), "good"),
        ([], 0, total) => (format!("All {total} keys are in order."), "good"),
        ([], all, _) if critical == 0 => (format!("{}.", needs(all)), "warn"),
        ([], all, _) if critical == all => (format!("{} now.", needs(all)), "bad"),
        ([], all, _) => (format!("{}, {critical} of them now.", needs(all)), "bad"),
    }
}

fn own_troubles(situation: &Situation, rules: &Rules) -> Vec<String> {
    let unwritable = situation.unwritable.as_ref().map(|(since, why)| {
        format!(
            "The ledger cannot be written since {}: {why}. No record, no rotation. Next: make room on its disk or mend \
             it; work goes on by itself.",
            moment(*since)
        )
    });
    let stalled = rules.is_stalled(situation.since_sweep).then(|| {
        format!(
            "No plan was made for {} seconds: the scheduler is stuck. Next: restart the service, and keep its log.",
            situation.since_sweep.as_secs()
        )
    });
    unwritable.into_iter().chain(stalled).collect()
}

fn wrong(alerts: &[Alert], twins: &Twins) -> Vec<Wrong> {
    let mut kinds: BTreeMap<_, Vec<&Alert>> = BTreeMap::new();
    for alert in alerts {
        kinds.entry((std::cmp::Reverse(alert.severity), alert.kind)).or_default().push(alert);
    }
    kinds
        .into_values()
        .filter_map(|mut alerts| {
            alerts.sort_by_key(|alert| (alert.since, &alert.name));
            let first = alerts.first()?;
            let (title, severity) = (title(first), first.severity.as_str());
            let mut words =
                alerts.iter().take(SHOWN_OF_A_KIND + FOLDED_OF_A_KIND).map(|alert| AlertWords::of(alert, twins));
            let shown = words.by_ref().take(SHOWN_OF_A_KIND).collect();
            let folded = words.collect();
            let left = alerts.len().saturating_sub(SHOWN_OF_A_KIND + FOLDED_OF_A_KIND);
            Some(Wrong { title, severity, number: alerts.len(), shown, folded, left })
        })
        .collect()
}

fn next(situation: &Situation, rules: &Rules, plan: &Plan, twins: &Twins) -> (Vec<Next>, usize) {
    let mut next: Vec<_> = plan
        .decisions
        .iter()
        .filter_map(|planned| {
            let record = situation.fleet.targets.get(&planned.target)?;
            let due_at = match &planned.decision {
                Decision::Resume { .. } => record.rotation.as_ref()?.due_at,
                Decision::Rotate { due_at, .. } => *due_at,
                Decision::Wait { due_at, .. } => (*due_at)?,
                Decision::Withdraw { .. } | Decision::Quarantined { .. } | Decision::NotManaged { .. } => return None,
            };
            let begins_at = next_at(situation.now, record, &situation.fleet, rules).unwrap_or(due_at);
            Some((begins_at, due_at, planned, record))
        })
        .collect();
    next.sort_by_key(|(begins_at, due_at, planned, _)| (*begins_at, *due_at, &planned.target));
    let more = next.len().saturating_sub(SHOWN_NEXT);
    let shown = next.into_iter().take(SHOWN_NEXT).map(|(begins_at, due_at, planned, record)| {
        let name = record.target.name();
        let address = address(&name, twins.id(&name, &planned.target));
        let why = || legible(&planned.decision.to_string());
        let (when, note) = if let Decision::Resume { .. } = &planned.decision {
            ("now".to_owned(), why())
        } else if begins_at <= situation.now {
            ("due".to_owned(), why())
        } else if due_at <= situation.now {
            (distance(begins_at, situation.now), why())
        } else {
            (distance(begins_at, situation.now), beside(begins_at, due_at))
        };
        Next { name, address, when, note }
    });
    (shown.collect(), more)
}

fn facts(situation: &Situation, rules: &Rules) -> Vec<(&'static str, String)> {
    let head = hex(&situation.head.hash[..8]);
    let mut facts = vec![
        (
            "Last look at the plan",
            situation.last_sweep.map_or_else(|| "none yet".to_owned(), |at| distance(at, situation.now)),
        ),
        (
            "Ledger",
            format!(
                "{}, head {head}…",
                count(usize::try_from(situation.head.seq).unwrap_or(usize::MAX), "record", "records")
            ),
        ),
        (
            "Running",
            format!(
                "{}, since {}",
                crate::alerts::length(situation.started_at, situation.now),
                moment(situation.started_at)
            ),
        ),
    ];
    let standing = situation.fleet.standing_pauses(situation.now);
    facts.extend(
        standing
            .map(|(scope, pause)| ("Pause", format!("of {scope}, until {}: {}", moment(pause.until), pause.reason))),
    );
    let freezes = freezes_from(situation.now, rules, &situation.fleet);
    facts.extend(freezes.map(|(Freeze { name, scope, span, reason }, _)| {
        ("Freeze", format!("{name} of {scope}, from {} until {}: {reason}", moment(span.start), moment(span.end)))
    }));
    facts
}
