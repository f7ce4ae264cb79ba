//! A second opinion on a target's key: another client that shares no code with ours, but for the settings.
//!
//! `demo` ends with it: that our own client sees a new key might be our own mistake, that two see it is not.

use diqwest::WithDigestAuth;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Identity, Proxy};
use secrecy::ExposeSecret;

use super::ops_manager::Settings;
use crate::domain::{KeyId, Target};

/// Why there is no second opinion.
#[derive(Debug, thiserror::Error)]
pub enum SecondReaderError {
    /// The client could not be made, or the connection failed.
    #[error("the second client could not ask")]
    Network(#[from] reqwest::Error),
    /// The login could not be answered.
    #[error("the second client could not log in")]
    Login(#[from] diqwest::error::Error),
    /// The server said something else than yes.
    #[error("the second client got HTTP {0}")]
    Status(u16),
    /// No key in the reply.
    #[error("the second client saw no key in the reply")]
    NoKey,
}

/// Reads the target's key once, with diqwest.
pub async fn read_key(settings: &Settings, target: &Target) -> Result<KeyId, SecondReaderError> {
    let mut client = Client::builder().timeout(settings.request_timeout).redirect(Policy::none()).no_proxy();
    if let Some(proxy) = &settings.proxy {
        client = client.proxy(Proxy::all(proxy)?);
    }
    if let Some(pem) = &settings.ca_pem {
        client = client.tls_certs_only(Certificate::from_pem_bundle(pem)?);
    }
    if let Some(pem) = &settings.identity_pem {
        client = client.identity(Identity::from_pem(pem.expose_secret().as_bytes())?);
    }
    let url = format!(
        "{}/api/public/v1.0/groups/{}/backupConfigs/{}/encryptionKey",
        settings.url.trim_end_matches('/'),
        target.project_id,
        target.cluster_id,
    );
    let login = (settings.public_key.as_str(), settings.private_key.expose_secret());
    let mut response = client.build()?.get(url).send_digest_auth(login).await?;
    if !response.status().is_success() {
        return Err(SecondReaderError::Status(response.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend_from_slice(&chunk);
        if body.len() > 64 * 1024 {
            return Err(SecondReaderError::NoKey);
        }
    }
    let document: serde_json::Value = serde_json::from_slice(&body).map_err(|_| SecondReaderError::NoKey)?;
    let key = document.get("encryptionKeyUUID").and_then(serde_json::Value::as_str);
    key.map(KeyId::from).ok_or(SecondReaderError::NoKey)
}
