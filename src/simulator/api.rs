//! The documents of the API, and the refusals that go with them. Keys are read and rotated in `deed`.

use std::fmt;

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::access::{AccessSpec, ORGANIZATION};
use super::fleet::{BackupStatus, Governance};
use super::layout::{Entry, Layout, Project};
use super::reply::{ApiError, Query, Reply, add, link};
use super::resource::{BASE, Document};

/// The beginning of every `agentApiKey`. The real field is a secret that no client of ours needs: a test can look
/// for this text in everything that the client wrote.
pub const AGENT_API_KEY_PREFIX: &str = "make-believe-agent-key-";

/// The settings that documents depend on.
pub(super) struct View<'a> {
    pub(super) layout: &'a Layout,
    pub(super) query: &'a Query,
    /// Scheme, host and port: what links begin with.
    pub(super) url: &'a str,
    pub(super) page_cap: usize,
    pub(super) now: Timestamp,
    pub(super) access: &'a AccessSpec,
    /// The public key that logged in.
    pub(super) caller: &'a str,
}

impl View<'_> {
    /// Answers a GET of a document.
    pub(super) fn show(&self, document: &Document) -> Result<Reply, ApiError> {
        let layout = self.layout;
        match document {
            Document::Root => Ok(Reply::ok(self.root())),
            Document::Projects => {
                let url = self.href("/groups");
                let show = |project: &Project| self.project(project);
                Ok(self.query.page(&layout.projects, &url, self.page_cap, show))
            }
            Document::ProjectByName(name) => {
                let mut projects = layout.projects.iter();
                let found = projects.find(|project| project.name == *name);
                let project = found.ok_or_else(|| no_project(name))?;
                Ok(Reply::ok(self.project(project)))
            }
            Document::Project(p) => Ok(Reply::ok(self.project(find_project(layout, p)?))),
            Document::Clusters(p) => {
                let project = find_project(layout, p)?;
                let url = self.href(format_args!("/groups/{p}/clusters"));
                let show = |entry: &Entry| self.cluster(project, entry);
                Ok(self.query.page(&project.entries, &url, self.page_cap, show))
            }
            Document::Cluster(p, c) => {
                let (project, entry) = find(layout, p, c)?;
                Ok(Reply::ok(self.cluster(project, entry)))
            }
            Document::BackupConfigs(p) => {
                let project = find_project(layout, p)?;
                let url = self.href(format_args!("/groups/{p}/backupConfigs"));
                let show = |entry: &Entry| self.backup_config(project, entry);
                Ok(self.query.page(&project.entries, &url, self.page_cap, show))
            }
            Document::BackupConfig(p, c) => {
                let (project, entry) = find(layout, p, c)?;
                Ok(Reply::ok(self.backup_config(project, entry)))
            }
            Document::GlobalKeys => self.global_keys(),
            Document::GlobalAccessList => self.global_access_list(),
            Document::OrganizationKeys(o) => self.organization_keys(o),
            Document::AccessList(o, k) => self.access_list(o, k),
            Document::ProjectKeys(p) => self.project_keys(p),
        }
    }

    pub(super) fn href(&self, path: impl fmt::Display) -> String {
        format!("{}{BASE}{path}", self.url)
    }

    fn root(&self) -> Value {
        json!({
            "appName": "MongoDB Ops Manager",
            "build": "0000000000000000000000000000000000000000",
            "throttling": false,
            "links": [
                link("self", &self.href("/")),
                link("http://mms.mongodb.com/groups", &self.href("/groups")),
            ],
        })
    }

    fn project(&self, project: &Project) -> Value {
        let id = &project.id;
        let members = project.entries.iter().filter(|entry| !entry.is_parent());
        let shards = members.clone().filter(|entry| entry.shard.is_some());
        json!({
            "id": id,
            "name": project.name,
            "orgId": ORGANIZATION,
            "hostCounts": {"arbiter": 0, "config": 0, "master": 0, "mongos": 0, "primary": 0, "secondary": 0, "slave": 0},
            "replicaSetCount": members.count(),
            "shardCount": shards.count(),
            "activeAgentCount": 1,
            "lastActiveAgent": self.moment(),
            "publicApiEnabled": true,
            "agentApiKey": format!("{AGENT_API_KEY_PREFIX}{id}"),
            "ldapGroupMappings": [],
            "tags": [],
            "links": [
                link("self", &self.href(format_args!("/groups/{id}"))),
                link("http://mms.mongodb.com/clusters", &self.href(format_args!("/groups/{id}/clusters"))),
            ],
        })
    }

    fn cluster(&self, project: &Project, entry: &Entry) -> Value {
        let (p, id) = (&project.id, &entry.id);
        let mut document = json!({
            "id": id,
            "groupId": p,
            "typeName": entry.type_name,
            "clusterName": entry.cluster,
            "lastHeartbeat": self.moment(),
            "links": [
                link("self", &self.href(format_args!("/groups/{p}/clusters/{id}"))),
                link("http://mms.mongodb.com/group", &self.href(format_args!("/groups/{p}"))),
            ],
        });
        for (field, value) in [("shardName", &entry.shard), ("replicaSetName", &entry.replica_set)] {
            if let Some(value) = value {
                add(&mut document, field, value.as_str());
            }
        }
        document
    }

    fn backup_config(&self, project: &Project, entry: &Entry) -> Value {
        let (p, id, backup) = (&project.id, &entry.id, &entry.backup);
        let mut document = json!({
            "groupId": p,
            "clusterId": id,
            "statusName": backup.status.name(),
            "authMechanismName": "NONE",
            "encryptionEnabled": backup.encryption_enabled,
            "sslEnabled": false,
            "excludedNamespaces": [],
            "links": [
                link("self", &self.href(format_args!("/groups/{p}/backupConfigs/{id}"))),
                link("http://mms.mongodb.com/cluster", &self.href(format_args!("/groups/{p}/clusters/{id}"))),
                link("http://mms.mongodb.com/group", &self.href(format_args!("/groups/{p}"))),
            ],
        });
        // Seen on real servers: an inactive configuration has no storage engine.
        if backup.status != BackupStatus::Inactive {
            add(&mut document, "storageEngineName", "WIRED_TIGER");
        }
        document
    }

    /// What a GET of `encryptionKey` shows. `key` is absent when the backup is not encrypted.
    pub(super) fn key(&self, p: &str, c: &str, key: Option<&str>) -> Value {
        let mut document = json!({
            "groupId": p,
            "clusterId": c,
            "links": [
                link("self", &self.href(format_args!("/groups/{p}/backupConfigs/{c}/encryptionKey"))),
                link("http://mms.mongodb.com/cluster", &self.href(format_args!("/groups/{p}/clusters/{c}"))),
                link("http://mms.mongodb.com/group", &self.href(format_args!("/groups/{p}"))),
            ],
        });
        if let Some(key) = key {
            add(&mut document, "encryptionKeyUUID", key);
        }
        document
    }

    /// To the second, in UTC, as the API writes times.
    pub(super) fn moment(&self) -> String {
        self.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

/// Why this entry's key can be neither shown nor changed, if so.
///
/// The two codes about deployments were seen on a real server; their HTTP status was not recorded, so it is a
/// setting. What a server says about a parent's id or an idle backup is nowhere written: a conflict is our guess.
pub(super) fn key_refusal(entry: &Entry, put: bool, disabled: StatusCode) -> Option<ApiError> {
    let id = entry.id.as_str();
    let (status, code, detail) = if entry.is_parent() {
        let detail = "has no master key of its own: use the IDs of its shards and config servers";
        (StatusCode::CONFLICT, "CANNOT_GET_BACKUP_CONFIG_INVALID_STATE", detail)
    } else if entry.backup.status != BackupStatus::Started {
        let code = "CANNOT_GET_BACKUP_CONFIG_INVALID_STATE";
        (StatusCode::CONFLICT, code, "is not being backed up")
    } else if put && (!entry.backup.encryption_enabled || entry.backup.governed_by == Governance::Deployment) {
        let code = "CANNOT_ROTATE_KEY_ENCRYPTION_DISABLED";
        (disabled, code, "does not have encryption enabled")
    } else if entry.backup.governed_by == Governance::Deployment {
        let code = "GET_ENCRYPTION_KEY_DISABLED_FOR_WT_CHECKPOINTS";
        let detail = "is backed up by WiredTiger checkpoints, which have no encryption key here";
        (disabled, code, detail)
    } else {
        return None;
    };
    Some(ApiError::new(status, code, format!("Cluster {id} {detail}.")).with(&[id]))
}

pub(super) fn find_project<'a>(layout: &'a Layout, id: &str) -> Result<&'a Project, ApiError> {
    if !well_formed(id) {
        let detail = format!("An invalid project ID {id} was specified.");
        return Err(ApiError::new(StatusCode::NOT_FOUND, "INVALID_GROUP_ID", detail).with(&[id]));
    }
    layout.project(id).ok_or_else(|| no_project(id))
}

fn no_project(which: &str) -> ApiError {
    let detail = format!("No project {which} exists.");
    ApiError::new(StatusCode::NOT_FOUND, "GROUP_NOT_FOUND", detail).with(&[which])
}

/// The entry, with all the ways in which it may not be found.
pub(super) fn find<'a>(layout: &'a Layout, project: &str, cluster: &str) -> Result<(&'a Project, &'a Entry), ApiError> {
    let found = find_project(layout, project)?;
    if !well_formed(cluster) {
        let detail = format!("An invalid cluster ID {cluster} was specified.");
        let error = ApiError::new(StatusCode::NOT_FOUND, "INVALID_CLUSTER_ID", detail);
        return Err(error.with(&[cluster]));
    }
    let entry = found.entry(cluster);
    let entry = entry.ok_or_else(|| no_cluster(project, cluster))?;
    Ok((found, entry))
}

pub(super) fn no_cluster(project: &str, cluster: &str) -> ApiError {
    let detail = format!("No cluster with ID {cluster} exists in group {project}.");
    ApiError::new(StatusCode::NOT_FOUND, "CLUSTER_NOT_FOUND", detail).with(&[cluster, project])
}

pub(super) fn well_formed(id: &str) -> bool {
    id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}
