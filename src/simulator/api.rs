//! The resources of the API and what a GET of each shows. Keys are asked for and changed in `exchange`.

use std::fmt;

use hyper::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::fleet::{BackupStatus, Governance};
use super::layout::{Entry, Layout, Project};
use super::reply::{ApiError, Query, Reply, add, link};

/// What all paths begin with.
pub(super) const BASE: &str = "/api/public/v1.0";

/// The beginning of every `agentApiKey`. The real field is a secret that no client of ours needs: a test can look
/// for this text in everything that the client wrote.
pub const AGENT_API_KEY_PREFIX: &str = "make-believe-agent-key-";

#[derive(Debug, Clone)]
pub(super) enum Resource {
    Root,
    Projects,
    Project(String),
    ProjectByName(String),
    Clusters(String),
    Cluster(String, String),
    BackupConfigs(String),
    BackupConfig(String, String),
    EncryptionKey(String, String),
}

impl Resource {
    /// `None`: there is no such resource.
    pub(super) fn of(path: &str) -> Option<Self> {
        let rest = path.strip_prefix(BASE)?;
        let parts: Vec<String> = rest.split('/').filter(|part| !part.is_empty()).map(decode).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let own = str::to_owned;
        Some(match *parts.as_slice() {
            [] => Self::Root,
            ["groups"] => Self::Projects,
            ["groups", "byName", name] => Self::ProjectByName(own(name)),
            ["groups", p] => Self::Project(own(p)),
            ["groups", p, "clusters"] => Self::Clusters(own(p)),
            ["groups", p, "clusters", c] => Self::Cluster(own(p), own(c)),
            ["groups", p, "backupConfigs"] => Self::BackupConfigs(own(p)),
            ["groups", p, "backupConfigs", c] => Self::BackupConfig(own(p), own(c)),
            ["groups", p, "backupConfigs", c, "encryptionKey"] => Self::EncryptionKey(own(p), own(c)),
            _ => return None,
        })
    }

    /// The names that a fault's glob may match, the most particular first.
    pub(super) fn names<'a>(&'a self, layout: &'a Layout) -> Vec<&'a str> {
        match self {
            Self::Root | Self::Projects => Vec::new(),
            Self::ProjectByName(name) => vec![name],
            Self::Project(p) | Self::Clusters(p) | Self::BackupConfigs(p) => {
                let project = layout.project(p);
                [p.as_str()].into_iter().chain(project.map(|p| p.name.as_str())).collect()
            }
            Self::Cluster(p, c) | Self::BackupConfig(p, c) | Self::EncryptionKey(p, c) => {
                let entry = layout.project(p).and_then(|project| project.entry(c));
                let of_entry = entry.into_iter().flat_map(|entry| {
                    let names = [&entry.cluster, &entry.name].into_iter();
                    names.chain(&entry.replica_set).map(String::as_str)
                });
                [c.as_str()].into_iter().chain(of_entry).collect()
            }
        }
    }
}

/// Undoes percent-encoding. What is not properly encoded stays as it is.
fn decode(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).and_then(|d| std::str::from_utf8(d).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (*first, byte) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            (plain, _) => {
                bytes.push(plain);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The settings that documents depend on.
pub(super) struct View<'a> {
    pub(super) layout: &'a Layout,
    pub(super) query: &'a Query,
    /// Scheme, host and port: what links begin with.
    pub(super) url: &'a str,
    pub(super) page_cap: usize,
    pub(super) now: Timestamp,
}

impl View<'_> {
    /// Answers a GET of anything but a key.
    pub(super) fn show(&self, resource: &Resource) -> Result<Reply, ApiError> {
        let layout = self.layout;
        match resource {
            Resource::Root => Ok(Reply::ok(self.root())),
            Resource::Projects => {
                let url = self.href("/groups");
                let show = |project: &Project| self.project(project);
                Ok(self.query.page(&layout.projects, &url, self.page_cap, show))
            }
            Resource::ProjectByName(name) => {
                let mut projects = layout.projects.iter();
                let found = projects.find(|project| project.name == *name);
                let project = found.ok_or_else(|| no_project(name))?;
                Ok(Reply::ok(self.project(project)))
            }
            Resource::Project(p) => Ok(Reply::ok(self.project(find_project(layout, p)?))),
            Resource::Clusters(p) => {
                let project = find_project(layout, p)?;
                let url = self.href(format_args!("/groups/{p}/clusters"));
                let show = |entry: &Entry| self.cluster(project, entry);
                Ok(self.query.page(&project.entries, &url, self.page_cap, show))
            }
            Resource::Cluster(p, c) => {
                let (project, entry) = find(layout, p, c)?;
                Ok(Reply::ok(self.cluster(project, entry)))
            }
            Resource::BackupConfigs(p) => {
                let project = find_project(layout, p)?;
                let url = self.href(format_args!("/groups/{p}/backupConfigs"));
                let show = |entry: &Entry| self.backup_config(project, entry);
                Ok(self.query.page(&project.entries, &url, self.page_cap, show))
            }
            Resource::BackupConfig(p, c) => {
                let (project, entry) = find(layout, p, c)?;
                Ok(Reply::ok(self.backup_config(project, entry)))
            }
            Resource::EncryptionKey(..) => {
                Err(ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "UNEXPECTED_ERROR", "Keys are not documents."))
            }
        }
    }

    fn href(&self, path: impl fmt::Display) -> String {
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
            "orgId": "6a0000000000000000000001",
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
    fn moment(&self) -> String {
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

fn find_project<'a>(layout: &'a Layout, id: &str) -> Result<&'a Project, ApiError> {
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

fn well_formed(id: &str) -> bool {
    id.len() == 24 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Project names may hold blanks and slashes, which arrive encoded.
    #[test]
    fn names_in_paths_are_decoded() {
        let path = "/api/public/v1.0/groups/byName/pay%20roll%2F2%";
        let Some(Resource::ProjectByName(name)) = Resource::of(path) else {
            panic!("not found");
        };
        assert_eq!(name, "pay roll/2%");
        assert!(Resource::of("/api/public/v1.0/hosts").is_none());
        assert!(Resource::of("/elsewhere").is_none());
        assert!(matches!(Resource::of("/api/public/v1.0/"), Some(Resource::Root)));
    }
}
