//! One HTTP request and its reply, under limits of time and size. Knows nothing of logins and documents.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::tls::TlsInfo;
use reqwest::{Certificate, Client, Identity, Method, Proxy, Response, Url};
use secrecy::{ExposeSecret, SecretString};

use crate::ports::{Objection, Operation};

use super::error::{Error, Unreadable};

/// Longest wait for a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Below what servers and balancers allow an idle connection, so that a request seldom meets one being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest page of a listing: 500 entries of 16 KiB each.
const LONGEST_LISTING: usize = 8 * 1024 * 1024;
/// Longest other document.
const LONGEST_DOCUMENT: usize = 64 * 1024;

/// How to reach one server.
pub(super) struct Route<'a> {
    pub(super) ca_pem: Option<&'a [u8]>,
    pub(super) identity_pem: Option<&'a SecretString>,
    pub(super) proxy: Option<&'a str>,
    pub(super) request_timeout: Duration,
    pub(super) connections: usize,
}

/// Settings that no connection can be made with. Says nothing secret.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The address is not one that requests can be sent to.
    #[error("\"{0}\" is not an http or https address")]
    Url(String),
    /// A header cannot carry the public key.
    #[error("the public key is empty or holds control characters")]
    PublicKey,
    /// The file of certificate authorities is of no use.
    #[error("the CA file holds no usable PEM certificate")]
    Ca,
    /// The client's certificate or key is of no use.
    #[error("the client certificate and its key are not usable PEM: {0}")]
    Identity(String),
    /// The proxy is not an address. It is not shown, since it may hold a password.
    #[error("the proxy is not a usable address")]
    Proxy,
    /// The TLS library refused the whole.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

/// One request.
pub(super) struct Call<'a> {
    pub(super) operation: Operation,
    pub(super) url: Url,
    /// Asked each time before it leaves; none if it always may.
    pub(super) objection: Option<Objection<'a>>,
}

impl Call<'_> {
    /// One that only reads.
    pub(super) fn reading(operation: Operation, url: Url) -> Self {
        Self { operation, url, objection: None }
    }

    pub(super) fn method(&self) -> Method {
        match self.operation {
            Operation::List | Operation::GetKey => Method::GET,
            Operation::RotateKey => Method::PUT,
        }
    }

    /// The path with the query, as it goes out.
    pub(super) fn uri(&self) -> String {
        match self.url.query() {
            Some(query) => format!("{}?{query}", self.url.path()),
            None => self.url.path().to_owned(),
        }
    }

    fn longest_body(&self, status: u16) -> usize {
        match self.operation {
            Operation::List if is_success(status) => LONGEST_LISTING,
            Operation::List | Operation::GetKey | Operation::RotateKey => LONGEST_DOCUMENT,
        }
    }
}

/// A reply, as far as it came.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// The body was read to its end in any case, or given up: so the connection serves again, or is closed.
    pub(super) body: Result<Vec<u8>, Error>,
    /// The certificate that the server showed, in DER; none without TLS.
    pub(super) certificate: Option<Vec<u8>>,
}

impl Reply {
    pub(super) fn is_success(&self) -> bool {
        is_success(self.status)
    }
}

fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

/// The connections to one server.
pub(super) struct Transport {
    client: Client,
    request_timeout: Duration,
}

impl Transport {
    /// Connects to nothing yet.
    ///
    /// A CA file stands alone: whoever names the authority that vouches for a manager does not want the public ones to
    /// do so as well. Needs the process-wide crypto provider of rustls to be installed.
    pub(super) fn new(route: &Route<'_>) -> Result<Self, SetupError> {
        let mut client = Client::builder()
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT.min(route.request_timeout / 2))
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(route.connections)
            // A redirected digest is signed for the wrong path, and a redirected PUT is not the one that was asked for.
            .redirect(reqwest::redirect::Policy::none())
            // What is sent again, and when, is the engine's decision alone.
            .retry(reqwest::retry::never())
            .tls_version_min(reqwest::tls::Version::TLS_1_2)
            .user_agent(concat!("rekeyd/", env!("CARGO_PKG_VERSION")))
            .tls_info(true)
            .no_proxy();
        if let Some(proxy) = route.proxy {
            client = client.proxy(Proxy::all(proxy).map_err(|_| SetupError::Proxy)?);
        }
        if let Some(pem) = route.ca_pem {
            let authorities = Certificate::from_pem_bundle(pem).map_err(|_| SetupError::Ca)?;
            if authorities.is_empty() {
                return Err(SetupError::Ca);
            }
            client = client.tls_certs_only(authorities);
        }
        if let Some(pem) = route.identity_pem {
            let identity = Identity::from_pem(pem.expose_secret().as_bytes());
            client = client.identity(identity.map_err(|error| SetupError::Identity(causes(&error)))?);
        }
        let client = client.build().map_err(|error| SetupError::Tls(causes(&error)))?;
        Ok(Self { client, request_timeout: route.request_timeout })
    }

    /// Sends once. `left` is what is left of the request time-out: for everything, from connecting to the last byte of
    /// the body.
    pub(super) async fn send(
        &self,
        call: &Call<'_>,
        authorization: Option<HeaderValue>,
        left: Duration,
    ) -> Result<Reply, Error> {
        let mut request = self
            .client
            .request(call.method(), call.url.clone())
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .timeout(left);
        if let Some(value) = authorization {
            request = request.header(AUTHORIZATION, value);
            if call.operation == Operation::RotateKey {
                // The documents know no body here, yet their sample declares JSON. An empty object is right either
                // way, where nothing at all is not JSON.
                request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body("{}");
            }
        }
        let network = |error| Error::network(error, self.request_timeout);
        let mut response = request.send().await.map_err(network)?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        let tls = response.extensions_mut().remove::<TlsInfo>();
        let certificate = tls.and_then(|tls| tls.peer_certificate().map(<[u8]>::to_vec));
        let body = match read(&mut response, call.longest_body(status)).await {
            Ok(Some(body)) => Ok(body),
            Ok(None) => {
                let unreadable = Unreadable::TooLong(call.longest_body(status));
                Err(Error::Unreadable { status, unreadable })
            }
            Err(error) => Err(network(error)),
        };
        Ok(Reply { status, headers, body, certificate })
    }
}

/// The body; none if it is longer than allowed.
async fn read(response: &mut Response, longest: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > longest {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Everything beneath reqwest's own words.
fn causes(error: &dyn std::error::Error) -> String {
    let mut causes = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        causes.push(cause.to_string());
        next = cause.source();
    }
    causes.join(": ")
}
