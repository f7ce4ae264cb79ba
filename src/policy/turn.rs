//! Who goes first, and who finds a place: one member of a cluster at a time, and no more of a manager than it allows.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::rules::ManagerRules;
use super::settings::{MemberOrder, Policy};
use crate::domain::{Decision, ManagerName, ProjectId, Role, Standing, TargetId, TargetRecord, WaitReason};

/// A target that would be rotated now if there is a place for it.
pub(super) struct Candidate<'a> {
    pub(super) due_at: Timestamp,
    pub(super) record: &'a Arc<TargetRecord>,
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

/// A target as a member of its cluster: all members of one are equal.
#[derive(Clone, Debug)]
struct Member(Arc<TargetRecord>);

impl Ord for Member {
    fn cmp(&self, other: &Self) -> Ordering {
        cluster(&self.0).cmp(&cluster(&other.0))
    }
}

impl PartialOrd for Member {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Member {}

/// Who is being rotated, and so which places are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// How many members of each cluster.
    clusters: BTreeMap<Member, usize>,
    managers: BTreeMap<ManagerName, usize>,
    failed: BTreeSet<Member>,
}

impl Places {
    pub(super) fn take(&mut self, record: &Arc<TargetRecord>) {
        *self.clusters.entry(Member(Arc::clone(record))).or_default() += 1;
        *self.managers.entry(record.target.manager.clone()).or_default() += 1;
    }

    /// Gives the place back that was taken for the target.
    pub(super) fn leave(&mut self, record: &Arc<TargetRecord>) {
        let member = Member(Arc::clone(record));
        if let Some(members) = self.clusters.get_mut(&member) {
            *members -= 1;
            if *members == 0 {
                self.clusters.remove(&member);
            }
        }
        if let Some(taken) = self.managers.get_mut(&record.target.manager) {
            *taken = taken.saturating_sub(1);
        }
    }

    /// Remembers a member whose attempt failed: it may stop the others of its cluster.
    pub(super) fn mind(&mut self, record: &Arc<TargetRecord>) {
        if (record.setback.is_some() || record.quarantine.is_some()) && record.standing() == Standing::Managed {
            self.failed.insert(Member(Arc::clone(record)));
        }
    }

    /// The member whose failure stops the others of the candidate's cluster, if the policy says so.
    pub(super) fn stopped_by(&self, candidate: &Candidate<'_>) -> Option<&TargetRecord> {
        // Whoever failed itself may try again, or two that failed would wait for each other.
        let stops = candidate.policy.stop_cluster_on_failure && candidate.record.setback.is_none();
        let failed = if stops { self.failed.get(&Member(Arc::clone(candidate.record))) } else { None };
        failed.map(|member| &*member.0)
    }

    /// The member of its cluster that is being rotated.
    pub(super) fn member_of(&self, record: &Arc<TargetRecord>) -> Option<&TargetRecord> {
        self.clusters.get_key_value(&Member(Arc::clone(record))).map(|(member, _)| &*member.0)
    }

    /// Whether the manager allows no more.
    pub(super) fn are_full(&self, name: &ManagerName, manager: &ManagerRules) -> bool {
        self.managers.get(name).is_some_and(|taken| *taken >= manager.max_concurrent)
    }

    /// Why there is no place for the candidate now; none if there is one.
    pub(super) fn refusal(&self, candidate: &Candidate<'_>) -> Option<WaitReason> {
        if let Some(member) = self.member_of(candidate.record) {
            return Some(WaitReason::MemberFirst { member: member.target.name() });
        }
        if let Some(failed) = self.stopped_by(candidate) {
            return Some(WaitReason::MemberFailed { member: failed.target.name() });
        }
        let limit = candidate.manager.max_concurrent;
        self.are_full(&candidate.record.target.manager, candidate.manager).then_some(WaitReason::ManagerFull { limit })
    }
}
