//! TLS: whom a manager's client trusts, what it shows of itself, and what it says when that fails.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rekeyd::domain::{Failure, Reason, Scope, Verdict};
use rekeyd::ports::KeyService;
use rekeyd::remote::SetupError;
use rekeyd::remote::ops_manager::{OpsManager, Settings};
use rekeyd::remote::second_reader;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::far_end::{Told, ops_manager, real_clock, settings, target};

/// An authority that signs certificates for `localhost`.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(crate) struct Signed {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate"))
    }

    /// A certificate that expires on the first of January of this year.
    pub(crate) fn sign(&self, expires: i32) -> Signed {
        self.sign_until(expires, 1, 1)
    }

    /// A certificate that expires on this day.
    pub(crate) fn sign_until(&self, year: i32, month: u8, day: u8) -> Signed {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        (params.not_before, params.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(year, month, day));
        let key = KeyPair::generate().expect("a key");
        Signed { certificate: params.signed_by(&key, &self.0).expect("a certificate"), key }
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }
}

impl Signed {
    /// Key and certificate in one text.
    pub(crate) fn pem(&self) -> String {
        self.key.serialize_pem() + &self.certificate.pem()
    }
}

/// A server that names a key to whoever gets through the handshake; with `clients`, only to those they vouch for.
pub(crate) async fn serve(own: &Signed, clients: Option<&Authority>) -> SocketAddr {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = match clients {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.0.der().clone()).expect("a certificate");
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().expect("a verifier");
            ServerConfig::builder().with_client_cert_verifier(verifier)
        }
    };
    let chain: Vec<CertificateDer<'static>> = vec![own.certificate.der().clone()];
    let key = PrivateKeyDer::try_from(own.key.serialize_der()).expect("a key");
    let acceptor = TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).expect("a configuration")));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = match acceptor.accept(stream).into_fallible().await {
                    Ok(stream) => stream,
                    // Stays until the client leaves: closing with a request unread would reset the connection, and
                    // the reset may overtake the alert.
                    Err((_, mut stream)) => {
                        let _ = stream.read_to_end(&mut Vec::new()).await;
                        return;
                    }
                };
                let _ = stream.read(&mut [0; 4096]).await;
                let body = r#"{"encryptionKeyUUID":"k"}"#;
                let reply = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                let _ = stream.write_all(reply.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    address
}

fn to(address: SocketAddr, trusted: &Authority) -> Settings {
    Settings { ca_pem: Some(trusted.pem()), ..settings(&format!("https://localhost:{}", address.port())) }
}

/// What a PUT comes to that fails in the handshake.
async fn refused(settings: Settings) -> Failure {
    let failure = ops_manager(settings).rotate(&target(), &|| None).await.expect_err("no handshake");
    assert_eq!((failure.reason, failure.scope), (Reason::Tls, Scope::Manager), "{failure}");
    // The server cannot have acted, and the certificate may be renewed at any time.
    assert_eq!(failure.verdict, Verdict::Transient, "{failure}");
    failure
}

/// What a GET comes to whose connection the server ends with an alert: with TLS 1.3 that is after the client's handshake. A
/// PUT could have met the same alert on a connection that had carried requests before, and is therefore uncertain.
async fn turned_away(settings: Settings) -> Failure {
    let manager = ops_manager(settings);
    let get = manager.current_key(&target()).await.expect_err("an alert");
    assert_eq!((get.reason, get.verdict, get.scope), (Reason::Tls, Verdict::Transient, Scope::Manager), "{get}");
    let put = manager.rotate(&target(), &|| None).await.expect_err("an alert");
    assert_eq!((put.reason, put.verdict, put.scope), (Reason::Tls, Verdict::Ambiguous, Scope::Manager), "{put}");
    get
}

#[tokio::test]
async fn the_given_authority_is_trusted() {
    let authority = Authority::new("internal");
    let address = serve(&authority.sign(2200), None).await;
    let settings = to(address, &authority);
    assert_eq!(ops_manager(settings.clone()).current_key(&target()).await.expect("a key").as_str(), "k");
    assert_eq!(second_reader::read_key(&settings, &target()).await.expect("a key").as_str(), "k");
}

#[tokio::test]
async fn an_expired_certificate_is_named_as_such() {
    let authority = Authority::new("internal");
    let address = serve(&authority.sign(2020), None).await;
    let failure = refused(to(address, &authority)).await;
    assert!(failure.detail.ends_with("the server's certificate expired at 2020-01-01T00:00:00Z"), "{failure}");
}

#[tokio::test]
async fn an_authority_that_was_not_given_is_not_trusted() {
    let address = serve(&Authority::new("other").sign(2200), None).await;
    let failure = refused(to(address, &Authority::new("internal"))).await;
    assert!(failure.detail.contains("UnknownIssuer"), "{failure}");
    // Nor is one that the system does not know.
    refused(Settings { ca_pem: None, ..to(address, &Authority::new("internal")) }).await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_trusted() {
    let authority = Authority::new("internal");
    let address = serve(&authority.sign(2200), None).await;
    let failure = refused(Settings { url: format!("https://{address}"), ..to(address, &authority) }).await;
    assert!(failure.detail.contains("not valid for name"), "{failure}");
}

#[tokio::test]
async fn a_client_certificate_opens_a_door_that_asks_for_one() {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let address = serve(&servers.sign(2200), Some(&clients)).await;

    let failure = turned_away(to(address, &servers)).await;
    assert!(failure.detail.contains("CertificateRequired"), "{failure}");

    let expired = Some(clients.sign(2020).pem().into());
    let failure = turned_away(Settings { identity_pem: expired, ..to(address, &servers) }).await;
    assert!(failure.detail.contains("CertificateExpired"), "{failure}");

    let settings = Settings { identity_pem: Some(clients.sign(2200).pem().into()), ..to(address, &servers) };
    assert_eq!(ops_manager(settings.clone()).current_key(&target()).await.expect("a key").as_str(), "k");
    assert_eq!(second_reader::read_key(&settings, &target()).await.expect("a key").as_str(), "k");
}

#[tokio::test]
async fn a_server_without_tls_is_a_tls_failure() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    refused(to(address, &Authority::new("internal"))).await;
}

#[test]
fn settings_that_cannot_work_are_refused_at_once_and_without_a_secret() {
    type Change = fn(&mut Settings);
    let problems: [(Change, &str); 9] = [
        (|s| s.url = "opsmanager.example.com:8443".into(), "not an http"),
        (|s| s.url = "ftp://opsmanager.example.com".into(), "not an http"),
        (|s| s.url = "https://user:hunter2@opsmanager.example.com".into(), "not an http"),
        (|s| s.public_key = String::new(), "public key"),
        (|s| s.public_key = "a\nb".into(), "public key"),
        (|s| s.ca_pem = Some(b"hunter2".to_vec()), "CA file"),
        (|s| s.identity_pem = Some("-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n".into()), "PEM"),
        (|s| s.identity_pem = Some("hunter2".into()), "PEM"),
        (|s| s.proxy = Some("http://user:hunter2@:::/".into()), "proxy"),
    ];
    for (change, said) in problems {
        let mut settings = settings("https://opsmanager.example.com:8443");
        change(&mut settings);
        let problem = OpsManager::new(settings, real_clock(), Arc::new(Told::default())).map(|_| ());
        let problem: SetupError = problem.expect_err(said);
        let text = format!("{problem} {problem:?}");
        assert!(text.contains(said) && !text.contains("hunter2"), "{text}");
    }
}
