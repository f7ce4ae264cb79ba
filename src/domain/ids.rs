//! Names and identifiers as types of their own, so that none can be passed for another.

use std::borrow::{Borrow, Cow};
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

/// A text that is read: where it can, as it stands there.
#[derive(Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Declares a cheap-to-clone text newtype that displays as its text.
macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Text::deserialize(deserializer).map(|Text(text)| Self(text.into()))
            }
        }

        impl $name {
            /// Takes the text as it is.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::new(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_type! {
    /// The configured name of a manager: one remote service with one credential.
    ManagerName
}
text_type! {
    /// A manager's id of a project; in Ops Manager the group id, 24 hexadecimal digits.
    ProjectId
}
text_type! {
    /// A manager's id of one replica set's backup; in Ops Manager the cluster id, 24 hexadecimal digits.
    ClusterId
}
text_type! {
    /// A manager's id of an organization, which its projects and API keys belong to.
    OrganizationId
}
text_type! {
    /// A manager's id of an API key; in Ops Manager an `ObjectId`, 24 hexadecimal digits.
    ApiKeyId
}
text_type! {
    /// A master key's id. Opaque: never parsed, never assumed to be a UUID.
    KeyId
}
text_type! {
    /// The configured name of a policy.
    PolicyName
}
text_type! {
    /// The configured name of one who is told of alerts: a webhook, an Alertmanager, or the heartbeat.
    ReceiverName
}
text_type! {
    /// What identifies a target for ever: `manager/project-id/cluster-id`.
    TargetId
}
text_type! {
    /// What people type and read: `manager/project/cluster/replica-set`. A rename changes it.
    TargetName
}

impl TargetId {
    /// Joins the three ids that identify a target.
    pub fn from_parts(manager: &ManagerName, project: &ProjectId, cluster: &ClusterId) -> Self {
        Self::new([manager.as_str(), project.as_str(), cluster.as_str()].join("/"))
    }
}

/// What a name must look like, continuing a sentence.
pub const NAME_RULE: &str = "must consist of a to z, 0 to 9, - and _, at most 64 of them";

/// Whether a text is a name that people give: of a manager, a policy, a freeze.
pub fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    (1..=64).contains(&text.len()) && text.chars().all(allowed)
}
