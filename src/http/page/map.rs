//! The map of the fleet: every target that is rotated, as a cell in its cluster, project and manager.

use std::collections::{BTreeMap, HashMap};

use super::mark::Mark;
use super::words::{address, capital, count, distance, moment, short_length};
use crate::alerts;
use crate::domain::{Decision, ManagerName, TargetId, TargetName, Trouble};
use crate::policy::{Plan, Rules};
use crate::ports::Situation;

/// With more targets than this a cell has room for its sign alone.
const ROOMY: usize = 150;

/// So many targets that are not rotated are listed.
const SHOWN_UNMANAGED: usize = 200;

/// The fleet, ordered for the eye.
pub(super) struct Map {
    pub(super) managers: Vec<Manager>,
    /// Whether cells show their sign alone.
    pub(super) dense: bool,
    /// How many there are of each mark, the gravest first.
    pub(super) counts: Vec<Count>,
    /// How many targets are rotated.
    pub(super) total: usize,
    pub(super) unmanaged: Vec<Unmanaged>,
    /// How many of these there are, the ones that are not listed too.
    pub(super) unmanaged_total: usize,
}

pub(super) struct Manager {
    pub(super) name: ManagerName,
    pub(super) fails: bool,
    /// How it does, in words.
    pub(super) health: String,
    /// What to do if it fails.
    pub(super) next: Option<&'static str>,
    pub(super) projects: Vec<Project>,
}

pub(super) struct Project {
    pub(super) name: String,
    pub(super) clusters: Vec<Cluster>,
}

pub(super) struct Cluster {
    pub(super) name: String,
    pub(super) cells: Vec<Cell>,
}

pub(super) struct Cell {
    pub(super) address: String,
    pub(super) mark: Mark,
    /// The replica set's name.
    pub(super) name: String,
    /// Its key's age: `12d`, or where that is not known `≥ 12d`.
    pub(super) age: String,
}

pub(super) struct Unmanaged {
    pub(super) address: String,
    pub(super) name: TargetName,
    pub(super) why: String,
}

/// How many cells have one mark, and where their part of the bar lies, in hundredths.
pub(super) struct Count {
    pub(super) mark: Mark,
    pub(super) number: usize,
    pub(super) from: String,
    pub(super) width: String,
}

impl Map {
    pub(super) fn of(situation: &Situation, rules: &Rules, plan: &Plan, twins: &Twins) -> Self {
        let (now, fleet) = (situation.now, &situation.fleet);
        let mut tree: BTreeMap<&ManagerName, BTreeMap<&str, BTreeMap<&str, Vec<Cell>>>> =
            rules.managers.keys().map(|name| (name, BTreeMap::new())).collect();
        let mut numbers: BTreeMap<Mark, usize> = BTreeMap::new();
        let (mut unmanaged, mut unmanaged_total, mut total) = (Vec::new(), 0, 0);
        for planned in &plan.decisions {
            let Some(record) = fleet.targets.get(&planned.target) else { continue };
            let target = &record.target;
            let name = target.name();
            let address = address(&name, twins.id(&name, &planned.target));
            if let Decision::NotManaged { why } = &planned.decision {
                unmanaged_total += 1;
                if unmanaged.len() < SHOWN_UNMANAGED {
                    unmanaged.push(Unmanaged { address, name, why: why.clone() });
                }
                continue;
            }
            let Some(policy) = rules.policy_of(target) else { continue };
            let mark = Mark::of(record, policy, now);
            let age = record.key.as_ref().map_or_else(String::new, |key| {
                let least = if key.not_before.is_none() { "≥ " } else { "" };
                format!("{least}{}", short_length(key.since(), now))
            });
            total += 1;
            *numbers.entry(mark.kind()).or_default() += 1;
            let cell = Cell { address, mark, name: target.replica_set.clone(), age };
            let projects = tree.entry(&target.manager).or_default();
            projects.entry(&target.project).or_default().entry(&target.cluster).or_default().push(cell);
        }
        unmanaged.sort_by(|a, b| a.name.cmp(&b.name));
        let managers = tree.into_iter().map(|(name, projects)| Manager::of(name, projects, situation)).collect();
        let counts = counts(&numbers, total);
        Self { managers, dense: total > ROOMY, counts, total, unmanaged, unmanaged_total }
    }
}

impl Manager {
    fn of(name: &ManagerName, projects: BTreeMap<&str, BTreeMap<&str, Vec<Cell>>>, situation: &Situation) -> Self {
        let outage = situation.fleet.outage_of(name);
        let newest_look = situation
            .fleet
            .targets
            .values()
            .filter(|record| record.target.manager == *name)
            .filter_map(|record| record.key.as_ref().map(|key| key.last_seen))
            .max();
        let size: usize = projects.values().flat_map(BTreeMap::values).map(Vec::len).sum();
        let keys = count(size, "key", "keys");
        let (health, next) = match (outage, newest_look) {
            (Some(Trouble { since, failure }), _) => (
                format!("Failing since {}, {}: {failure}.", moment(*since), distance(*since, situation.now)),
                Some(alerts::against(alerts::About::Manager, failure.reason)),
            ),
            (None, Some(look)) => (format!("Answers; {keys}, one last read {}.", distance(look, situation.now)), None),
            (None, None) => ("No key was read from it yet.".to_owned(), None),
        };
        let projects = projects
            .into_iter()
            .map(|(name, clusters)| Project {
                name: name.to_owned(),
                clusters: clusters
                    .into_iter()
                    .map(|(name, mut cells)| {
                        cells.sort_by(|a, b| a.name.cmp(&b.name));
                        Cluster { name: name.to_owned(), cells }
                    })
                    .collect(),
            })
            .collect();
        Self { name: name.clone(), fails: outage.is_some(), health: capital(&health), next, projects }
    }
}

impl Cluster {
    /// Whether its only member has its name: then that is said once.
    pub(super) fn is_one(&self) -> bool {
        matches!(&*self.cells, [only] if only.name == self.name)
    }
}

fn counts(numbers: &BTreeMap<Mark, usize>, total: usize) -> Vec<Count> {
    let hundredths = |number: usize| format!("{:.2}", number as f64 * 100.0 / total.max(1) as f64);
    let mut before = 0;
    numbers
        .iter()
        .map(|(mark, number)| {
            let from = hundredths(before);
            before += number;
            Count { mark: *mark, number: *number, from, width: hundredths(*number) }
        })
        .collect()
}

/// Which names more than one target has: their addresses need the id.
pub(super) struct Twins(HashMap<TargetName, usize>);

impl Twins {
    pub(super) fn of(situation: &Situation) -> Self {
        let mut names: HashMap<TargetName, usize> = HashMap::new();
        for record in situation.fleet.targets.values() {
            *names.entry(record.target.name()).or_default() += 1;
        }
        Self(names)
    }

    /// The id, if the name alone is not enough.
    pub(super) fn id<'a>(&self, name: &TargetName, id: &'a TargetId) -> Option<&'a TargetId> {
        self.0.get(name).is_some_and(|number| *number > 1).then_some(id)
    }
}
