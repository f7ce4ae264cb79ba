//! Patterns of the configuration that fit nothing: mistyped more often than not, and what they were to hold up is not.

use jiff::Timestamp;

use super::{Line, Step};
use crate::domain::Target;
use crate::policy::Rules;

/// Each freeze, override and exclusion that fits none of `listed`, which is every target that there is. A freeze that is over
/// holds nobody anyway.
pub(super) fn unfit(rules: &Rules, listed: &[&Target], now: Timestamp) -> Vec<Line> {
    let freezes = rules.freezes.iter().filter(|freeze| now < freeze.span.end).filter_map(|freeze| {
        let fits = listed.iter().any(|target| freeze.covers(&target.name()));
        (!fits).then(|| format!("freeze {}: its scope \"{}\" fits no target", freeze.name, freeze.scope))
    });
    let of_managers = rules.managers.iter().flat_map(|(name, manager)| {
        let own: Vec<_> = listed.iter().filter(|target| target.manager == *name).collect();
        let overrides = manager.overrides.iter().filter_map(|rule| {
            let mut fitting = own
                .iter()
                .filter(|target| rule.project.matches(&target.project) && rule.cluster.matches(&target.cluster));
            let what = || format!("override of project \"{}\", cluster \"{}\"", rule.project, rule.cluster);
            fitting.next().is_none().then(what)
        });
        let exclusions = manager.projects.iter().flat_map(|project| {
            let within: Vec<_> =
                own.iter().filter(|target| project.project.selects(&target.project_id, &target.project)).collect();
            let idle = project.exclude.iter().filter(|glob| !within.iter().any(|target| glob.matches(&target.cluster)));
            idle.map(|glob| format!("project {}: \"{glob}\" in its `exclude`", project.project)).collect::<Vec<_>>()
        });
        let told = overrides.chain(exclusions).map(|what| format!("manager {name}, {what} fits no target"));
        told.collect::<Vec<_>>()
    });
    let next = "check how it is written; what is listed later belongs to it, too";
    freezes.chain(of_managers).map(|words| Step::Config.warn(format!("{words} that is listed now"), next)).collect()
}
