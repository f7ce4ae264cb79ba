//! Ops Manager's public API v1.0: which addresses are asked, and what their answers mean.

mod access;
mod listing;
mod paging;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;
use reqwest::header::HeaderMap;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::domain::{Failure, KeyId, ManagerName, ProjectSelector, Reason, Scope, Target, Verdict};
use crate::ports::{Accepted, Clock, Discovery, KeyService, Objection, Operation, RequestObserver, UnreadProject};

use super::digest::Login;
use super::error::{Error, Unreadable};
use super::rate::Rate;
use super::session::Session;
use super::transport::{Call, Reply, Route, SetupError, Transport};
use super::verdict;
use listing::Project;
use paging::{PAGE_SIZE, Pages};
use wire::{BackupConfig, Cluster, Group, Identified, Page};

/// Request time-outs that one listing may take, all its pages together.
const LONGEST_LISTING: u32 = 10;
/// The time for the listings of one discovery. Projects that are not reached in it are told as unread.
const LONGEST_DISCOVERY: Duration = Duration::from_secs(3600);

/// Everything that one Ops Manager is reached by. Has no `Debug`: it holds secrets.
#[derive(Clone)]
pub struct Settings {
    /// What the configuration calls it.
    pub name: ManagerName,
    /// Its address, for example `https://opsmanager.example.com:8443`; a path in front of the API is kept.
    pub url: String,
    /// The public half of the API key.
    pub public_key: String,
    /// The private half.
    pub private_key: SecretString,
    /// PEM certificates of the authorities that vouch for the server, instead of the system's. None: the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// PEM certificate and private key that prove who we are to TLS.
    pub identity_pem: Option<SecretString>,
    /// The address of an HTTP proxy. None: no proxy, whatever the environment says.
    pub proxy: Option<String>,
    /// Time for one request, from connecting to the last byte of the reply.
    pub request_timeout: Duration,
    /// Requests a second, on average; a burst may hold one second's worth.
    pub requests_per_second: u32,
    /// Requests that may be under way at one time.
    pub max_concurrent: usize,
    /// The projects to manage; empty for every project that the key can see.
    pub projects: Vec<ProjectSelector>,
}

/// One Ops Manager.
pub struct OpsManager {
    base: Url,
    projects: Vec<ProjectSelector>,
    session: Session,
}

impl OpsManager {
    /// Checks the settings; sends nothing yet.
    pub fn new(
        settings: Settings,
        clock: Arc<dyn Clock>,
        observer: Arc<dyn RequestObserver>,
    ) -> Result<Self, SetupError> {
        if settings.public_key.is_empty() || settings.public_key.chars().any(char::is_control) {
            return Err(SetupError::PublicKey);
        }
        let base = base(&settings.url)?;
        let max_concurrent = settings.max_concurrent.clamp(1, Semaphore::MAX_PERMITS);
        let transport = Transport::new(&Route {
            ca_pem: settings.ca_pem.as_deref(),
            identity_pem: settings.identity_pem.as_ref(),
            proxy: settings.proxy.as_deref(),
            request_timeout: settings.request_timeout,
            connections: max_concurrent,
        })?;
        let session = Session {
            manager: settings.name,
            transport,
            login: Login::new(settings.public_key, settings.private_key),
            rate: Rate::per_second(settings.requests_per_second),
            in_flight: Semaphore::new(max_concurrent),
            request_timeout: settings.request_timeout,
            clock,
            observer,
        };
        Ok(Self { base, projects: settings.projects, session })
    }

    /// An address below the API's root.
    fn url<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.base.clone();
        url.path_segments_mut().expect("an http address has a path").extend(path);
        url
    }

    fn key_url(&self, target: &Target) -> Url {
        let (project, cluster) = (target.project_id.as_str(), target.cluster_id.as_str());
        self.url(["groups", project, "backupConfigs", cluster, "encryptionKey"])
    }

    /// Reads a listing to its end, which must come before `latest` by the monotonic clock, and within a time of its own.
    async fn list<T>(&self, path: &[&str], latest: Duration) -> Result<Listed<T>, Failure>
    where
        T: DeserializeOwned + Identified,
    {
        let longest = self.session.request_timeout.saturating_mul(LONGEST_LISTING);
        let own = self.session.clock.monotonic().saturating_add(longest);
        let (latest, limit) = if latest < own { (latest, LONGEST_DISCOVERY) } else { (own, longest) };
        let fail = |error: Error| verdict::failure(&error, Operation::List);
        let mut pages = Pages::new();
        loop {
            if self.session.clock.monotonic() >= latest {
                return Err(fail(Error::SlowListing(limit)));
            }
            let mut url = self.url(path.iter().copied());
            let number = pages.next_page();
            url.query_pairs_mut()
                .append_pair("pageNum", &number.to_string())
                .append_pair("itemsPerPage", &PAGE_SIZE.to_string());
            let Reply { status, headers, body, .. } =
                self.session.call(&Call::reading(Operation::List, url)).await.map_err(fail)?;
            let unreadable = |unreadable: Unreadable| fail(Error::Unreadable { status, unreadable });
            let body = body.map_err(fail)?;
            let page: Page<T> = serde_json::from_slice(&body).map_err(|e| unreadable(e.into()))?;
            if !pages.add(page, body.len()).map_err(unreadable)? {
                let (lacking, surplus) = (pages.lacking().map(unreadable), pages.surplus().map(unreadable));
                let (entries, server_version) = (pages.into_entries(), server_version(&headers));
                return Ok(Listed { entries, lacking, surplus, server_version });
            }
        }
    }

    /// Lists one project's targets into the discovery.
    async fn read_project(&self, project: &Project, latest: Duration, into: &mut Discovery) -> Result<(), Failure> {
        let clusters = self.list::<Cluster>(&["groups", project.id.as_str(), "clusters"], latest).await?;
        let backups = self.list::<BackupConfig>(&["groups", project.id.as_str(), "backupConfigs"], latest).await;
        let (backups, backups_lack) = match backups {
            Ok(backups) => (Some(backups.entries), backups.lacking),
            // A key may rotate without being allowed to list backups.
            Err(failure) if failure.reason == Reason::RoleMissing => (None, None),
            Err(failure) => return Err(failure),
        };
        let manager = &self.session.manager;
        let (sightings, gaps) =
            listing::read(manager, project, &clusters.entries, backups.as_deref(), backups_lack.is_some());
        into.sightings.extend(sightings);
        // The entry that is not there, or cannot be read, may be the config servers'.
        if clusters.lacking.is_none() {
            into.gaps.extend(gaps);
        }
        clusters.lacking.or(backups_lack).map_or(Ok(()), Err)
    }
}

