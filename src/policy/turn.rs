//! Who goes first, and who finds a place: one member of a cluster at a time, and no more of a manager than it allows.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;

use super::rules::ManagerRules;
use super::settings::{MemberOrder, Policy};
use crate::domain::{Decision, ManagerName, ProjectId, Role, Standing, TargetId, TargetRecord, WaitReason};

/// A target that would be rotated now if there is a place for it.
pub(super) struct Candidate<'a> {
    pub(super) due_at: Timestamp,
    pub(super) record: &'a TargetRecord,
    pub(super) manager: &'a ManagerRules,
    pub(super) policy: &'a Policy,
    pub(super) id: &'a TargetId,
}

impl<'a> Candidate<'a> {
    pub(super) fn rotate(&self) -> Decision {
        Decision::Rotate { rotation: self.record.next_rotation(), due_at: self.due_at }
    }

    fn cluster(&self) -> Cluster<'a> {
        cluster(self.record)
    }

    /// Its turn among the members of its cluster, the due time left aside.
    fn rank(&self) -> u8 {
        let config_server = self.record.target.role == Role::ConfigServer;
        match self.policy.member_order {
            MemberOrder::ConfigServersLast => u8::from(config_server),
            MemberOrder::ConfigServersFirst => u8::from(!config_server),
            MemberOrder::OldestFirst => 0,
        }
    }
}

/// A cluster within everything: its manager, its project, its name.
type Cluster<'a> = (&'a ManagerName, &'a ProjectId, &'a str);

fn cluster(record: &TargetRecord) -> Cluster<'_> {
    (&record.target.manager, &record.target.project_id, record.target.cluster.as_str())
}

/// The candidates in the order in which they are given places: a cluster by its oldest member that is due, the members in
/// their policy's order, each by its due time.
pub(super) fn in_turn(mut candidates: Vec<Candidate<'_>>) -> Vec<Candidate<'_>> {
    let mut oldest: HashMap<Cluster<'_>, Timestamp> = HashMap::new();
    for candidate in &candidates {
        let due_at = oldest.entry(candidate.cluster()).or_insert(candidate.due_at);
        *due_at = candidate.due_at.min(*due_at);
    }
    candidates.sort_by_cached_key(|candidate| {
        let line = match candidate.policy.member_order {
            MemberOrder::OldestFirst => candidate.due_at,
            MemberOrder::ConfigServersLast | MemberOrder::ConfigServersFirst => {
                oldest.get(&candidate.cluster()).copied().unwrap_or(candidate.due_at)
            }
        };
        (candidate.record.request.is_none(), line, candidate.rank(), candidate.due_at, candidate.id)
    });
    candidates
}

/// Who is being rotated, and so which places are taken.
#[derive(Default)]
pub(super) struct Places<'a> {
    clusters: BTreeMap<Cluster<'a>, &'a TargetRecord>,
    managers: BTreeMap<&'a ManagerName, usize>,
    failed: BTreeMap<Cluster<'a>, &'a TargetRecord>,
}

impl<'a> Places<'a> {
    pub(super) fn take(&mut self, record: &'a TargetRecord) {
        self.clusters.entry(cluster(record)).or_insert(record);
        *self.managers.entry(&record.target.manager).or_default() += 1;
    }

    /// Remembers a member whose attempt failed: it may stop the others of its cluster.
    pub(super) fn mind(&mut self, record: &'a TargetRecord) {
        if (record.setback.is_some() || record.quarantine.is_some()) && record.standing() == Standing::Managed {
            self.failed.entry(cluster(record)).or_insert(record);
        }
    }

    /// The member whose failure stops the others of the candidate's cluster, if the policy says so.
    pub(super) fn stopped_by(&self, candidate: &Candidate<'_>) -> Option<&'a TargetRecord> {
        // Whoever failed itself may try again, or two that failed would wait for each other.
        let stops = candidate.policy.stop_cluster_on_failure && candidate.record.setback.is_none();
        self.failed.get(&candidate.cluster()).copied().filter(|_| stops)
    }

    /// Why there is no place for the candidate now; none if there is one.
    pub(super) fn refusal(&self, candidate: &Candidate<'_>) -> Option<WaitReason> {
        let target = &candidate.record.target;
        let cluster = candidate.cluster();
        if let Some(member) = self.clusters.get(&cluster) {
            return Some(WaitReason::MemberFirst { member: member.target.name() });
        }
        if let Some(failed) = self.stopped_by(candidate) {
            return Some(WaitReason::MemberFailed { member: failed.target.name() });
        }
        let taken = self.managers.get(&target.manager).copied().unwrap_or_default();
        let limit = candidate.manager.max_concurrent;
        (taken >= limit).then_some(WaitReason::ManagerFull { limit })
    }
}
