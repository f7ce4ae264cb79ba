//! Whether every member of a cluster was rotated in a period. What is not known to be complete is not called covered.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::domain::{Fleet, Listing, ManagerName, ProjectId, Role, Span, Standing, TargetId, TargetName, TargetRecord};

/// One cluster in one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coverage {
    /// `manager/project/cluster`.
    pub cluster: String,
    /// The period.
    pub period: Span,
    /// Every member that was there in the period, by name.
    pub members: Vec<Member>,
    /// It is sharded, and no config server replica set is listed.
    pub lacks_config_servers: bool,
}

/// One member in one period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The target.
    pub target: TargetId,
    /// Its name.
    pub name: TargetName,
    /// When it was last rotated in the period; none if it was not.
    pub rotated_at: Option<Timestamp>,
    /// Why it is not rotated, where that is so.
    pub unmanaged: Option<String>,
    /// Whether the configuration leaves it out.
    pub excluded: bool,
}

impl Coverage {
    /// The members that were not rotated.
    pub fn missing(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.rotated_at.is_none())
    }

    /// Whether nobody was left out but by the configuration.
    pub fn is_as_configured(&self) -> bool {
        let lacks = self.lacks_config_servers && !self.members.iter().all(|member| member.excluded);
        !lacks && self.missing().all(|member| member.excluded)
    }

    /// One word: `all`, `some` or `none`. Never `all` without config servers.
    pub fn word(&self) -> &'static str {
        let rotated = self.members.len() - self.missing().count();
        match (rotated, self.lacks_config_servers) {
            (0, _) => "none",
            (rotated, false) if rotated == self.members.len() => "all",
            _ => "some",
        }
    }
}

/// Every cluster in each of the periods, by name and then by time. `rotated` names each rotation that a GET has proved: whose,
/// and when.
///
/// A member counts in the periods in which it was listed for at least a moment, gone or not governed, too: an auditor asks why
/// it was left out.
pub fn coverage(fleet: &Fleet, periods: &[Span], rotated: &[(TargetId, Timestamp)]) -> Vec<Coverage> {
    let mut clusters: BTreeMap<(&ManagerName, &ProjectId, &str), Vec<&TargetRecord>> = BTreeMap::new();
    for record in fleet.targets.values() {
        let target = &record.target;
        clusters.entry((&target.manager, &target.project_id, &target.cluster)).or_default().push(record);
    }
    let gaps: BTreeSet<(&ManagerName, &ProjectId, &str)> = fleet
        .managers
        .iter()
        .flat_map(|(name, manager)| manager.gaps.keys().map(move |gap| (name, &gap.project_id, gap.cluster.as_str())))
        .collect();
    let mut times: BTreeMap<&TargetId, Vec<Timestamp>> = BTreeMap::new();
    for (target, at) in rotated {
        times.entry(target).or_default().push(*at);
    }
    let mut found = Vec::new();
    for (cluster, records) in clusters {
        let sharded = records.iter().any(|record| record.target.role == Role::Shard);
        let config = records.iter().any(|record| record.target.role == Role::ConfigServer);
        for period in periods {
            let mut members: Vec<Member> = records
                .iter()
                .filter(|record| was_there(record, *period))
                .map(|record| member(record, *period, &times))
                .collect();
            let Some(first) = records.first().filter(|_| !members.is_empty()) else { continue };
            members.sort_by(|one, other| one.name.cmp(&other.name));
            found.push(Coverage {
                cluster: format!("{}/{}/{}", first.target.manager, first.target.project, first.target.cluster),
                period: *period,
                members,
                lacks_config_servers: gaps.contains(&cluster) || (sharded && !config),
            });
        }
    }
    found.sort_by(|one, other| (&one.cluster, one.period).cmp(&(&other.cluster, other.period)));
    found
}

fn was_there(record: &TargetRecord, period: Span) -> bool {
    record.found_at < period.end && record.gone_since.is_none_or(|gone| gone > period.start)
}

fn member(record: &TargetRecord, period: Span, times: &BTreeMap<&TargetId, Vec<Timestamp>>) -> Member {
    let target = record.target.id();
    let rotated_at = times.get(&target).into_iter().flatten().filter(|at| period.contains(**at)).max().copied();
    let standing = record.standing();
    let unmanaged = (standing != Standing::Managed).then(|| standing.to_string());
    let excluded = matches!(standing, Standing::Listed(Listing::Excluded { .. }));
    Member { name: record.target.name(), target, rotated_at, unmanaged, excluded }
}
