//! Who may do what: the API keys that the lists show, the roles that the caller has, and the documents about both.
//!
//! Only these lists ask for roles. What a rotation asks for is written nowhere, so there a fault decides.

use std::fmt::Write;

use hyper::StatusCode;
use jiff::{SignedDuration, Timestamp};
use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::api::{View, find_project, well_formed};
use super::layout::Project;
use super::reply::{ApiError, Reply, add, link};

/// The organization of every project.
pub const ORGANIZATION: &str = "6a0000000000000000000001";

/// The roles that may read what belongs to the whole installation.
const GLOBAL_ROLES: [&str; 6] = [
    "GLOBAL_AUTOMATION_ADMIN",
    "GLOBAL_BACKUP_ADMIN",
    "GLOBAL_MONITORING_ADMIN",
    "GLOBAL_OWNER",
    "GLOBAL_READ_ONLY",
    "GLOBAL_USER_ADMIN",
];

/// The API keys there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessSpec {
    /// In the order in which the lists show them. The login is the one with its public key; if there is none, it has no
    /// role.
    pub keys: Vec<ApiKeySpec>,
    /// The addresses from which global keys may come, all of them: blocks in CIDR notation. Empty: from anywhere.
    pub global_access_list: Vec<String>,
}

/// One API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeySpec {
    /// What its maker said of it.
    pub description: String,
    /// Its public half. The id is made of this and of `created`.
    pub public_key: String,
    /// When it was made, to the second; the id begins with it.
    pub created: Timestamp,
    /// What it may do.
    pub grants: Vec<Grant>,
    /// The addresses from which it may come, in CIDR notation. Of a global key this says nothing.
    pub access_list: Vec<String>,
}

/// A role, and what it reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grant {
    /// A role over everything, such as `GLOBAL_READ_ONLY`.
    Global(String),
    /// A role in the organization, such as `ORG_MEMBER`.
    Organization(String),
    /// A role in the project of this name, such as `GROUP_BACKUP_ADMIN`.
    Project(String, String),
    /// A role in every project there is.
    EveryProject(String),
}

impl ApiKeySpec {
    /// A key without a role, made on 2025-01-01.
    pub fn new(public_key: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            description: description.into(),
            public_key: public_key.into(),
            created: Timestamp::new(1_735_689_600, 0).expect("a second in this century"),
            grants: Vec::new(),
            access_list: Vec::new(),
        }
    }

    /// Another time of birth.
    #[must_use]
    pub fn created(mut self, at: Timestamp) -> Self {
        self.created = at;
        self
    }

    /// Adds a role over everything.
    #[must_use]
    pub fn global(mut self, role: &str) -> Self {
        self.grants.push(Grant::Global(role.to_owned()));
        self
    }

    /// Adds a role in the organization.
    #[must_use]
    pub fn organization(mut self, role: &str) -> Self {
        self.grants.push(Grant::Organization(role.to_owned()));
        self
    }

    /// Adds a role in the project of this name.
    #[must_use]
    pub fn project(mut self, project: &str, role: &str) -> Self {
        self.grants.push(Grant::Project(project.to_owned(), role.to_owned()));
        self
    }

    /// Adds a role in every project there is.
    #[must_use]
    pub fn every_project(mut self, role: &str) -> Self {
        self.grants.push(Grant::EveryProject(role.to_owned()));
        self
    }

    /// Adds an entry to its access list.
    #[must_use]
    pub fn from_address(mut self, block: &str) -> Self {
        self.access_list.push(block.to_owned());
        self
    }

    /// The id by which the API knows it: 24 hexadecimal digits, as of any document of MongoDB's: the second of its
    /// making, then eight bytes of no meaning.
    pub fn id(&self) -> String {
        let mut id = format!("{:08x}", u32::try_from(self.created.as_second()).unwrap_or_default());
        id.push_str(&self.digits(8));
        id
    }

    fn is_global(&self) -> bool {
        self.grants.iter().any(|grant| matches!(grant, Grant::Global(_)))
    }

    fn digits(&self, bytes: usize) -> String {
        let digest = Md5::digest(&self.public_key);
        digest.iter().take(bytes).fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").expect("writing to a String cannot fail");
            text
        })
    }
}

