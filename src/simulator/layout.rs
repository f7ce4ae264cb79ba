//! The fleet as the API lists it: every entry with its id, found by id in one step.
//!
//! Made once from a [`FleetSpec`] and then only read. Keys are not here: they outlive a layout.

use std::collections::HashMap;
use std::fmt::Write;

use md5::{Digest, Md5};

use super::fleet::{Backup, ClusterSpec, ConfigServer, FleetSpec, Topology};

#[derive(Debug)]
pub(super) struct Layout {
    pub(super) projects: Vec<Project>,
    by_id: HashMap<String, usize>,
}

#[derive(Debug)]
pub(super) struct Project {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) entries: Vec<Entry>,
    by_id: HashMap<String, usize>,
}

/// One row of `GET /groups/{id}/clusters`.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    pub(super) type_name: String,
    pub(super) cluster: String,
    pub(super) shard: Option<String>,
    /// Absent for the parent of a sharded cluster, which has no master key either.
    pub(super) replica_set: Option<String>,
    /// `project/cluster/replica-set`, without the last part for a parent.
    pub(super) name: String,
    pub(super) backup: Backup,
}

impl Entry {
    pub(super) fn is_parent(&self) -> bool {
        self.replica_set.is_none()
    }
}

impl Layout {
    pub(super) fn new(fleet: &FleetSpec) -> Self {
        let projects: Vec<Project> = fleet
            .projects
            .iter()
            .map(|spec| {
                let entries: Vec<Entry> =
                    spec.clusters.iter().flat_map(|cluster| entries_of(&spec.origin, &spec.name, cluster)).collect();
                Project {
                    id: id_of(&[&spec.origin]),
                    name: spec.name.clone(),
                    by_id: index(&entries, |entry| &entry.id),
                    entries,
                }
            })
            .collect();
        Self { by_id: index(&projects, |project| &project.id), projects }
    }

    pub(super) fn project(&self, id: &str) -> Option<&Project> {
        self.projects.get(*self.by_id.get(id)?)
    }

    /// Every entry of the fleet with its project.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&Project, &Entry)> {
        self.projects.iter().flat_map(|project| project.entries.iter().map(move |entry| (project, entry)))
    }
}

impl Project {
    pub(super) fn entry(&self, id: &str) -> Option<&Entry> {
        self.entries.get(*self.by_id.get(id)?)
    }
}

fn index<T>(items: &[T], id: impl Fn(&T) -> &String) -> HashMap<String, usize> {
    let numbered = items.iter().enumerate();
    numbered.map(|(n, item)| (id(item).clone(), n)).collect()
}

/// The entries of one cluster, the parent first, as real lists have them.
fn entries_of(project_origin: &str, project: &str, spec: &ClusterSpec) -> Vec<Entry> {
    let entry = |type_name: &str, part: &str, shard: Option<&str>, replica_set: Option<&str>| {
        let cluster = &spec.name;
        Entry {
            id: id_of(&[project_origin, &spec.origin, part]),
            type_name: type_name.to_owned(),
            cluster: cluster.clone(),
            shard: shard.map(str::to_owned),
            replica_set: replica_set.map(str::to_owned),
            name: match replica_set {
                Some(set) => format!("{project}/{cluster}/{set}"),
                None => format!("{project}/{cluster}"),
            },
            backup: spec.backup.clone(),
        }
    };
    // A replica set's name is set when it is born: renaming the cluster does not change it.
    let origin = &spec.origin;
    match &spec.topology {
        Topology::ReplicaSet => vec![entry("REPLICA_SET", "set", None, Some(origin))],
        Topology::Unrecognised { type_name } => {
            vec![entry(type_name, "set", None, Some(origin))]
        }
        Topology::Sharded { shards, config_server } => {
            let first = format!("{origin}-0");
            let mut all = vec![entry("SHARDED_REPLICA_SET", "parent", Some(&first), None)];
            for number in 0..*shards {
                let name = format!("{origin}-{number}");
                let type_name = match config_server {
                    ConfigServer::Embedded if number == 0 => "CONFIG_SHARD_REPLICA_SET",
                    ConfigServer::Embedded | ConfigServer::Dedicated | ConfigServer::Missing => "REPLICA_SET",
                };
                let part = format!("shard-{number}");
                all.push(entry(type_name, &part, Some(&name), Some(&name)));
            }
            if *config_server == ConfigServer::Dedicated {
                let name = format!("{origin}-config");
                let type_name = "CONFIG_SERVER_REPLICA_SET";
                all.push(entry(type_name, "config", None, Some(&name)));
            }
            all
        }
    }
}

