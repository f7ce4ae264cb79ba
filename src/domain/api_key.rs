//! Who may do what at a manager: API keys, their roles, and which of these reach a rotation.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::{ApiKeyId, OrganizationId, ProjectId};

/// No `ObjectId` was made before 2007-01-01: an id that decodes to an earlier time is not one.
const FIRST_OBJECT_ID_S: i64 = 1_167_609_600;

/// One API key, as its manager's lists show it. The private half, which they show redacted, is not read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// The manager's id of it.
    pub id: ApiKeyId,
    /// Its public half, the name by which it logs in.
    pub public_key: String,
    /// What its maker said of it.
    pub description: String,
    /// What it may do, as far as the lists that could be read tell.
    pub grants: BTreeSet<Grant>,
    /// The lists that name it.
    pub lists: BTreeSet<Reach>,
}

/// A role, and what it reaches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Grant {
    /// The server's word for the role, such as `GROUP_BACKUP_ADMIN`. One that this version does not know is kept.
    pub role: String,
    /// Where it holds.
    pub over: Reach,
}

/// How far a role reaches; also, which list names a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// The whole installation.
    Global,
    /// One organization.
    Organization(OrganizationId),
    /// One project.
    Project(ProjectId),
}

/// What a role, or a key with all its roles, comes to for the rotation of master keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Power {
    /// It cannot rotate.
    None,
    /// This version does not know the role.
    Unknown,
    /// It hands out roles, to itself as well.
    Grants,
    /// It can rotate.
    Rotates,
}

/// A permission beyond what rotating needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Excess {
    /// An Owner, where Backup Admin would do.
    Owner,
    /// It reaches every organization, where a key for the project would do.
    Global,
    /// It reaches every project of its organization, where a key for the project would do.
    Organization,
    /// No access list: it works from any address.
    AnyAddress,
}

impl Power {
    /// The word for it in output.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Excess {
    /// The word for it in output.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What would do, as a clause.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Owner => "an Owner, where Backup Admin would do",
            Self::Global => "global, where a key for the project would do",
            Self::Organization => "the whole organization, where a key for the project would do",
            Self::AnyAddress => "no access list: it works from any address",
        }
    }
}

impl Grant {
    /// What the role comes to, by the descriptions in "Ops Manager Roles". Which role the call for a rotation takes is not
    /// documented: Backup Admin is the least that may change a backup. Automation Admin may rotate by the deployment's own
    /// encryption setting.
    pub fn power(&self) -> Power {
        match self.role.as_str() {
            "GLOBAL_OWNER"
            | "GLOBAL_BACKUP_ADMIN"
            | "GLOBAL_AUTOMATION_ADMIN"
            | "ORG_OWNER"
            | "GROUP_OWNER"
            | "GROUP_BACKUP_ADMIN"
            | "GROUP_AUTOMATION_ADMIN" => Power::Rotates,
            "GLOBAL_USER_ADMIN" | "GROUP_USER_ADMIN" => Power::Grants,
            "GLOBAL_READ_ONLY"
            | "GLOBAL_MONITORING_ADMIN"
            | "GLOBAL_BILLING_ADMIN"
            | "ORG_MEMBER"
            | "ORG_READ_ONLY"
            | "ORG_GROUP_CREATOR"
            | "ORG_BILLING_ADMIN"
            | "GROUP_READ_ONLY"
            | "GROUP_MONITORING_ADMIN"
            | "GROUP_DATA_ACCESS_ADMIN"
            | "GROUP_DATA_ACCESS_READ_ONLY"
            | "GROUP_DATA_ACCESS_READ_WRITE" => Power::None,
            _ => Power::Unknown,
        }
    }

    /// The role for a label of bounded values: that of an unknown one is `other`.
    pub fn label(&self) -> &str {
        match self.power() {
            Power::Unknown => "other",
            Power::None | Power::Grants | Power::Rotates => &self.role,
        }
    }

    fn is_owner(&self) -> bool {
        self.role.ends_with("_OWNER")
    }
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.over {
            Reach::Global => f.write_str(&self.role),
            Reach::Organization(_) | Reach::Project(_) => write!(f, "{} in {}", self.role, self.over),
        }
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Global => f.pad("global"),
            Self::Organization(id) => write!(f, "organization {id}"),
            Self::Project(id) => write!(f, "project {id}"),
        }
    }
}

impl ApiKey {
    /// The most that any of its roles comes to.
    pub fn power(&self) -> Power {
        power(&self.grants)
    }

    /// Whether it can rotate, or can give itself the role to.
    pub fn reaches_rotation(&self) -> bool {
        self.power() >= Power::Grants
    }

    /// In what it goes further than rotating takes; nothing is said of a key that cannot rotate. `access_list` is none
    /// where it is not known.
    pub fn excesses(&self, access_list: Option<&[String]>) -> Vec<Excess> {
        if self.power() < Power::Grants {
            return Vec::new();
        }
        let powerful = || self.grants.iter().filter(|grant| grant.power() >= Power::Grants);
        let owner = powerful().any(Grant::is_owner).then_some(Excess::Owner);
        let global = powerful().any(|grant| grant.over == Reach::Global).then_some(Excess::Global);
        let organization = (global.is_none() && powerful().any(|grant| matches!(grant.over, Reach::Organization(_))))
            .then_some(Excess::Organization);
        let anywhere = access_list.is_some_and(<[String]>::is_empty).then_some(Excess::AnyAddress);
        [owner, global, organization, anywhere].into_iter().flatten().collect()
    }
}