impl Default for AccessSpec {
    /// The login, with the least that rotating takes, and a few others such as an auditor meets.
    fn default() -> Self {
        let login = ApiKeySpec::new("simulator", "rekeyd")
            .organization("ORG_MEMBER")
            .every_project("GROUP_READ_ONLY")
            .every_project("GROUP_BACKUP_ADMIN")
            .from_address("127.0.0.1/32");
        let mut keys = vec![
            login,
            ApiKeySpec::new("wqkzfemr", "console of the platform team").global("GLOBAL_OWNER"),
            ApiKeySpec::new("bhvrtqla", "nightly report").global("GLOBAL_READ_ONLY").global("GLOBAL_BILLING_ADMIN"),
            ApiKeySpec::new("uoycnxds", "terraform").organization("ORG_OWNER"),
            ApiKeySpec::new("jptmgiek", "backup of billing")
                .organization("ORG_MEMBER")
                .project("billing", "GROUP_BACKUP_ADMIN")
                .from_address("10.20.0.0/16"),
            ApiKeySpec::new("lxsdavob", "dashboards").organization("ORG_MEMBER").project("identity", "GROUP_READ_ONLY"),
        ];
        // Made five weeks after one another.
        for (n, key) in (0..).zip(&mut keys) {
            key.created += SignedDuration::from_hours(24 * 35 * n);
        }
        Self { keys, global_access_list: vec!["10.0.0.0/8".to_owned(), "127.0.0.1/32".to_owned()] }
    }
}

