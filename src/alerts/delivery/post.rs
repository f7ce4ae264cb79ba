//! One request to a receiver, bounded in time. What comes back but its status is not read.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, Proxy, Url};
use secrecy::{ExposeSecret, SecretString};

use crate::domain::retry_after;
use crate::ports::Clock;

/// For everything, from the name to the status.
const WITHIN: Duration = Duration::from_secs(10);
/// A receiver may ask to be left alone for an hour, not for ever.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// How to reach a receiver. An address may itself be a secret: to know it is enough to write there.
#[derive(Debug)]
pub struct Address {
    /// Where.
    pub url: SecretString,
    /// The whole value of the header `Authorization`.
    pub authorization: Option<SecretString>,
    /// The only authorities to trust, as PEM; none for those of the system.
    pub ca_pem: Option<Vec<u8>>,
    /// The proxy to go through.
    pub proxy: Option<String>,
}

/// Why a receiver can never be reached as it is configured. Says nothing secret.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The address is none.
    #[error("its address is not an http or https address")]
    Url,
    /// No header can carry it.
    #[error("its authorization holds control characters")]
    Authorization,
    /// The file of authorities is of no use.
    #[error("its CA file holds no usable PEM certificate")]
    Ca,
    /// The proxy is no address.
    #[error("its proxy is not a usable address")]
    Proxy,
    /// The TLS library refused these settings.
    #[error("TLS cannot be set up")]
    Tls,
}

/// Why it did not take what was sent. Says nothing of the address but what the network says.
#[derive(Debug)]
pub(super) struct Refused {
    /// The HTTP status, if one came.
    pub(super) status: Option<u16>,
    pub(super) words: String,
    pub(super) retry_after: Option<Duration>,
}

/// Whether somebody answers at an address: the HTTP status, or in words what is in the way. Tells nobody of anything. Needs the
/// process-wide crypto provider of rustls to be installed.
///
/// # Errors
/// If the receiver can never be reached as it is configured.
pub async fn knock(address: &Address) -> Result<Result<u16, String>, SetupError> {
    Ok(Post::new(address)?.knock().await)
}

/// A way to one receiver.
pub(super) struct Post {
    client: Client,
    url: Url,
    authorization: Option<HeaderValue>,
}

impl Post {
    /// Connects to nothing yet. Needs the process-wide crypto provider of rustls to be installed.
    pub(super) fn new(address: &Address) -> Result<Self, SetupError> {
        let url = Url::parse(address.url.expose_secret()).map_err(|_| SetupError::Url)?;
        let authorization = address.authorization.as_ref().map(|value| {
            let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_| SetupError::Authorization)?;
            value.set_sensitive(true);
            Ok(value)
        });
        let mut client = Client::builder()
            .http1_only()
            .timeout(WITHIN)
            .pool_max_idle_per_host(1)
            // Another server must not get the alerts, let alone the login.
            .redirect(reqwest::redirect::Policy::none())
            // When to send again is the courier's decision.
            .retry(reqwest::retry::never())
            .user_agent(concat!("rekeyd/", env!("CARGO_PKG_VERSION")))
            .no_proxy();
        if let Some(proxy) = &address.proxy {
            client = client.proxy(Proxy::all(proxy).map_err(|_| SetupError::Proxy)?);
        }
        if let Some(pem) = &address.ca_pem {
            client = client.tls_certs_only(Certificate::from_pem_bundle(pem).map_err(|_| SetupError::Ca)?);
        }
        let client = client.build().map_err(|_| SetupError::Tls)?;
        Ok(Self { client, url, authorization: authorization.transpose()? })
    }

    /// Asks for the server's front page, without the address's path and without the login: enough to know that it answers, and
    /// neither an alert nor a sign of life.
    async fn knock(&self) -> Result<u16, String> {
        let front = self.url.join("/").map_err(|_| "its address has no front page".to_owned())?;
        let reply = self.client.head(front).send().await.map_err(|error| words_of(&error))?;
        Ok(reply.status().as_u16())
    }

    /// Sends the body as JSON by POST, or asks by GET without one. The status, if it was taken.
    pub(super) async fn send(&self, body: Option<String>, clock: &dyn Clock) -> Result<u16, Refused> {
        let request = match body {
            Some(body) => {
                let json = HeaderValue::from_static("application/json");
                self.client.post(self.url.clone()).header(CONTENT_TYPE, json).body(body)
            }
            None => self.client.get(self.url.clone()),
        };
        let request = match &self.authorization {
            Some(value) => request.header(AUTHORIZATION, value.clone()),
            None => request,
        };
        // The reply's body is dropped unread: nothing in it matters, and it may be endless.
        let response = request.send().await.map_err(|error| Refused {
            status: None,
            words: words_of(&error),
            retry_after: None,
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(status.as_u16());
        }
        let asked =
            response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?, clock.now()));
        let elsewhere = if status.is_redirection() { ", and redirects are not followed" } else { "" };
        Err(Refused {
            status: Some(status.as_u16()),
            words: format!("HTTP {}{elsewhere}", status.as_u16()),
            retry_after: asked.map(|asked| asked.min(LONGEST_RETRY_AFTER)),
        })
    }
}

/// What the network said, without reqwest's own words: they hold the address.
fn words_of(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("no reply within {} s", WITHIN.as_secs());
    }
    let what = if error.is_connect() { "no connection" } else { "no whole reply" };
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(error);
    while let Some(deeper) = cause.and_then(std::error::Error::source) {
        cause = Some(deeper);
    }
    cause.map_or_else(|| what.to_owned(), |cause| format!("{what}: {cause}"))
}
