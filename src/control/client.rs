//! The other end of the socket: gives an order, and says in words what is wrong when it cannot.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::wire::{DaemonState, Frozen, Orderable, Paused, Reasoned, ReloadOrder, Reloaded, TargetState};

/// How long to wait for what only has to be told.
const TO_TELL: Duration = Duration::from_secs(30);
/// How long to wait for an order: longer than the daemon itself waits with one, so that its own words come first.
const TO_ORDER: Duration = Duration::from_secs(330);

/// Why an order was not given, or not taken.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens.
    #[error("the daemon does not run, or not with this configuration: nobody listens on {}", .0.display())]
    Down(PathBuf),
    /// The socket is there and closed to this user.
    #[error("this user may not connect to {}", .0.display())]
    Closed(PathBuf),
    /// The conversation broke off.
    #[error("the daemon did not answer on {}: {reason}", path.display())]
    Broken {
        /// The socket.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The daemon's own words.
    #[error("{0}")]
    Refused(String),
}

/// A way to the daemon of one configuration.
pub struct Client {
    socket: PathBuf,
    http: reqwest::Client,
}

impl Client {
    /// Finds out whether there is someone to talk to.
    pub fn new(socket: &Path) -> Result<Self, ClientError> {
        UnixStream::connect(socket).map_err(|error| {
            let is = |kind| error.kind() == kind;
            if is(io::ErrorKind::NotFound) || is(io::ErrorKind::ConnectionRefused) {
                ClientError::Down(socket.to_owned())
            } else if is(io::ErrorKind::PermissionDenied) {
                ClientError::Closed(socket.to_owned())
            } else {
                ClientError::Broken { path: socket.to_owned(), reason: error.to_string() }
            }
        })?;
        // Nothing is encrypted here, but the client is not built without.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().unix_socket(socket).pool_max_idle_per_host(0).build();
        let http = http.map_err(|error| ClientError::Broken { path: socket.to_owned(), reason: error.to_string() })?;
        Ok(Self { socket: socket.to_owned(), http })
    }

    /// The targets whose names match, as they stand.
    pub async fn targets(&self, glob: &str) -> Result<Vec<TargetState>, ClientError> {
        let url = reqwest::Url::parse_with_params("http://localhost/v1/targets", [("match", glob)]);
        let url = url.expect("a constant and an encoded parameter");
        self.exchange(self.http.get(url).timeout(TO_TELL)).await
    }

    /// What the daemon knows of itself.
    pub async fn daemon(&self) -> Result<DaemonState, ClientError> {
        self.exchange(self.http.get("http://localhost/v1/daemon").timeout(TO_TELL)).await
    }

    /// The pauses that stand.
    pub async fn pauses(&self) -> Result<Vec<Paused>, ClientError> {
        self.exchange(self.http.get("http://localhost/v1/pauses").timeout(TO_TELL)).await
    }

    /// The freezes that stand or are to come.
    pub async fn freezes(&self) -> Result<Vec<Frozen>, ClientError> {
        self.exchange(self.http.get("http://localhost/v1/freezes").timeout(TO_TELL)).await
    }

    /// Gives an order.
    pub async fn order<T: Orderable>(&self, order: &Reasoned<T>) -> Result<T::Answer, ClientError> {
        self.post(&T::path(), order).await
    }

    /// Has the configuration read again; what has changed.
    pub async fn reload(&self, order: &ReloadOrder) -> Result<Reloaded, ClientError> {
        self.post("/v1/reload", order).await
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, order: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_string(order).expect("orders are plain structs");
        let request = self.http.post(format!("http://localhost{path}")).timeout(TO_ORDER);
        self.exchange(request.header("content-type", "application/json").body(body)).await
    }

    async fn exchange<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, ClientError> {
        let broken = |reason: String| ClientError::Broken { path: self.socket.clone(), reason };
        let cut = |error: reqwest::Error| {
            let deepest = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source()).last();
            broken(deepest.map_or_else(|| error.to_string(), ToString::to_string))
        };
        let response = request.send().await.map_err(cut)?;
        let status = response.status();
        let body = response.bytes().await.map_err(cut)?;
        if status.is_success() {
            return serde_json::from_slice(&body)
                .map_err(|error| broken(format!("it said what is no answer: {error}")));
        }
        let words = serde_json::from_slice::<serde_json::Value>(&body).ok();
        let words = words.as_ref().and_then(|words| words.get("error")?.as_str());
        Err(ClientError::Refused(words.map_or_else(|| format!("HTTP status {status}"), str::to_owned)))
    }
}
