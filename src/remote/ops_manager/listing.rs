//! What a project's clusters and backups say about its targets.
//!
//! A replica set has a key of its own; a sharded cluster has one for each shard and one for its config servers. The
//! entry of a sharded cluster itself is a label that its members are found by (they carry its name), never a target.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::wire::{BackupConfig, Cluster, Identified};
use crate::domain::{ClusterId, Gap, Listing, ManagerName, Mechanism, ProjectId, Role, Sighting, Target};

/// Longest name that is kept, in characters.
const LONGEST_NAME: usize = 256;

/// A project that the key can see.
pub(super) struct Project {
    pub(super) id: ProjectId,
    pub(super) name: String,
}

impl Project {
    pub(super) fn new(id: &str, name: Option<&str>) -> Self {
        Self { id: id.into(), name: first_name([name]).unwrap_or_else(|| id.to_owned()) }
    }
}

/// What Ops Manager calls a cluster entry.
enum Kind {
    /// A sharded cluster as a whole.
    Sharded,
    ReplicaSet,
    ConfigServer,
    Unknown,
}

impl Kind {
    fn of(cluster: &Cluster) -> Self {
        match cluster.type_name.as_deref() {
            Some("SHARDED_REPLICA_SET" | "SHARDED") => Self::Sharded,
            Some("REPLICA_SET") => Self::ReplicaSet,
            // The second: config servers that hold data as well, from MongoDB 8.0 on.
            Some("CONFIG_SERVER_REPLICA_SET" | "CONFIG_SHARD_REPLICA_SET") => Self::ConfigServer,
            Some(_) | None => Self::Unknown,
        }
    }
}

/// Joins one project's clusters with its backups. Without `backups`, which a key may lack the role to list, nothing
/// speaks against a target: then the first GET of its key tells.
pub(super) fn read(
    manager: &ManagerName,
    project: &Project,
    clusters: &[Cluster],
    backups: Option<&[BackupConfig]>,
) -> (Vec<Sighting>, Vec<Gap>) {
    let sharded: HashMap<String, &Cluster> = clusters
        .iter()
        .filter(|cluster| matches!(Kind::of(cluster), Kind::Sharded))
        .map(|cluster| (cluster_name(cluster), cluster))
        .collect();
    let backups = backups.map(|backups| Backups::new(backups, &sharded));
    let sightings = clusters.iter().filter_map(|cluster| {
        let name = cluster_name(cluster);
        let backup = || backups.as_ref().map_or(Listing::Eligible, |backups| backups.listing(cluster, &name));
        let (role, listing) = match Kind::of(cluster) {
            Kind::Sharded => return None,
            Kind::ConfigServer => (Role::ConfigServer, backup()),
            Kind::ReplicaSet if is_shard(cluster) || sharded.contains_key(&name) => (Role::Shard, backup()),
            Kind::ReplicaSet => (Role::ReplicaSet, backup()),
            Kind::Unknown => {
                let type_name = first_name([cluster.type_name.as_deref()]).unwrap_or_else(|| "without a name".into());
                (Role::ReplicaSet, Listing::UnknownType { type_name })
            }
        };
        let target = Target {
            manager: manager.clone(),
            project_id: project.id.clone(),
            project: project.name.clone(),
            cluster_id: ClusterId::new(cluster.id()?),
            replica_set: replica_set_name(cluster),
            cluster: name,
            role,
            mechanism: Mechanism::BackupKey,
        };
        Some(Sighting { target, listing })
    });
    (sightings.collect(), gaps(project, clusters))
}

/// Sharded clusters, known by their own entry or by a shard, that no config server entry belongs to.
fn gaps(project: &Project, clusters: &[Cluster]) -> Vec<Gap> {
    let complete: HashSet<String> =
        clusters.iter().filter(|cluster| matches!(Kind::of(cluster), Kind::ConfigServer)).map(cluster_name).collect();
    let sharded: BTreeSet<String> = clusters
        .iter()
        .filter(|cluster| match Kind::of(cluster) {
            Kind::Sharded => true,
            Kind::ReplicaSet => is_shard(cluster),
            Kind::ConfigServer | Kind::Unknown => false,
        })
        .map(cluster_name)
        .collect();
    sharded
        .into_iter()
        .filter(|cluster| !complete.contains(cluster))
        .map(|cluster| Gap { project_id: project.id.clone(), project: project.name.clone(), cluster })
        .collect()
}

/// The backup configurations of a project, by cluster.
struct Backups<'a> {
    by_id: HashMap<&'a str, &'a BackupConfig>,
    /// The configuration of a sharded cluster as a whole. It governs its members, where they have no entry of their own.
    by_cluster: HashMap<String, &'a BackupConfig>,
}

impl<'a> Backups<'a> {
    fn new(backups: &'a [BackupConfig], sharded: &HashMap<String, &Cluster>) -> Self {
        let by_id: HashMap<_, _> = backups.iter().filter_map(|backup| Some((backup.id()?, backup))).collect();
        let by_cluster =
            sharded.iter().filter_map(|(name, cluster)| Some((name.clone(), *by_id.get(cluster.id()?)?))).collect();
        Self { by_id, by_cluster }
    }

    fn listing(&self, cluster: &Cluster, name: &str) -> Listing {
        let own = cluster.id().and_then(|id| self.by_id.get(id));
        let Some(backup) = own.or_else(|| self.by_cluster.get(name)) else {
            return Listing::NoBackup;
        };
        match (first_name([backup.status_name.as_deref()]), backup.encryption_enabled) {
            (Some(status), _) if status != "STARTED" => Listing::BackupNotStarted { status },
            (_, Some(false)) => Listing::NotEncrypted,
            (_, Some(true) | None) => Listing::Eligible,
        }
    }
}

fn is_shard(cluster: &Cluster) -> bool {
    first_name([cluster.shard_name.as_deref()]).is_some()
}

/// The name of the deployment: that of the sharded cluster for each of its members.
fn cluster_name(cluster: &Cluster) -> String {
    let Cluster { id, cluster_name, shard_name, replica_set_name, .. } = cluster;
    first_name([cluster_name, replica_set_name, shard_name, id].map(Option::as_deref)).unwrap_or_default()
}

fn replica_set_name(cluster: &Cluster) -> String {
    let Cluster { id, cluster_name, shard_name, replica_set_name, .. } = cluster;
    first_name([replica_set_name, shard_name, cluster_name, id].map(Option::as_deref)).unwrap_or_default()
}

/// The first name that is not empty, fit to be shown on one line.
fn first_name<'a>(names: impl IntoIterator<Item = Option<&'a str>>) -> Option<String> {
    names.into_iter().flatten().find_map(|name| {
        let plain: String = name.trim().chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        (!plain.is_empty()).then_some(plain)
    })
}
