//! From paths to resources, and the names by which a fault may be aimed at one.

use super::layout::Layout;

/// What all paths begin with.
pub(super) const BASE: &str = "/api/public/v1.0";

/// What a path leads to. The texts are the ids (of a project, and of a cluster in it) or the name that the path holds.
#[derive(Debug, Clone)]
pub(super) enum Resource {
    Document(Document),
    EncryptionKey(String, String),
}

/// What can only be read.
#[derive(Debug, Clone)]
pub(super) enum Document {
    Root,
    Projects,
    Project(String),
    ProjectByName(String),
    Clusters(String),
    Cluster(String, String),
    BackupConfigs(String),
    BackupConfig(String, String),
    GlobalKeys,
    GlobalAccessList,
    OrganizationKeys(String),
    /// Of a key of an organization.
    AccessList(String, String),
    ProjectKeys(String),
}

impl Resource {
    /// `None`: there is no such resource.
    pub(super) fn of(path: &str) -> Option<Self> {
        let rest = path.strip_prefix(BASE)?;
        let parts: Vec<String> = rest.split('/').filter(|part| !part.is_empty()).map(decode).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let own = str::to_owned;
        let document = match *parts.as_slice() {
            [] => Document::Root,
            ["groups"] => Document::Projects,
            ["groups", "byName", name] => Document::ProjectByName(own(name)),
            ["groups", p] => Document::Project(own(p)),
            ["groups", p, "clusters"] => Document::Clusters(own(p)),
            ["groups", p, "clusters", c] => Document::Cluster(own(p), own(c)),
            ["groups", p, "backupConfigs"] => Document::BackupConfigs(own(p)),
            ["groups", p, "backupConfigs", c] => Document::BackupConfig(own(p), own(c)),
            ["groups", p, "backupConfigs", c, "encryptionKey"] => return Some(Self::EncryptionKey(own(p), own(c))),
            ["groups", p, "apiKeys"] => Document::ProjectKeys(own(p)),
            ["orgs", o, "apiKeys"] => Document::OrganizationKeys(own(o)),
            ["orgs", o, "apiKeys", k, "accessList"] => Document::AccessList(own(o), own(k)),
            ["admin", "apiKeys"] => Document::GlobalKeys,
            ["admin", "accessList"] => Document::GlobalAccessList,
            _ => return None,
        };
        Some(Self::Document(document))
    }

    /// The names that a fault's glob may match, the most particular first.
    pub(super) fn names<'a>(&'a self, layout: &'a Layout) -> Vec<&'a str> {
        let (project, cluster) = match self {
            Self::Document(
                Document::Root
                | Document::Projects
                | Document::GlobalKeys
                | Document::GlobalAccessList
                | Document::OrganizationKeys(_),
            ) => return Vec::new(),
            Self::Document(Document::ProjectByName(name) | Document::AccessList(_, name)) => return vec![name],
            Self::Document(
                Document::Project(p) | Document::Clusters(p) | Document::BackupConfigs(p) | Document::ProjectKeys(p),
            ) => (p, None),
            Self::Document(Document::Cluster(p, c) | Document::BackupConfig(p, c)) | Self::EncryptionKey(p, c) => {
                (p, Some(c))
            }
        };
        let found = layout.project(project);
        let Some(cluster) = cluster else {
            let name = found.map(|project| &project.name);
            return [project].into_iter().chain(name).map(String::as_str).collect();
        };
        let entry = found.and_then(|project| project.entry(cluster));
        let names =
            entry.into_iter().flat_map(|entry| [&entry.cluster, &entry.name].into_iter().chain(&entry.replica_set));
        [cluster].into_iter().chain(names).map(String::as_str).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Project names may hold blanks and slashes, which arrive encoded.
    #[test]
    fn names_in_paths_are_decoded() {
        let path = "/api/public/v1.0/groups/byName/pay%20roll%2F2%";
        let Some(Resource::Document(Document::ProjectByName(name))) = Resource::of(path) else {
            panic!("not found");
        };
        assert_eq!(name, "pay roll/2%");
        assert!(Resource::of("/api/public/v1.0/hosts").is_none());
        assert!(Resource::of("/elsewhere").is_none());
        assert!(matches!(Resource::of("/api/public/v1.0/"), Some(Resource::Document(Document::Root))));
    }
}
