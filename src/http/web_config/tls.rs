//! TLS as the file asks for it: certificates, versions, ciphers, and which clients are let in.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme,
    SupportedCipherSuite, SupportedProtocolVersion,
};
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

use super::WebConfigError;
use super::file::{ClientAuth, Tls, Version};

/// A setting of this section that cannot be followed.
fn wrong(what: impl Into<String>) -> WebConfigError {
    WebConfigError::Tls(what.into())
}

/// The files that the section names, as the watcher needs them; relative ones are beside the web configuration file.
pub(super) fn files(tls: &Tls, folder: &Path) -> Vec<PathBuf> {
    [&tls.cert_file, &tls.key_file, &tls.client_ca_file].into_iter().flatten().map(|file| folder.join(file)).collect()
}

/// The listener's own certificates, and the authorities of its clients' certificates.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// Its own certificate, and those between it and its authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its clients' authorities; none where nobody has to be vouched for.
    pub clients: Vec<CertificateDer<'static>>,
}

impl Certificates {
    /// The names in its own certificate; none where it cannot be understood.
    pub fn names(&self) -> Vec<String> {
        self.chain.first().and_then(|own| names(own).ok()).unwrap_or_default()
    }

    /// Whether its own certificate holds for a client that calls it by this name, or address.
    pub fn hold_for(&self, host: &str) -> bool {
        let own = self.chain.first().and_then(|own| ParsedCertificate::try_from(own).ok());
        let name = ServerName::try_from(host).ok();
        own.zip(name).is_some_and(|(own, name)| verify_server_name(&own, &name).is_ok())
    }
}

/// TLS as the listener speaks it.
pub(super) struct Server {
    pub(super) config: Arc<ServerConfig>,
    pub(super) certificates: Certificates,
}

/// What the listener's TLS follows; none if the section asks for none.
pub(super) fn server(tls: &Tls, folder: &Path) -> Result<Option<Server>, WebConfigError> {
    let text = |inline: &Option<String>, file: &Option<String>, name: &str| match (inline, file) {
        (Some(_), Some(_)) => Err(wrong(format!("both `{name}` and `{name}_file` are given; one of them"))),
        (Some(text), None) => Ok(Some(text.clone().into_bytes())),
        (None, Some(file)) => {
            let path = folder.join(file);
            std::fs::read(&path).map(Some).map_err(|error| wrong(format!("`{name}_file` {}: {error}", path.display())))
        }
        (None, None) => Ok(None),
    };
    let certificate = text(&tls.cert, &tls.cert_file, "cert")?;
    let key = text(&tls.key, &tls.key_file, "key")?;
    let authority = text(&tls.client_ca, &tls.client_ca_file, "client_ca")?;
    let (certificate, key) = match (certificate, key) {
        (Some(certificate), Some(key)) => (certificate, key),
        (Some(_), None) => return Err(wrong("`key_file` is missing")),
        (None, Some(_)) => return Err(wrong("`cert_file` is missing")),
        (None, None) if authority.is_none() && tls.client_auth_type == ClientAuth::NoClientCert => return Ok(None),
        (None, None) => return Err(wrong("`cert_file` and `key_file` are missing")),
    };
    let chain = certificates(&certificate, "cert")?;
    let authorities = authority.as_deref().map_or(Ok(Vec::new()), |pem| certificates(pem, "client_ca"))?;
    let known = Certificates { chain: chain.clone(), clients: authorities.clone() };
    // The library's words name no part of the key.
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| wrong(format!("`key_file`: {error}")))?;
    let provider = Arc::new(provider(tls)?);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&versions(tls)?)
        .map_err(|error| wrong(error.to_string()))?;
    let builder = match clients(tls, authorities, &provider)? {
        None => builder.with_no_client_auth(),
        Some(verifier) => builder.with_client_cert_verifier(verifier),
    };
    let mut config =
        builder.with_single_cert(chain, key).map_err(|error| wrong(format!("`cert_file` and `key_file`: {error}")))?;
    config.ignore_client_order = tls.prefer_server_cipher_suites.unwrap_or(true);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Server { config: Arc::new(config), certificates: known }))
}

fn certificates(pem: &[u8], name: &str) -> Result<Vec<CertificateDer<'static>>, WebConfigError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err(wrong(format!("`{name}_file` holds no certificate in PEM"))),
        Ok(chain) => Ok(chain),
        Err(error) => Err(wrong(format!("`{name}_file`: {error}"))),
    }
}

fn versions(tls: &Tls) -> Result<Vec<&'static SupportedProtocolVersion>, WebConfigError> {
    let (min, max) = (tls.min_version.unwrap_or(Version::Tls12), tls.max_version.unwrap_or(Version::Tls13));
    let known = [(Version::Tls13, &rustls::version::TLS13), (Version::Tls12, &rustls::version::TLS12)];
    let versions: Vec<_> =
        known.into_iter().filter(|(version, _)| (min..=max).contains(version)).map(|(_, version)| version).collect();
    if versions.is_empty() {
        return Err(wrong("no version from `min_version` to `max_version` is supported; there are TLS12 and TLS13"));
    }
    Ok(versions)
}