/// 24 hexadecimal digits that depend on the names alone: a fleet that grows keeps the ids it had.
fn id_of(path: &[&str]) -> String {
    let digest = Md5::digest(path.join("/"));
    digest.iter().take(12).fold(String::new(), |mut id, byte| {
        write!(id, "{byte:02x}").expect("writing to a String cannot fail");
        id
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::simulator::ProjectSpec;

    fn shape(fleet: &FleetSpec) -> Vec<(String, String)> {
        let layout = Layout::new(fleet);
        let rows = layout.entries();
        rows.map(|(_, e)| (e.name.clone(), e.type_name.clone())).collect()
    }

    fn one(cluster: ClusterSpec) -> FleetSpec {
        FleetSpec::empty().project(ProjectSpec::new("p").cluster(cluster))
    }

    /// A sharded cluster of n shards has n + 2 entries, and the two other forms of config server differ as real ones.
    #[test]
    fn sharded_clusters_are_listed_as_real_servers_list_them() {
        let rows = shape(&one(ClusterSpec::sharded("ledger", 2)));
        let rows: Vec<_> = rows.iter().map(|(n, t)| (n.as_str(), t.as_str())).collect();
        assert_eq!(
            rows,
            [
                ("p/ledger", "SHARDED_REPLICA_SET"),
                ("p/ledger/ledger-0", "REPLICA_SET"),
                ("p/ledger/ledger-1", "REPLICA_SET"),
                ("p/ledger/ledger-config", "CONFIG_SERVER_REPLICA_SET"),
            ]
        );
        let embedded = ClusterSpec::sharded("ledger", 2).config_server(ConfigServer::Embedded);
        assert_eq!(shape(&one(embedded))[1].1, "CONFIG_SHARD_REPLICA_SET");
        let missing = ClusterSpec::sharded("ledger", 2).config_server(ConfigServer::Missing);
        assert_eq!(shape(&one(missing)).len(), 3);
    }

    /// Ids are 24 hexadecimal digits, all different, and a rename changes none of them.
    #[test]
    fn ids_are_well_formed_unique_and_survive_a_rename() {
        let layout = Layout::new(&FleetSpec::uniform(1_000));
        let ids: HashSet<_> = layout.entries().map(|(_, e)| e.id.clone()).collect();
        assert_eq!(ids.len(), 1_000);
        assert_eq!(layout.projects.len(), 5);
        let well_formed = |id: &String| id.len() == 24 && id.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(ids.iter().all(well_formed));

        let before = Layout::new(&one(ClusterSpec::sharded("ledger", 1)));
        let after = Layout::new(&one(ClusterSpec::sharded("ledger", 1).renamed("books")));
        let ids = |layout: &Layout| -> Vec<String> { layout.entries().map(|(_, e)| e.id.clone()).collect() };
        assert_eq!(ids(&before), ids(&after));
        assert_eq!(after.projects[0].entries[1].name, "p/books/ledger-0");
    }

    /// The demonstration promises at least a dozen targets, and one of each kind that is not managed.
    #[test]
    fn the_default_fleet_shows_both_sorts() {
        use super::super::fleet::{BackupStatus, Governance};
        let layout = Layout::new(&FleetSpec::default());
        let rotatable = layout.entries().filter(|(_, entry)| {
            !entry.is_parent()
                && entry.backup.status == BackupStatus::Started
                && entry.backup.governed_by == Governance::BackupKey
        });
        assert_eq!(rotatable.count(), 14);
    }
}
