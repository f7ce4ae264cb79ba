//! The configuration as the rest of the program sees it: checked, complete, with every default filled in.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};

use super::problem::Problems;
use crate::domain::{ManagerName, OnCheckpointFailure, Period, PolicyName, ProjectSelector, ReceiverName};
use crate::policy::{Policy, Rules};

/// Everything that the daemon needs to run.
#[derive(Clone, Debug)]
pub struct Config {
    /// What needs no secret.
    pub settings: Settings,
    /// The key that signs checkpoints, as PEM; none for the one in the state directory.
    pub checkpoint_key: Option<SecretString>,
    /// The managers in the order of the file, with their secrets. None is possible: there is nothing to rotate then.
    pub managers: Vec<Manager>,
    /// What the file means, every default filled in, in the file's own form. No secret is in it.
    pub effective: String,
    /// The receivers of alerts, in the order of the file, with their secrets; each has a name of its own.
    pub receivers: Vec<Receiver>,
    /// The files that were read for this and that the daemon's user has to read as well: not the credentials, which the
    /// service manager hands over, nor one that is only tried.
    pub files: Vec<PathBuf>,
}

/// Everything that can be known without opening a file that the configuration names.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the database lives.
    pub state_dir: PathBuf,
    /// The ledger's checkpoints.
    pub ledger: Ledger,
    /// The listener.
    pub http: Http,
    /// The unix socket.
    pub control: Control,
    /// The inventory of API keys.
    pub inventory: Inventory,
    /// The address of the runbook, which alerts carry; none if it is not set.
    pub runbook: Option<String>,
    /// Every policy that is defined, used or not; `default` always is.
    pub policies: BTreeMap<PolicyName, Arc<Policy>>,
    /// Which target has which policy.
    pub rules: Rules,
    /// What is allowed but may not be what the author wants.
    pub warnings: Problems,
}

/// What becomes of the ledger's checkpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Where they are written.
    pub checkpoint_file: PathBuf,
    /// What to do while they cannot be.
    pub on_checkpoint_failure: OnCheckpointFailure,
}

/// The listener for metrics, health and JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The names by which it may be asked for besides `localhost` and addresses, in small letters, without a port.
    pub allowed_hosts: Vec<String>,
    /// TLS and users, in the format of Prometheus' exporter-toolkit; none for plain text to everyone.
    pub web_config_file: Option<PathBuf>,
}

/// The socket that takes operators' orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Its path.
    pub socket: PathBuf,
    /// The group whose members may give orders beside root and the daemon's own user.
    pub group: Option<String>,
}

/// The inventory of each manager's API keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inventory {
    /// The time between two.
    pub every: Period,
}

/// One Ops Manager with one credential.
#[derive(Clone, Debug)]
pub struct Manager {
    /// Its name, the first part of its targets' names.
    pub name: ManagerName,
    /// Where it is. The path ends with a slash, so that `join("api/public/v1.0/...")` keeps a prefix.
    pub url: Url,
    /// The public half of the API key, the user of Digest.
    pub public_key: String,
    /// The private half of the API key, the password of Digest.
    pub private_key: SecretString,
    /// The only authorities to trust, as PEM; none for those of the system.
    pub ca_pem: Option<Vec<u8>>,
    /// What to show to a server that asks for a certificate.
    pub client_identity: Option<ClientIdentity>,
    /// The proxy to go through; none for a direct way, whatever the environment says.
    pub proxy: Option<Url>,
    /// How long one request may take, from connecting to the last byte. Shorter than every `settle` of its policies.
    pub request_timeout: Period,
    /// How many rotations may be in hand at once.
    pub max_concurrent: usize,
    /// How many requests may be sent in one second.
    pub requests_per_second: u32,
    /// The time between two listings of its targets.
    pub discover_every: Period,
    /// The projects to list; empty means every one that the key can see.
    pub projects: Vec<ProjectSelector>,
}

/// A client's certificate and its key.
#[derive(Clone, Debug)]
pub struct ClientIdentity {
    /// The certificate and those between it and the authority, as PEM.
    pub certificates_pem: Vec<u8>,
    /// The private key, as PEM.
    pub key_pem: SecretString,
}

impl ClientIdentity {
    /// Both in one text, as TLS libraries take them.
    pub fn to_pem(&self) -> SecretString {
        let certificates = String::from_utf8_lossy(&self.certificates_pem);
        SecretString::from(format!("{}\n{certificates}", self.key_pem.expose_secret()))
    }
}

/// A receiver of alerts, or of the heartbeat.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Its name.
    pub name: ReceiverName,
    /// What it understands, and how often it is told.
    pub form: ReceiverForm,
    /// Where to send to, to the last letter.
    pub url: SecretString,
    /// Scheme and host of that: what may be shown.
    pub shown: String,
    /// The whole value of the header `Authorization`.
    pub authorization: Option<SecretString>,
    /// The only authorities to trust, as PEM; none for those of the system.
    pub ca_pem: Option<Vec<u8>>,
    /// The proxy to go through.
    pub proxy: Option<Url>,
}

impl ReceiverForm {
    /// The word for it: the name of its section.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Alertmanager { .. } => "alertmanager",
            Self::Heartbeat { .. } => "heartbeat",
        }
    }
}

/// What a receiver understands, and how often it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiverForm {
    /// Alertmanager's webhook.
    Webhook {
        /// The least time between two deliveries.
        every: Period,
    },
    /// An Alertmanager.
    Alertmanager {
        /// The time between two tellings of what fires.
        resend_every: Period,
    },
    /// A dead man's switch.
    Heartbeat {
        /// The least time between two signs of life.
        every: Period,
    },
}