/// A listing that was read to its end.
struct Listed<T> {
    entries: Vec<T>,
    /// Set when entries were passed over, or are fewer than the server promised: what is not among them is not gone.
    lacking: Option<Failure>,
    /// Set when there are more than the server promised.
    surplus: Option<Failure>,
    server_version: Option<String>,
}

#[async_trait]
impl KeyService for OpsManager {
    async fn discover(&self) -> Result<Discovery, Failure> {
        let latest = self.session.clock.monotonic() + LONGEST_DISCOVERY;
        let groups = self.list::<Group>(&["groups"], latest).await?;
        let (wanted, mut unread) = choose(groups.entries.iter().filter_map(Group::project).collect(), &self.projects);
        if let Some(failure) = groups.lacking {
            unread.push(UnreadProject { id: None, name: "(others)".to_owned(), failure });
        }
        let mut discovery = Discovery { unread, server_version: groups.server_version, ..Discovery::default() };
        for project in wanted {
            match self.read_project(&project, latest, &mut discovery).await {
                Ok(()) => {}
                Err(failure) if failure.scope == Scope::Manager => return Err(failure),
                Err(failure) => {
                    discovery.unread.push(UnreadProject { id: Some(project.id), name: project.name, failure });
                }
            }
        }
        Ok(discovery)
    }

    async fn current_key(&self, target: &Target) -> Result<KeyId, Failure> {
        let call = Call::reading(Operation::GetKey, self.key_url(target));
        let read = async {
            let Reply { status, body, .. } = self.session.call(&call).await?;
            wire::key_id(&body?).map_err(|unreadable| Error::Unreadable { status, unreadable })
        };
        read.await.map_err(|error| verdict::failure(&error, Operation::GetKey))
    }

    async fn rotate(&self, target: &Target, objection: Objection<'_>) -> Result<Accepted, Failure> {
        let (operation, url) = (Operation::RotateKey, self.key_url(target));
        let call = Call { operation, url, objection: Some(objection) };
        match self.session.call(&call).await {
            // Any 2xx: versions disagree on the number. The body proves nothing and is not looked at.
            Ok(reply) => Ok(Accepted { status: reply.status }),
            Err(error) => Err(verdict::failure(&error, Operation::RotateKey)),
        }
    }
}

/// The root of the API.
fn base(address: &str) -> Result<Url, SetupError> {
    let refuse = || SetupError::Url(without_userinfo(address));
    let mut url = Url::parse(address).map_err(|_| refuse())?;
    let is_plain = url.username().is_empty() && url.password().is_none() && url.query().is_none();
    if !matches!(url.scheme(), "http" | "https") || !is_plain || url.fragment().is_some() {
        return Err(refuse());
    }
    url.path_segments_mut().map_err(|()| refuse())?.pop_if_empty().extend(["api", "public", "v1.0"]);
    Ok(url)
}

/// An address as it may be shown: a password in it does not belong on a screen.
fn without_userinfo(address: &str) -> String {
    match address.rsplit_once('@') {
        Some((_, host)) => format!("…@{host}"),
        None => address.to_owned(),
    }
}

/// The projects that the selectors name, each once, and the selectors that name none. No selectors: all projects.
fn choose(visible: Vec<Project>, selectors: &[ProjectSelector]) -> (Vec<Project>, Vec<UnreadProject>) {
    let selects = |selector: &ProjectSelector, project: &Project| selector.selects(&project.id, &project.name);
    let unknown = selectors.iter().filter(|selector| !visible.iter().any(|project| selects(selector, project)));
    let unread = unknown.map(unknown_project).collect();
    let is_wanted =
        |project: &Project| selectors.is_empty() || selectors.iter().any(|selector| selects(selector, project));
    (visible.into_iter().filter(is_wanted).collect(), unread)
}

fn unknown_project(selector: &ProjectSelector) -> UnreadProject {
    let id = match selector {
        ProjectSelector::Id(id) => Some(id.clone()),
        ProjectSelector::Name(_) => None,
    };
    let failure = Failure {
        reason: Reason::NotFound,
        verdict: Verdict::Permanent,
        scope: Scope::Target,
        status: None,
        code: None,
        retry_after_s: None,
        detail: "the key sees no such project".to_owned(),
    };
    UnreadProject { id, name: selector.to_string(), failure }
}

/// From `X-MongoDB-Service-Version: gitHash=…; versionString=8.0.4.500…`.
fn server_version(headers: &HeaderMap) -> Option<String> {
    let header = headers.get("x-mongodb-service-version")?.to_str().ok()?;
    let version = header.split(';').find_map(|part| part.trim().strip_prefix("versionString="))?;
    let version: String = version.trim().chars().take(64).collect();
    (!version.is_empty()).then_some(version)
}