/// The most that any of these roles comes to.
pub fn power(grants: &BTreeSet<Grant>) -> Power {
    grants.iter().map(Grant::power).max().unwrap_or(Power::None)
}

impl ApiKeyId {
    /// When the key was made, to the second. The lists do not tell; but the ids of MongoDB's documents are `ObjectId`s,
    /// whose first four bytes are the second of their making. None for an id of another form.
    pub fn created_at(&self) -> Option<Timestamp> {
        let id = self.as_str();
        if id.len() != 24 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let second = i64::from_str_radix(id.get(..8)?, 16).ok()?;
        Timestamp::from_second(second).ok().filter(|_| second >= FIRST_OBJECT_ID_S)
    }
}

/// What is known of an API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// The key as it was last recorded.
    pub key: ApiKey,
    /// When it was first recorded.
    pub first_seen: Timestamp,
    /// When it was seen to have come to reach a rotation; none if it does not, or did when its list was first read.
    pub empowered_at: Option<Timestamp>,
}

impl ApiKeyRecord {
    /// A key that is recorded for the first time. With `baseline` it was there when its list was first read: nobody knows
    /// since when.
    pub(super) fn added(at: Timestamp, key: ApiKey, baseline: bool) -> Self {
        let empowered_at = (!baseline && key.reaches_rotation()).then_some(at);
        Self { key, first_seen: at, empowered_at }
    }

    /// The same key with what is known of it now.
    pub(super) fn changed(&self, at: Timestamp, key: ApiKey) -> Self {
        let empowered_at = match (self.key.reaches_rotation(), key.reaches_rotation()) {
            (_, false) => None,
            (false, true) => Some(at),
            (true, true) => self.empowered_at,
        };
        Self { key, first_seen: self.first_seen, empowered_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(grants: &[(&str, Reach)]) -> ApiKey {
        let grants = grants.iter().map(|(role, over)| Grant { role: (*role).to_owned(), over: over.clone() });
        ApiKey {
            id: "5d669ce780eef52a42cf0e1e".into(),
            public_key: "zrefxaep".to_owned(),
            description: String::new(),
            grants: grants.collect(),
            lists: BTreeSet::new(),
        }
    }

    /// The id is that of the sample of the page "Get All Global API Keys".
    #[test]
    fn an_object_id_tells_when_a_key_was_made() {
        let made = |id: &str| ApiKeyId::from(id).created_at().map(|at| at.to_string());
        assert_eq!(made("5d669ce780eef52a42cf0e1e").as_deref(), Some("2019-08-28T15:25:27Z"));
        for other in
            ["", "5d669ce7", "zz669ce780eef52a42cf0e1e", "000000010eef52a42cf0e1e0", "5d669ce780eef52a42cf0e1e0"]
        {
            assert_eq!(made(other), None, "{other}");
        }
    }

    /// One role is enough to make a key powerful, and a role that nobody here knows is not taken for harmless.
    #[test]
    fn the_most_powerful_role_counts() {
        let project = || Reach::Project("p".into());
        for (roles, power) in [
            (&[][..], Power::None),
            (&["GROUP_READ_ONLY"], Power::None),
            (&["GROUP_READ_ONLY", "GROUP_SOMETHING_NEW"], Power::Unknown),
            (&["GROUP_SOMETHING_NEW", "GROUP_USER_ADMIN"], Power::Grants),
            (&["GROUP_USER_ADMIN", "GROUP_BACKUP_ADMIN"], Power::Rotates),
        ] {
            let grants: Vec<_> = roles.iter().map(|role| (*role, project())).collect();
            assert_eq!(key(&grants).power(), power, "{roles:?}");
        }
    }

    /// What is marked is what could be less; a key that reaches no rotation is nobody's excess here.
    #[test]
    fn rights_beyond_the_need_are_marked() {
        let (project, all) = (Reach::Project("p".into()), Reach::Organization("o".into()));
        let nobody: Option<&[String]> = None;
        let somebody = ["10.0.0.0/8".to_owned()];
        let marked = |grants: &[(&str, Reach)], list| key(grants).excesses(list);
        assert_eq!(marked(&[("GROUP_BACKUP_ADMIN", project.clone())], nobody), []);
        assert_eq!(marked(&[("GROUP_BACKUP_ADMIN", project.clone())], Some(&[])), [Excess::AnyAddress]);
        assert_eq!(marked(&[("GROUP_OWNER", project.clone())], Some(&somebody)), [Excess::Owner]);
        assert_eq!(marked(&[("ORG_OWNER", all.clone())], nobody), [Excess::Owner, Excess::Organization]);
        assert_eq!(marked(&[("GLOBAL_OWNER", Reach::Global)], nobody), [Excess::Owner, Excess::Global]);
        assert_eq!(marked(&[("ORG_MEMBER", all), ("GROUP_READ_ONLY", project)], Some(&[])), []);
    }
}
