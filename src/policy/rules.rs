//! Which target has which policy, what is left out, and when nothing is rotated.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::settings::Policy;
use crate::domain::{
    Freeze, Glob, Listing, ManagerName, Period, PolicyName, ProjectId, ProjectSelector, Sighting, Target,
};

/// Every manager's rules, as the configuration states them.
#[derive(Clone, Debug)]
pub struct Rules {
    /// By the manager's name.
    pub managers: BTreeMap<ManagerName, ManagerRules>,
    /// When nothing is rotated.
    pub freezes: Vec<Freeze>,
    /// In which days and times without an offset are read; [`TimeZone::iana_name`] is what was written.
    pub timezone: TimeZone,
    /// A daemon that has neither planned nor seen its plan hold for so long is stuck: sweeps come every few seconds.
    pub stalled_after: Period,
}

impl Default for Rules {
    /// Those of a configuration that says nothing.
    fn default() -> Self {
        let stalled_after = Period::minutes(1);
        Self { managers: BTreeMap::new(), freezes: Vec::new(), timezone: TimeZone::UTC, stalled_after }
    }
}

/// What holds for one manager.
#[derive(Clone, Debug)]
pub struct ManagerRules {
    /// How many rotations may be in hand at once; at least 1.
    pub max_concurrent: usize,
    /// How long a request may take: an attempt begins only while so much of its window is left.
    pub request_timeout: Period,
    /// For projects that name no policy of their own.
    pub policy: Arc<Policy>,
    /// What holds for single projects; none named means every project.
    pub projects: Vec<ProjectRules>,
    /// Policies by the names of projects and clusters. They choose no targets, only policies.
    pub overrides: Vec<Override>,
}

/// The policy of whatever matches.
#[derive(Clone, Debug)]
pub struct Override {
    /// By the project's name.
    pub project: Glob,
    /// By the cluster's name.
    pub cluster: Glob,
    /// Its policy.
    pub policy: Arc<Policy>,
}

/// Why a target has its policy.
#[derive(Clone, Copy, Debug)]
pub enum Chosen<'a> {
    /// It is its manager's.
    ByManager,
    /// Its project names it.
    ByProject(&'a ProjectRules),
    /// An override matches; of several, the most specific: by cluster before by project, and what stands first among equals.
    ByOverride(&'a Override),
}

impl fmt::Display for Chosen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ByManager => f.write_str("the policy of its manager"),
            Self::ByProject(rules) => write!(f, "the policy of project {}", rules.project),
            Self::ByOverride(rule) => {
                write!(f, "the override of project \"{}\", cluster \"{}\"", rule.project, rule.cluster)
            }
        }
    }
}

/// What holds for one project.
#[derive(Clone, Debug)]
pub struct ProjectRules {
    /// Which project.
    pub project: ProjectSelector,
    /// Its policy, if not the manager's.
    pub policy: Option<Arc<Policy>>,
    /// Globs of cluster names that are not rotated.
    pub exclude: Vec<Glob>,
}

impl Rules {
    /// Whether a daemon whose newest plan is so old, by the clock that only runs, is stuck.
    pub fn is_stalled(&self, since_sweep: Duration) -> bool {
        since_sweep > self.stalled_after.as_duration()
    }

    /// The policy of a target; none if the configuration names neither its manager nor its project.
    pub fn policy_of(&self, target: &Target) -> Option<&Arc<Policy>> {
        self.choice_of(target).map(|(policy, _)| policy)
    }

    /// The policy of a target, and why it is that one.
    pub fn choice_of(&self, target: &Target) -> Option<(&Arc<Policy>, Chosen<'_>)> {
        let manager = self.managers.get(&target.manager)?;
        let project = manager.project(&target.project_id, &target.project);
        if project.is_none() && !manager.projects.is_empty() {
            return None;
        }
        let named = project.and_then(|project| Some((project.policy.as_ref()?, Chosen::ByProject(project))));
        let overriding = manager.override_of(target).filter(|rule| {
            // A project's own section names it exactly: only what speaks of the cluster, too, says more.
            named.is_none() || rule.cluster.specificity() > (0, 0)
        });
        let overriding = overriding.map(|rule| (&rule.policy, Chosen::ByOverride(rule)));
        Some(overriding.or(named).unwrap_or((&manager.policy, Chosen::ByManager)))
    }

    /// What the listing and the configuration together say about a target's fitness.
    pub fn listing_of(&self, sighting: &Sighting) -> Listing {
        let Target { manager, project_id, project, cluster, .. } = &sighting.target;
        self.exclusion(manager, project_id, project, cluster)
            .map_or_else(|| sighting.listing.clone(), |glob| Listing::Excluded { pattern: glob.to_string() })
    }

    /// What the configuration leaves this cluster out by; none if it does not.
    pub fn exclusion(&self, manager: &ManagerName, id: &ProjectId, project: &str, cluster: &str) -> Option<&Glob> {
        let project = self.managers.get(manager)?.project(id, project)?;
        project.exclude.iter().find(|glob| glob.matches(cluster))
    }

    /// Every policy that some target may have, each once.
    pub fn policies(&self) -> BTreeMap<PolicyName, Arc<Policy>> {
        self.managers
            .values()
            .flat_map(|manager| {
                let projects = manager.projects.iter().filter_map(|project| project.policy.as_ref());
                projects.chain(manager.overrides.iter().map(|rule| &rule.policy)).chain([&manager.policy])
            })
            .map(|policy| (policy.name.clone(), Arc::clone(policy)))
            .collect()
    }
}

impl ManagerRules {
    /// A manager all of whose targets have one policy, every setting that has a default at it.
    pub fn new(max_concurrent: usize, policy: Arc<Policy>) -> Self {
        let request_timeout = Period::seconds(30);
        Self { max_concurrent, request_timeout, policy, projects: Vec::new(), overrides: Vec::new() }
    }

    fn override_of(&self, target: &Target) -> Option<&Override> {
        let matching = self
            .overrides
            .iter()
            .filter(|rule| rule.project.matches(&target.project) && rule.cluster.matches(&target.cluster));
        // Of equals the last is the greatest to `max_by_key`, and the first is wanted.
        matching.rev().max_by_key(|rule| (rule.cluster.specificity(), rule.project.specificity()))
    }

    fn project(&self, id: &ProjectId, name: &str) -> Option<&ProjectRules> {
        self.projects.iter().find(|rules| rules.project.selects(id, name))
    }
}
