//! What the make-believe Ops Manager manages: projects, clusters, and how each is backed up.
//!
//! Only the description. Ids and the entries that the API lists are made from it in `layout`.

/// All that the simulator knows of. [`FleetSpec::default`] is the fleet of the demonstration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetSpec {
    /// In the order in which `GET /groups` lists them.
    pub projects: Vec<ProjectSpec>,
}

/// One project ("group" in the URLs).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectSpec {
    /// The name that the API shows.
    pub name: String,
    /// The name it was born with, from which its id is made; a rename keeps it.
    pub origin: String,
    /// In the order in which the API lists them.
    pub clusters: Vec<ClusterSpec>,
}

/// One cluster: a replica set, or a sharded cluster with all its members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSpec {
    /// The name that the API shows.
    pub name: String,
    /// The name it was born with, from which its ids are made; a rename keeps it.
    pub origin: String,
    /// What it is made of.
    pub topology: Topology,
    /// How it is backed up. Holds for all its members.
    pub backup: Backup,
}

/// What a cluster is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topology {
    /// One replica set of the cluster's own name.
    ReplicaSet,
    /// A parent entry and shards called `NAME-0`, `NAME-1` and so on.
    Sharded {
        /// How many.
        shards: u32,
        /// Where its metadata lives.
        config_server: ConfigServer,
    },
    /// Listed with a `typeName` that no client has heard of.
    Unrecognised {
        /// That type name.
        type_name: String,
    },
}

/// How a sharded cluster's config servers appear in the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigServer {
    /// An entry of its own, `CONFIG_SERVER_REPLICA_SET`, called `NAME-config`.
    Dedicated,
    /// The first shard is the config server too: `CONFIG_SHARD_REPLICA_SET`, as MongoDB 8 can do.
    Embedded,
    /// Not listed at all, which the documentation's own sample shows.
    Missing,
}

/// How a cluster is backed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// Where the backup stands.
    pub status: BackupStatus,
    /// Whether the head databases are encrypted.
    pub encryption_enabled: bool,
    /// Whose setting decides about the keys.
    pub governed_by: Governance,
}

/// The `statusName` of a backup configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupStatus {
    /// Never started.
    Inactive,
    /// Being set up.
    Provisioning,
    /// Running: the only state in which there is a master key.
    Started,
    /// Stopped by an operator.
    Stopped,
    /// Being removed.
    Terminating,
}

impl BackupStatus {
    /// As the API spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inactive => "INACTIVE",
            Self::Provisioning => "PROVISIONING",
            Self::Started => "STARTED",
            Self::Stopped => "STOPPED",
            Self::Terminating => "TERMINATING",
        }
    }
}

/// Whose setting decides about a backup's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Governance {
    /// The backup's own master key, which `encryptionKey` reads and rotates (FCV 4.0 and earlier).
    BackupKey,
    /// The deployment's encryption setting (FCV 4.2 and later): `encryptionKey` refuses.
    Deployment,
}

impl FleetSpec {
    /// No projects yet.
    pub fn empty() -> Self {
        Self { projects: Vec::new() }
    }

    /// Adds a project.
    #[must_use]
    pub fn project(mut self, project: ProjectSpec) -> Self {
        self.projects.push(project);
        self
    }

    /// `targets` stand-alone replica sets, alike, no more than 200 to a project: for load tests.
    pub fn uniform(targets: usize) -> Self {
        const PER_PROJECT: usize = 200;
        let numbers: Vec<usize> = (1..=targets).collect();
        let projects = numbers.chunks(PER_PROJECT).zip(1..);
        Self {
            projects: projects
                .map(|(members, number)| {
                    members.iter().fold(ProjectSpec::new(format!("load-{number:03}")), |p, n| {
                        p.cluster(ClusterSpec::replica_set(format!("rs-{n:05}")))
                    })
                })
                .collect(),
        }
    }
}

impl Default for FleetSpec {
    /// Three projects with fourteen targets that can be rotated and two that cannot, each for its own reason.
    fn default() -> Self {
        let billing = ProjectSpec::new("billing")
            .cluster(ClusterSpec::sharded("ledger", 3))
            .cluster(ClusterSpec::replica_set("invoices"))
            .cluster(ClusterSpec::replica_set("payments"))
            .cluster(ClusterSpec::replica_set("refunds"));
        let identity = ProjectSpec::new("identity")
            .cluster(ClusterSpec::replica_set("accounts"))
            .cluster(ClusterSpec::replica_set("sessions"))
            .cluster(ClusterSpec::replica_set("tokens"))
            .cluster(ClusterSpec::replica_set("sandbox").status(BackupStatus::Inactive));
        let analytics = ProjectSpec::new("analytics")
            .cluster(ClusterSpec::sharded("events", 2))
            .cluster(ClusterSpec::replica_set("reports"))
            .cluster(ClusterSpec::replica_set("warehouse").governed_by_deployment());
        Self::empty().project(billing).project(identity).project(analytics)
    }
}

impl ProjectSpec {
    /// An empty project.
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        Self { origin: name.clone(), name, clusters: Vec::new() }
    }

    /// Adds a cluster.
    #[must_use]
    pub fn cluster(mut self, cluster: ClusterSpec) -> Self {
        self.clusters.push(cluster);
        self
    }

    /// Another name, the same id.
    #[must_use]
    pub fn renamed(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

impl ClusterSpec {
    /// A stand-alone replica set with a started, encrypted backup.
    pub fn replica_set(name: impl Into<String>) -> Self {
        Self::new(name.into(), Topology::ReplicaSet)
    }

    /// A sharded cluster with a config server entry of its own and started, encrypted backups.
    pub fn sharded(name: impl Into<String>, shards: u32) -> Self {
        let config_server = ConfigServer::Dedicated;
        Self::new(name.into(), Topology::Sharded { shards, config_server })
    }

    /// A cluster whose `typeName` is `type_name`.
    pub fn unrecognised(name: impl Into<String>, type_name: impl Into<String>) -> Self {
        let type_name = type_name.into();
        Self::new(name.into(), Topology::Unrecognised { type_name })
    }

    fn new(name: String, topology: Topology) -> Self {
        Self {
            origin: name.clone(),
            name,
            topology,
            backup: Backup {
                status: BackupStatus::Started,
                encryption_enabled: true,
                governed_by: Governance::BackupKey,
            },
        }
    }

    /// Changes how the config servers appear. Says nothing about a cluster that is not sharded.
    #[must_use]
    pub fn config_server(mut self, how: ConfigServer) -> Self {
        if let Topology::Sharded { config_server, .. } = &mut self.topology {
            *config_server = how;
        }
        self
    }

    /// Sets where the backup stands.
    #[must_use]
    pub fn status(mut self, status: BackupStatus) -> Self {
        self.backup.status = status;
        self
    }

    /// Backed up without encryption.
    #[must_use]
    pub fn unencrypted(mut self) -> Self {
        self.backup.encryption_enabled = false;
        self
    }

    /// At FCV 4.2 or later: the backup has no master key of its own.
    #[must_use]
    pub fn governed_by_deployment(mut self) -> Self {
        self.backup.governed_by = Governance::Deployment;
        self
    }

    /// Another name, the same ids.
    #[must_use]
    pub fn renamed(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}
