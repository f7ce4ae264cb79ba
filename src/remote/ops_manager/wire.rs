//! The documents of Ops Manager's API, as far as they are read. Everything may be missing, everything unknown is passed
//! over, and nothing is kept: a project's document holds its `agentApiKey`, which is a secret.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::listing::Project;
use crate::domain::KeyId;
use crate::remote::error::Unreadable;

/// A page of a listing.
#[derive(Deserialize)]
pub(super) struct Page<T> {
    /// Not an empty list when it is missing: that would read as if everything had vanished.
    pub(super) results: Option<Vec<Entry<T>>>,
    #[serde(rename = "totalCount")]
    pub(super) total_count: Option<u64>,
    #[serde(default)]
    links: Option<Vec<Link>>,
}

#[derive(Deserialize)]
struct Link {
    rel: Option<String>,
}

impl<T> Page<T> {
    /// Whether the server speaks of a next page. Its address is not used: it may name another host.
    pub(super) fn has_next(&self) -> bool {
        self.links.iter().flatten().any(|link| link.rel.as_deref() == Some("next"))
    }
}

/// An entry as it came: one that makes no sense must not cost the others.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Entry<T> {
    Known(T),
    Odd(IgnoredAny),
}

impl<T: Identified> Entry<T> {
    /// The entry, if it has a usable id.
    pub(super) fn known(self) -> Option<T> {
        match self {
            Self::Known(entry) => entry.id().is_some().then_some(entry),
            Self::Odd(IgnoredAny) => None,
        }
    }
}

/// An entry of a listing, which its id tells from the others.
pub(super) trait Identified {
    fn id(&self) -> Option<&str>;
}

/// `GET /groups`.
#[derive(Deserialize)]
pub(super) struct Group {
    id: Option<String>,
    name: Option<String>,
    #[serde(rename = "orgId")]
    organization: Option<String>,
}

impl Group {
    /// The project that it is, if its id is usable.
    pub(super) fn project(&self) -> Option<Project> {
        Some(Project::new(self.id()?, self.name.as_deref()))
    }

    /// The id of its organization, if that is usable.
    pub(super) fn organization(&self) -> Option<&str> {
        usable(self.organization.as_deref())
    }
}

/// `GET /admin/apiKeys`, `/orgs/{id}/apiKeys`, `/groups/{id}/apiKeys`. Of the documented fields two are passed over:
/// `privateKey`, which is redacted and nobody's business, and `links`, which name the key's own address.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiKey {
    id: Option<String>,
    pub(super) desc: Option<String>,
    pub(super) public_key: Option<String>,
    pub(super) roles: Option<Vec<Role>>,
}

/// A role of an API key: over everything, where it names neither an organization nor a project.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Role {
    pub(super) role_name: Option<String>,
    pub(super) org_id: Option<String>,
    pub(super) group_id: Option<String>,
}

/// An entry of an access list: a block, or one address.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AccessEntry {
    cidr_block: Option<String>,
    ip_address: Option<String>,
}

/// `GET /groups/{id}/clusters`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cluster {
    pub(super) id: Option<String>,
    pub(super) type_name: Option<String>,
    pub(super) cluster_name: Option<String>,
    pub(super) shard_name: Option<String>,
    pub(super) replica_set_name: Option<String>,
}

/// `GET /groups/{id}/backupConfigs`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BackupConfig {
    pub(super) cluster_id: Option<String>,
    pub(super) status_name: Option<String>,
    pub(super) encryption_enabled: Option<bool>,
}

impl Identified for Group {
    fn id(&self) -> Option<&str> {
        usable(self.id.as_deref())
    }
}

impl Identified for ApiKey {
    fn id(&self) -> Option<&str> {
        usable(self.id.as_deref())
    }
}

impl Identified for AccessEntry {
    fn id(&self) -> Option<&str> {
        self.cidr_block.as_deref().or(self.ip_address.as_deref())
    }
}

impl Identified for Cluster {
    fn id(&self) -> Option<&str> {
        usable(self.id.as_deref())
    }
}

impl Identified for BackupConfig {
    fn id(&self) -> Option<&str> {
        usable(self.cluster_id.as_deref())
    }
}

/// Real ids are 24 hexadecimal digits. What becomes part of a path and of a target's identity must at least be plain.
pub(super) fn usable(id: Option<&str>) -> Option<&str> {
    id.filter(|id| {
        (1..=128).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    })
}

/// Whether a body is a document of the API's: an object in JSON, whatever it holds.
pub(super) fn is_object(body: &[u8]) -> Result<(), Unreadable> {
    let _: HashMap<String, IgnoredAny> = serde_json::from_slice(body)?;
    Ok(())
}

/// `GET …/encryptionKey`; inside `content` or, in older documents, `envelope` when a proxy asks for envelopes.
#[derive(Deserialize)]
struct Key {
    #[serde(rename = "encryptionKeyUUID")]
    id: Option<String>,
    #[serde(alias = "envelope")]
    content: Option<Box<Key>>,
}

/// A key's id has no known form; this only keeps it printable and storable.
const LONGEST_KEY_ID: usize = 1024;

/// The id of the key that a reply names.
pub(super) fn key_id(body: &[u8]) -> Result<KeyId, Unreadable> {
    let mut key: Key = serde_json::from_slice(body)?;
    if let Some(inner) = key.content.take() {
        key = *inner;
    }
    let id = key.id.ok_or(Unreadable::NoKey)?;
    if id.trim().is_empty() {
        return Err(Unreadable::StrangeKey("empty"));
    }
    if id.len() > LONGEST_KEY_ID {
        return Err(Unreadable::StrangeKey("longer than 1024 bytes"));
    }
    if id.chars().any(char::is_control) {
        return Err(Unreadable::StrangeKey("made of control characters"));
    }
    Ok(KeyId::new(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_id_is_any_text() {
        // Field names of the page "Retrieve the current KMIP master key"; its sample id is no UUID either.
        for (body, id) in [
            (r#"{"clusterId":"c","groupId":"g","encryptionKeyUUID":"12-34-ab","links":[]}"#, "12-34-ab"),
            (r#"{"encryptionKeyUUID":" Ключ №1 ","new":{"field":1}}"#, " Ключ №1 "),
            (r#"{"status":200,"content":{"encryptionKeyUUID":"inside"}}"#, "inside"),
            (r#"{"status":200,"envelope":{"encryptionKeyUUID":"inside"}}"#, "inside"),
        ] {
            assert_eq!(key_id(body.as_bytes()).unwrap().as_str(), id, "{body}");
        }
    }

    #[test]
    fn a_reply_without_a_usable_key_is_never_a_key() {
        let long = format!(r#"{{"encryptionKeyUUID":"{}"}}"#, "x".repeat(1025));
        for body in [
            "",
            "{}",
            "null",
            "[]",
            "<html></html>",
            r#"{"encryptionKeyUUID":null}"#,
            r#"{"encryptionKeyUUID":""}"#,
            r#"{"encryptionKeyUUID":"  "}"#,
            r#"{"encryptionKeyUUID":7}"#,
            r#"{"encryptionKeyUUID":"a\nb"}"#,
            r#"{"encryptionKeyUUID":"a"#,
            &long,
        ] {
            assert!(key_id(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn ids_that_could_change_a_path_are_not_usable() {
        assert_eq!(usable(Some("5196d3628d022db4cbc26d9e")), Some("5196d3628d022db4cbc26d9e"));
        for id in ["", "..", "a/b", "a b", "a%2fb", "é", &"x".repeat(129)] {
            assert_eq!(usable(Some(id)), None, "{id}");
        }
    }
}