impl View<'_> {
    /// `GET /admin/apiKeys`.
    pub(super) fn global_keys(&self) -> Result<Reply, ApiError> {
        demand(self.caller_is_global())?;
        Ok(self.list_keys("/admin/apiKeys", |key| key.is_global()))
    }

    /// `GET /admin/accessList`: one for all global keys together.
    pub(super) fn global_access_list(&self) -> Result<Reply, ApiError> {
        demand(self.caller_is_global())?;
        let made = self.moment();
        let show = |block: &String| json!({"cidrBlock": block, "created": made, "updated": made, "description": "", "type": "GLOBAL_ROLE"});
        Ok(self.query.page(&self.access.global_access_list, &self.href("/admin/accessList"), self.page_cap, show))
    }

    /// `GET /orgs/{id}/apiKeys`.
    pub(super) fn organization_keys(&self, organization: &str) -> Result<Reply, ApiError> {
        check_organization(organization)?;
        demand(self.caller_is_global() || self.caller_has(|grant| matches!(grant, Grant::Organization(_))))?;
        Ok(self.list_keys(&format!("/orgs/{organization}/apiKeys"), |key| !key.is_global()))
    }

    /// `GET /orgs/{id}/apiKeys/{id}/accessList`: for an Organization Owner, and for each key of its own.
    pub(super) fn access_list(&self, organization: &str, id: &str) -> Result<Reply, ApiError> {
        check_organization(organization)?;
        let key = self.access.keys.iter().find(|key| !key.is_global() && key.id() == id).ok_or_else(|| {
            let detail = format!("No API key with ID {id} exists.");
            ApiError::new(StatusCode::NOT_FOUND, "API_KEY_NOT_FOUND", detail).with(&[id])
        })?;
        let owner = self.caller_has(|grant| matches!(grant, Grant::Organization(role) if role == "ORG_OWNER"));
        demand(self.caller_is_global() || owner || key.public_key == self.caller)?;
        let show = |block: &String| {
            let mut entry = json!({"cidrBlock": block, "count": 0, "created": self.moment(), "links": []});
            if let Some(address) = block.strip_suffix("/32") {
                add(&mut entry, "ipAddress", address);
            }
            entry
        };
        let url = self.href(format_args!("/orgs/{organization}/apiKeys/{id}/accessList"));
        Ok(self.query.page(&key.access_list, &url, self.page_cap, show))
    }

    /// `GET /groups/{id}/apiKeys`.
    pub(super) fn project_keys(&self, id: &str) -> Result<Reply, ApiError> {
        let name = &find_project(self.layout, id)?.name;
        let of_project = |grant: &Grant| match grant {
            Grant::Project(project, _) => project == name,
            Grant::EveryProject(_) => true,
            Grant::Global(_) | Grant::Organization(_) => false,
        };
        let of_organization = |grant: &Grant| matches!(grant, Grant::Organization(role) if role == "ORG_OWNER" || role == "ORG_READ_ONLY");
        demand(self.caller_is_global() || self.caller_has(of_project) || self.caller_has(of_organization))?;
        Ok(self.list_keys(&format!("/groups/{id}/apiKeys"), |key| key.grants.iter().any(of_project)))
    }

    fn list_keys(&self, path: &str, wanted: impl Fn(&ApiKeySpec) -> bool) -> Reply {
        let keys: Vec<&ApiKeySpec> = self.access.keys.iter().filter(|key| wanted(key)).collect();
        self.query.page(&keys, &self.href(path), self.page_cap, |key| self.key_document(key))
    }

    fn key_document(&self, key: &ApiKeySpec) -> Value {
        // The documentation's own sample has this null in it.
        let organization = if key.is_global() { "null" } else { ORGANIZATION };
        let href = self.href(format_args!("/orgs/{organization}/apiKeys/{}", key.id()));
        json!({
            "desc": key.description,
            "id": key.id(),
            "links": [link("self", &href)],
            "privateKey": format!("********-****-****-{}", key.digits(6)),
            "publicKey": key.public_key,
            "roles": key.grants.iter().flat_map(|grant| self.roles(grant)).collect::<Vec<_>>(),
        })
    }

    /// A role as the documents show it; nothing for one in a project that is no more.
    fn roles(&self, grant: &Grant) -> Vec<Value> {
        let in_projects = |role: &str, wanted: &dyn Fn(&Project) -> bool| {
            let projects = self.layout.projects.iter().filter(|project| wanted(project));
            projects.map(|project| json!({"groupId": project.id, "roleName": role})).collect()
        };
        match grant {
            Grant::Global(role) => vec![json!({"roleName": role})],
            Grant::Organization(role) => vec![json!({"orgId": ORGANIZATION, "roleName": role})],
            Grant::Project(name, role) => in_projects(role, &|project| project.name == *name),
            Grant::EveryProject(role) => in_projects(role, &|_| true),
        }
    }

    fn caller_is_global(&self) -> bool {
        self.caller_has(|grant| matches!(grant, Grant::Global(role) if GLOBAL_ROLES.contains(&role.as_str())))
    }

    fn caller_has(&self, wanted: impl Fn(&Grant) -> bool) -> bool {
        let caller = self.access.keys.iter().find(|key| key.public_key == self.caller);
        caller.is_some_and(|key| key.grants.iter().any(wanted))
    }
}

fn demand(allowed: bool) -> Result<(), ApiError> {
    if allowed { Ok(()) } else { Err(ApiError::unauthorized()) }
}

fn check_organization(id: &str) -> Result<(), ApiError> {
    if id == ORGANIZATION {
        return Ok(());
    }
    let (code, detail) = if well_formed(id) {
        ("ORG_NOT_FOUND", format!("No organization with ID {id} exists."))
    } else {
        ("INVALID_ORG_ID", format!("An invalid organization ID {id} was specified."))
    };
    Err(ApiError::new(StatusCode::NOT_FOUND, code, detail).with(&[id]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An id is well formed and begins with the second at which the key was made.
    #[test]
    fn an_id_carries_its_time() {
        let key = ApiKeySpec::new("abcdefgh", "x").created("2019-08-28T15:25:27Z".parse().unwrap());
        assert!(well_formed(&key.id()));
        assert!(key.id().starts_with("5d669ce7"), "{}", key.id());
        assert_ne!(key.id(), ApiKeySpec { public_key: "hgfedcba".into(), ..key.clone() }.id());
    }
}
