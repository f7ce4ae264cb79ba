//! How often, when and how loud: the settings of a policy, and which target has which.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use wildmatch::WildMatch;

use crate::domain::{Listing, ManagerName, Period, PolicyName, ProjectId, ProjectSelector, Sighting, Target};

/// How often, when and how loud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its name in the configuration.
    pub name: PolicyName,
    /// The time from one rotation to the next.
    pub every: Period,
    /// Over what time the slots of many targets are spread.
    pub spread: Spread,
    /// A key strictly older than this raises an alert.
    pub alert_after: Period,
    /// What a target seen for the first time, its key's age unknown, waits for.
    pub first_rotation: FirstRotation,
    /// How long after an accepted PUT a GET may take to show the new key.
    pub confirm_within: Period,
    /// How long after a PUT of unknown outcome no second one may leave. Longer than the request time-out.
    pub settle: Period,
    /// After so many failed attempts at one slot the target is quarantined.
    pub max_attempts: u32,
    /// The time between two looks at a target's key.
    pub observe_every: Period,
}

/// Over what time slots are spread behind their earliest moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// So many hundredths of the interval, at most 100.
    Percent(u8),
    /// This long.
    Fixed(Period),
}

impl Spread {
    /// In seconds, for an interval.
    pub fn as_secs(self, every: Period) -> u64 {
        match self {
            Self::Percent(percent) => every.as_secs() * u64::from(percent) / 100,
            Self::Fixed(period) => period.as_secs(),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Fixed(period) => period.fmt(f),
        }
    }
}

/// What a target whose key's age is unknown waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstRotation {
    /// Its place in one interval, by its hash.
    Spread,
    /// Nothing.
    Now,
}

impl Policy {
    /// The settings that the shipped configuration file shows.
    pub fn with_defaults(name: PolicyName) -> Self {
        Self {
            name,
            every: Period::days(30),
            spread: Spread::Percent(10),
            alert_after: Period::days(90),
            first_rotation: FirstRotation::Spread,
            confirm_within: Period::minutes(15),
            settle: Period::minutes(10),
            max_attempts: 8,
            observe_every: Period::minutes(15),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = match self.first_rotation {
            FirstRotation::Spread => "spread",
            FirstRotation::Now => "now",
        };
        write!(
            f,
            "every {}, spread {}, alert after {}, first rotation {first}, confirm within {}, settle {}, {} attempts, observe every {}",
            self.every,
            self.spread,
            self.alert_after,
            self.confirm_within,
            self.settle,
            self.max_attempts,
            self.observe_every
        )
    }
}

impl Policy {
    /// The `alert_after` in a policy's words, which stand in the ledger.
    pub fn alert_after_in(words: &str) -> Option<Period> {
        words.split(", ").find_map(|part| part.strip_prefix("alert after "))?.parse().ok()
    }
}

/// Every manager's rules, as the configuration states them.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// By the manager's name.
    pub managers: BTreeMap<ManagerName, ManagerRules>,
}

/// What holds for one manager.
#[derive(Clone, Debug)]
pub struct ManagerRules {
    /// How many rotations may be in hand at once; at least 1.
    pub max_concurrent: usize,
    /// For projects that name no policy of their own.
    pub policy: Arc<Policy>,
    /// What holds for single projects; none named means every project.
    pub projects: Vec<ProjectRules>,
}

/// What holds for one project.
#[derive(Clone, Debug)]
pub struct ProjectRules {
    /// Which project.
    pub project: ProjectSelector,
    /// Its policy, if not the manager's.
    pub policy: Option<Arc<Policy>>,
    /// Globs of cluster names that are not rotated.
    pub exclude: Vec<String>,
}

impl Rules {
    /// The policy of a target; none if the configuration names neither its manager nor its project.
    pub fn policy_of(&self, target: &Target) -> Option<&Arc<Policy>> {
        let manager = self.managers.get(&target.manager)?;
        match manager.project(&target.project_id, &target.project) {
            Some(project) => Some(project.policy.as_ref().unwrap_or(&manager.policy)),
            None if manager.projects.is_empty() => Some(&manager.policy),
            None => None,
        }
    }

    /// What the listing and the configuration together say about a target's fitness.
    pub fn listing_of(&self, sighting: &Sighting) -> Listing {
        let target = &sighting.target;
        self.managers
            .get(&target.manager)
            .and_then(|manager| manager.project(&target.project_id, &target.project))
            .and_then(|project| project.exclude.iter().find(|glob| WildMatch::new(glob).matches(&target.cluster)))
            .map_or_else(|| sighting.listing.clone(), |glob| Listing::Excluded { pattern: glob.clone() })
    }

    /// Every policy that some target may have, each once.
    pub fn policies(&self) -> BTreeMap<PolicyName, Arc<Policy>> {
        self.managers
            .values()
            .flat_map(|manager| {
                manager.projects.iter().filter_map(|project| project.policy.as_ref()).chain([&manager.policy])
            })
            .map(|policy| (policy.name.clone(), Arc::clone(policy)))
            .collect()
    }
}

impl ManagerRules {
    fn project(&self, id: &ProjectId, name: &str) -> Option<&ProjectRules> {
        self.projects.iter().find(|rules| rules.project.selects(id, name))
    }
}
