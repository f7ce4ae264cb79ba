//! TLS, users and limits of the listener, from a file in the format of Prometheus' exporter-toolkit.
//!
//! The file and those that it names are looked at on every connection and request, and read again when one of them has
//! changed: by one thread at a time, and never by one that serves others, since a disk may hang. A changed file that cannot be
//! followed is told in the log and changes nothing. Nor does a change take TLS, client certificates or passwords away: a file
//! that is half written, or empty because a disk is full, lets nobody in.

mod file;
mod limit;
mod tls;
mod users;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rustls::ServerConfig;
use tokio::time::timeout;

use super::problem::Problem;
use crate::ports::Clock;
use file::{File, Headers};
use limit::Limit;
pub use tls::Certificates;
use users::{Users, Verified};

/// A web configuration has a few dozen lines and perhaps certificates in them.
const LARGEST: u64 = 1 << 20;
/// How long a request waits for a look at the files, for which a millisecond is plenty, before it goes by the rules that hold.
const LOOK_WITHIN: Duration = Duration::from_secs(1);

/// Why the file cannot be followed. No words of it hold a secret.
#[derive(Debug, thiserror::Error)]
pub enum WebConfigError {
    /// It cannot be read.
    #[error("the file cannot be read: {0}")]
    Read(std::io::Error),
    /// It is no web configuration: no YAML, or with keys or values that do not exist.
    #[error("{0}")]
    Shape(String),
    /// The section about TLS asks for what cannot be.
    #[error("tls_server_config: {0}")]
    Tls(String),
    /// A user's password is no bcrypt hash.
    #[error("basic_auth_users: what stands for {0:?} is no bcrypt hash; `htpasswd -nBC 10 ''` makes one")]
    User(String),
    /// A header with a value that no header can have.
    #[error("http_server_config: the value of {0} cannot stand in a header")]
    Header(HeaderName),
    /// It takes TLS, client certificates or passwords away.
    #[error("it asks for no {0} any more, and only a restart takes that back")]
    Opened(&'static str),
    /// The operating system gave no random bytes.
    #[error("no random bytes: {0}")]
    Random(getrandom::Error),
}

/// What the file says now, followed from change to change.
pub struct WebConfig {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    verified: Verified,
    rules: Mutex<Arc<Rules>>,
    /// Held while the files are looked at.
    seen: Mutex<Seen>,
}

/// The files as they were when they were last read, for good or bad.
type Seen = Vec<(PathBuf, Option<Stamp>)>;

/// What tells a changed file: its inode, the time of its last change of any kind in seconds and nanoseconds, its length.
type Stamp = (u64, i64, i64, u64);

/// What holds now.
struct Rules {
    tls: Option<tls::Server>,
    users: Users,
    headers: Vec<(HeaderName, HeaderValue)>,
    limit: Option<Limit>,
}

impl Rules {
    /// What is asked for, in words, and whether it is.
    fn asks(&self) -> [(&'static str, bool); 3] {
        let certified = self.tls.as_ref().is_some_and(|server| !server.certificates.clients.is_empty());
        [("TLS", self.tls.is_some()), ("client certificate", certified), ("password", !self.users.is_empty())]
    }

    /// These, unless they open what `former` kept closed.
    fn no_more_open_than(self, former: &Self) -> Result<Self, WebConfigError> {
        let opened = former.asks().into_iter().zip(self.asks()).find(|((_, asked), (_, asks))| *asked && !asks);
        opened.map_or(Ok(self), |((what, _), _)| Err(WebConfigError::Opened(what)))
    }
}

impl WebConfig {
    /// Reads the file and those that it names.
    ///
    /// # Errors
    /// If it cannot be followed.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Arc<Self>, WebConfigError> {
        let mut seen = vec![(path.to_owned(), stamp(path))];
        let rules = Arc::new(read(path, &mut seen)?);
        let (path, verified) = (path.to_owned(), Verified::new()?);
        Ok(Arc::new(Self { path, clock, verified, rules: Mutex::new(rules), seen: Mutex::new(seen) }))
    }

    /// What new connections speak: TLS by these rules, or plain text.
    pub(super) async fn tls(self: &Arc<Self>) -> Option<Arc<ServerConfig>> {
        self.newest_rules().await.tls.as_ref().map(|server| Arc::clone(&server.config))
    }

    /// The certificates that clients are shown; none while connections are not encrypted.
    pub fn certificates(&self) -> Option<Certificates> {
        self.rules().tls.as_ref().map(|server| server.certificates.clone())
    }

    /// Whether connections are encrypted now.
    pub fn is_tls(&self) -> bool {
        self.rules().tls.is_some()
    }