fn provider(tls: &Tls) -> Result<CryptoProvider, WebConfigError> {
    let mut provider = ring::default_provider();
    if !tls.cipher_suites.is_empty() {
        // The list is about TLS 1.2; those of 1.3 are not chosen, in Go neither.
        let of_tls13 = provider.cipher_suites.iter().copied().filter(|suite| suite.tls13().is_some());
        let chosen: Result<Vec<_>, _> = tls.cipher_suites.iter().map(|name| cipher_suite(name)).collect();
        provider.cipher_suites = of_tls13.chain(chosen?.into_iter().flatten()).collect();
    }
    if !tls.curve_preferences.is_empty() {
        let chosen = tls.curve_preferences.iter().map(|name| match name.as_str() {
            "X25519" => Ok(ring::kx_group::X25519),
            "CurveP256" => Ok(ring::kx_group::SECP256R1),
            "CurveP384" => Ok(ring::kx_group::SECP384R1),
            other => Err(wrong(format!("curve {other} is not supported; there are X25519, CurveP256 and CurveP384"))),
        });
        provider.kx_groups = chosen.collect::<Result<_, _>>()?;
    }
    Ok(provider)
}

/// A suite by its name in Go; none for one of TLS 1.3, which need not be chosen.
fn cipher_suite(name: &str) -> Result<Option<SupportedCipherSuite>, WebConfigError> {
    use ring::cipher_suite as suite;
    Ok(Some(match name {
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" => suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" => suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" => suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" => suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" => suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" => suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        "TLS_AES_128_GCM_SHA256" | "TLS_AES_256_GCM_SHA384" | "TLS_CHACHA20_POLY1305_SHA256" => return Ok(None),
        other => return Err(wrong(format!("cipher suite {other} is not supported: only AEAD suites with ECDHE are"))),
    }))
}

fn clients(
    tls: &Tls,
    authorities: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, WebConfigError> {
    let (verified, mandatory) = match tls.client_auth_type {
        ClientAuth::NoClientCert if !authorities.is_empty() => {
            return Err(wrong("`client_ca_file` is given, but `client_auth_type` asks no client for a certificate"));
        }
        ClientAuth::NoClientCert | ClientAuth::RequestClientCert | ClientAuth::VerifyClientCertIfGiven
            if tls.client_allowed_sans.is_some() =>
        {
            return Err(wrong(
                "`client_allowed_sans` needs a `client_auth_type` that requires a certificate: RequireAnyClientCert or \
                 RequireAndVerifyClientCert",
            ));
        }
        ClientAuth::NoClientCert => return Ok(None),
        ClientAuth::RequestClientCert => (false, false),
        ClientAuth::RequireAnyClientCert => (false, true),
        ClientAuth::VerifyClientCertIfGiven => (true, false),
        ClientAuth::RequireAndVerifyClientCert => (true, true),
    };
    let authority = match verified {
        false => None,
        true if authorities.is_empty() => {
            return Err(wrong("`client_auth_type` verifies certificates, but there is no `client_ca_file`"));
        }
        true => {
            let mut roots = RootCertStore::empty();
            for certificate in authorities {
                roots.add(certificate).map_err(|error| wrong(format!("`client_ca_file`: {error}")))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
            Some(verifier.map_err(|error| wrong(format!("`client_ca_file`: {error}")))?)
        }
    };
    let allowed_sans = tls.client_allowed_sans.clone();
    Ok(Some(Arc::new(Clients { authority, mandatory, allowed_sans, provider: Arc::clone(provider) })))
}

/// Which clients are let in. A client that shows a certificate must hold its key, whatever else is asked.
#[derive(Debug)]
struct Clients {
    /// The authority that must have signed their certificates; none if any will do.
    authority: Option<Arc<dyn ClientCertVerifier>>,
    /// Whether a client without a certificate is turned away.
    mandatory: bool,
    /// One of these names must be in the certificate, exactly so.
    allowed_sans: Option<Vec<String>>,
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for Clients {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authority.as_ref().map_or(&[], |authority| authority.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(authority) = &self.authority {
            authority.verify_client_cert(end_entity, intermediates, now)?;
        }
        if let Some(allowed) = &self.allowed_sans
            && !names(end_entity)?.iter().any(|name| allowed.contains(name))
        {
            return Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure));
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// A certificate's alternative names: hosts, mail addresses, URIs and addresses.
fn names(certificate: &CertificateDer<'_>) -> Result<Vec<String>, Error> {
    let unreadable = || Error::InvalidCertificate(CertificateError::BadEncoding);
    let (_, certificate) = parse_x509_certificate(certificate).map_err(|_| unreadable())?;
    let alternative = certificate.subject_alternative_name().map_err(|_| unreadable())?;
    let names = alternative.into_iter().flat_map(|names| &names.value.general_names).filter_map(|name| {
        if let GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) = name {
            Some((*text).to_owned())
        } else if let GeneralName::IPAddress(bytes) = name {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)).ok().map(|address| address.to_string())
        } else {
            None
        }
    });
    Ok(names.collect())
}
