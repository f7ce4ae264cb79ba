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
/// speaks against a target: then the first GET of its key tells. Where the `backups_lack` some, of which nobody knows whose they
/// are, nothing is said of clusters that no other backup belongs to.
pub(super) fn read(
    manager: &ManagerName,
    project: &Project,
    clusters: &[Cluster],
    backups: Option<&[BackupConfig]>,
    backups_lack: bool,
) -> (Vec<Sighting>, Vec<Gap>) {
    let sharded: HashMap<String, &Cluster> = clusters
        .iter()
        .filter(|cluster| matches!(Kind::of(cluster), Kind::Sharded))
        .map(|cluster| (cluster_name(cluster), cluster))
        .collect();
    let backups = backups.map(|backups| Backups::new(backups, &sharded, backups_lack));
    let sightings = clusters.iter().filter_map(|cluster| {
        let name = cluster_name(cluster);
        let backup = || backups.as_ref().map_or(Some(Listing::Eligible), |backups| backups.listing(cluster, &name));
        let (role, listing) = match Kind::of(cluster) {
            Kind::Sharded => return None,
            Kind::ConfigServer => (Role::ConfigServer, backup()?),
            Kind::ReplicaSet if is_shard(cluster) || sharded.contains_key(&name) => (Role::Shard, backup()?),
            Kind::ReplicaSet => (Role::ReplicaSet, backup()?),
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
    /// Whether there are others, of clusters unknown.
    lack: bool,
}

impl<'a> Backups<'a> {
    fn new(backups: &'a [BackupConfig], sharded: &HashMap<String, &Cluster>, lack: bool) -> Self {
        let by_id: HashMap<_, _> = backups.iter().filter_map(|backup| Some((backup.id()?, backup))).collect();
        let by_cluster =
            sharded.iter().filter_map(|(name, cluster)| Some((name.clone(), *by_id.get(cluster.id()?)?))).collect();
        Self { by_id, by_cluster, lack }
    }

    /// None where nothing can be said.
    fn listing(&self, cluster: &Cluster, name: &str) -> Option<Listing> {
        let own = cluster.id().and_then(|id| self.by_id.get(id));
        let Some(backup) = own.or_else(|| self.by_cluster.get(name)) else {
            return (!self.lack).then_some(Listing::NoBackup);
        };
        Some(match (first_name([backup.status_name.as_deref()]), backup.encryption_enabled) {
            (Some(status), _) if status != "STARTED" => Listing::BackupNotStarted { status },
            (_, Some(false)) => Listing::NotEncrypted,
            (_, Some(true) | None) => Listing::Eligible,
        })
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
pub(super) fn first_name<'a>(names: impl IntoIterator<Item = Option<&'a str>>) -> Option<String> {
    names.into_iter().flatten().find_map(|name| {
        let plain: String = name.trim().chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect();
        (!plain.is_empty()).then_some(plain)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read_json(clusters: &Value, backups: Option<&Value>) -> (Vec<Sighting>, Vec<Gap>) {
        let clusters: Vec<Cluster> = serde_json::from_value(clusters.clone()).unwrap();
        let backups: Option<Vec<BackupConfig>> =
            backups.map(|backups| serde_json::from_value(backups.clone()).unwrap());
        read(&"emea".into(), &Project::new("p1", Some("billing")), &clusters, backups.as_deref(), false)
    }

    /// A sharded cluster of two shards as the operator's test fixtures show it (mongodb-kubernetes,
    /// `mongodbresource_backup.go`: four entries, one of them the cluster itself), and a replica set.
    fn fleet() -> Value {
        json!([
            {"id": "a0", "typeName": "SHARDED_REPLICA_SET", "clusterName": "ledger", "shardName": "ledger-0"},
            {"id": "a1", "typeName": "REPLICA_SET", "clusterName": "ledger", "shardName": "ledger-0",
             "replicaSetName": "ledger-0", "lastHeartbeat": "2026-05-01T06:00:11Z", "links": []},
            {"id": "a2", "typeName": "REPLICA_SET", "clusterName": "ledger", "shardName": "ledger-1",
             "replicaSetName": "ledger-1"},
            {"id": "a3", "typeName": "CONFIG_SERVER_REPLICA_SET", "clusterName": "ledger",
             "replicaSetName": "ledger-config"},
            {"id": "b1", "typeName": "REPLICA_SET", "clusterName": "audit", "replicaSetName": "audit"},
        ])
    }

    fn summary(sightings: &[Sighting]) -> Vec<(String, Role, Listing)> {
        sightings.iter().map(|s| (s.target.name().to_string(), s.target.role, s.listing.clone())).collect()
    }

    #[test]
    fn every_member_is_a_target_and_the_cluster_is_not() {
        let (sightings, gaps) = read_json(&fleet(), None);
        let expected = [
            ("emea/billing/ledger/ledger-0", Role::Shard),
            ("emea/billing/ledger/ledger-1", Role::Shard),
            ("emea/billing/ledger/ledger-config", Role::ConfigServer),
            ("emea/billing/audit/audit", Role::ReplicaSet),
        ];
        let expected = expected.map(|(name, role)| (name.to_owned(), role, Listing::Eligible));
        assert_eq!(summary(&sightings), expected);
        assert_eq!(gaps, []);
    }

    #[test]
    fn a_sharded_cluster_without_config_servers_is_a_gap() {
        let without_config: Vec<Value> =
            fleet().as_array().unwrap().iter().filter(|c| c["id"] != "a3").cloned().collect();
        let without_parent: Vec<Value> = without_config.iter().filter(|c| c["id"] != "a0").cloned().collect();
        for clusters in [without_config, without_parent] {
            let (_, gaps) = read_json(&clusters.into(), None);
            let gap = Gap { project_id: "p1".into(), project: "billing".into(), cluster: "ledger".into() };
            assert_eq!(gaps, [gap]);
        }
    }

    #[test]
    fn config_servers_that_hold_data_are_config_servers() {
        // MongoDB 8.0: "CONFIG_SHARD_REPLICA_SET" among the type names of a snapshot's parts.
        let (sightings, gaps) = read_json(
            &json!([
                {"id": "a0", "typeName": "SHARDED_REPLICA_SET", "clusterName": "c"},
                {"id": "a1", "typeName": "CONFIG_SHARD_REPLICA_SET", "clusterName": "c", "replicaSetName": "cs"},
            ]),
            None,
        );
        assert_eq!(sightings[0].target.role, Role::ConfigServer);
        assert_eq!(gaps, []);
    }

    /// The states are those of the page "Get All Backup Configurations for One Project".
    #[test]
    fn the_backup_decides_whether_a_target_is_eligible() {
        let cluster =
            json!([{"id": "b1", "typeName": "REPLICA_SET", "clusterName": "audit", "replicaSetName": "audit"}]);
        let stopped = |status: &str| Listing::BackupNotStarted { status: status.to_owned() };
        for (backups, listing) in [
            (json!([]), Listing::NoBackup),
            (json!([{"clusterId": "other", "statusName": "STARTED"}]), Listing::NoBackup),
            (json!([{"clusterId": "b1", "statusName": "STARTED", "encryptionEnabled": true}]), Listing::Eligible),
            (json!([{"clusterId": "b1", "statusName": "STARTED", "encryptionEnabled": null}]), Listing::Eligible),
            (json!([{"clusterId": "b1", "statusName": "STARTED"}]), Listing::Eligible),
            (json!([{"clusterId": "b1"}]), Listing::Eligible),
            (json!([{"clusterId": "b1", "statusName": "STARTED", "encryptionEnabled": false}]), Listing::NotEncrypted),
            (json!([{"clusterId": "b1", "statusName": "INACTIVE", "encryptionEnabled": false}]), stopped("INACTIVE")),
            (json!([{"clusterId": "b1", "statusName": "PROVISIONING"}]), stopped("PROVISIONING")),
        ] {
            let (sightings, _) = read_json(&cluster, Some(&backups));
            assert_eq!(sightings[0].listing, listing, "{backups}");
        }
    }

    #[test]
    fn the_backup_of_a_sharded_cluster_stands_for_members_without_one() {
        let backups = json!([
            {"clusterId": "a0", "statusName": "STARTED", "encryptionEnabled": true},
            {"clusterId": "a2", "statusName": "STOPPED"},
        ]);
        let listings: Vec<_> = read_json(&fleet(), Some(&backups)).0.into_iter().map(|s| s.listing).collect();
        let stopped = Listing::BackupNotStarted { status: "STOPPED".to_owned() };
        assert_eq!(listings, [Listing::Eligible, stopped, Listing::Eligible, Listing::NoBackup]);
    }

    #[test]
    fn what_is_not_known_is_shown_and_left_alone() {
        let clusters = json!([
            {"id": "x1", "typeName": "MASTER_SLAVE", "clusterName": "old"},
            {"id": "x2", "clusterName": "odd"},
        ]);
        let (sightings, gaps) = read_json(&clusters, None);
        let unknown = |name: &str| Listing::UnknownType { type_name: name.to_owned() };
        let listings: Vec<_> = sightings.into_iter().map(|s| s.listing).collect();
        assert_eq!(listings, [unknown("MASTER_SLAVE"), unknown("without a name")]);
        assert_eq!(gaps, []);
    }

    #[test]
    fn names_fall_back_to_what_is_there() {
        for (entry, name) in [
            (json!({"id": "i", "replicaSetName": "rs"}), "emea/billing/rs/rs"),
            (json!({"id": "i", "clusterName": "c", "shardName": "s"}), "emea/billing/c/s"),
            (json!({"id": "i", "clusterName": "c", "replicaSetName": ""}), "emea/billing/c/c"),
            (json!({"id": "i", "clusterName": "c\u{1b}[2J\n", "replicaSetName": " rs "}), "emea/billing/c[2J/rs"),
            (json!({"id": "i"}), "emea/billing/i/i"),
        ] {
            let mut entry = entry;
            entry["typeName"] = "REPLICA_SET".into();
            assert_eq!(summary(&read_json(&json!([entry]), None).0)[0].0, name);
        }
    }
}