    /// The rules that hold.
    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same, after a look at the files; without one if that takes long or another is under way.
    async fn newest_rules(self: &Arc<Self>) -> Arc<Rules> {
        let this = Arc::clone(self);
        let _ = timeout(LOOK_WITHIN, tokio::task::spawn_blocking(move || this.look())).await;
        self.rules()
    }

    /// Puts the files in force as they are now, if they changed and can be followed.
    fn look(&self) {
        let mut seen = match self.seen.try_lock() {
            Ok(seen) => seen,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if seen.iter().all(|(path, seen)| stamp(path) == *seen) {
            return;
        }
        // Stamped before it is read: what changes meanwhile is read again.
        let mut now = vec![(self.path.clone(), stamp(&self.path))];
        match read(&self.path, &mut now).and_then(|rules| rules.no_more_open_than(&self.rules())) {
            Ok(rules) => {
                tracing::info!(path = %self.path.display(), "the web configuration was read again");
                *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
            }
            Err(error) => {
                tracing::error!(path = %self.path.display(), %error, "the web configuration has changed and cannot be followed, so the old one stays: {error}");
                // The files of the rules that hold on are watched too: mending one of them is a change.
                for (path, _) in seen.drain(..) {
                    if !now.iter().any(|(known, _)| *known == path) {
                        now.push((path.clone(), stamp(&path)));
                    }
                }
            }
        }
        *seen = now;
    }
}

/// Lets a request through that keeps to the limit and is a user's.
pub(super) async fn admit(State(web): State<Arc<WebConfig>>, request: Request, next: Next) -> Response {
    let rules = web.newest_rules().await;
    let mut response = if rules.limit.as_ref().is_some_and(|limit| !limit.admits(web.clock.monotonic())) {
        Problem::too_many().into_response()
    } else if rules.users.is_empty() || web.verified.lets_in(&rules.users, request.headers()).await {
        next.run(request).await
    } else {
        let mut response = Problem::unknown_user().into_response();
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"rekeyd\""));
        response
    };
    for (name, value) in &rules.headers {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    response
}

fn stamp(path: &Path) -> Option<Stamp> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.ctime(), file.ctime_nsec(), file.len()))
}

/// Reads it all, and notes each file that bears on it.
fn read(path: &Path, seen: &mut Vec<(PathBuf, Option<Stamp>)>) -> Result<Rules, WebConfigError> {
    let length = std::fs::metadata(path).map_err(WebConfigError::Read)?.len();
    if length > LARGEST {
        return Err(WebConfigError::Shape(format!("it is larger than {LARGEST} bytes")));
    }
    let text = std::fs::read_to_string(path).map_err(WebConfigError::Read)?;
    let file = parse(&text)?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let tls = file.tls_server_config.unwrap_or_default();
    seen.extend(tls::files(&tls, folder).into_iter().map(|path| (path.clone(), stamp(&path))));
    let limit = file.rate_limit.and_then(|limit| Some(Limit::new(limit.interval.0?, limit.burst)));
    Ok(Rules {
        tls: tls::server(&tls, folder)?,
        users: Users::new(file.basic_auth_users.unwrap_or_default())?,
        headers: headers(file.http_server_config.unwrap_or_default().headers)?,
        limit,
    })
}

/// The file's text as its shape. An error names the place and what was expected, and quotes no line: there are secrets.
fn parse(text: &str) -> Result<File, WebConfigError> {
    let options = serde_saphyr::options! { with_snippet: false };
    let file: Result<Option<File>, _> = serde_saphyr::from_str_with_options(text, options);
    file.map(Option::unwrap_or_default).map_err(|error| WebConfigError::Shape(error.to_string()))
}

fn headers(headers: Headers) -> Result<Vec<(HeaderName, HeaderValue)>, WebConfigError> {
    let Headers {
        content_security_policy,
        x_frame_options,
        x_content_type_options,
        x_xss_protection,
        strict_transport_security,
    } = headers;
    let given = [
        (header::CONTENT_SECURITY_POLICY, content_security_policy),
        (header::X_FRAME_OPTIONS, x_frame_options),
        (header::X_CONTENT_TYPE_OPTIONS, x_content_type_options),
        (header::X_XSS_PROTECTION, x_xss_protection),
        (header::STRICT_TRANSPORT_SECURITY, strict_transport_security),
    ];
    given
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)))
        .map(|(name, value)| match HeaderValue::from_str(&value) {
            Ok(value) => Ok((name, value)),
            Err(_) => Err(WebConfigError::Header(name)),
        })
        .collect()
}
