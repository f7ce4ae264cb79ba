//! TLS, users and limits of the listener, as real clients meet them, from files in the format of Prometheus' exporters.

#![expect(clippy::unwrap_used, reason = "what a test's own helpers cannot do fails the test")]

use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rekeyd::http::{WebConfig, serve};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::far_end::real_clock;

/// The sample that the exporter-toolkit ships, unchanged.
const SAMPLE: &str = "\
# TLS and basic authentication configuration example.
#
# Additionally, a certificate and a key file are needed.
tls_server_config:
  cert_file: server.crt
  key_file: server.key

# Usernames and passwords required to connect.
# Passwords are hashed with bcrypt: https://github.com/prometheus/exporter-toolkit/blob/master/docs/web-configuration.md#about-bcrypt.
basic_auth_users:
  alice: $2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze
  bob: $2y$10$hLqFl9jSjoAAy95Z/zw8Ye8wkdMBM8c5Bn1ptYqP/AXyV0.oy0S8m

# Rate limiting requests on the endpoint using a token bucket
rate_limit:
  interval: \"1s\" # time interval between two requests, set to 0 to disable rate limiter
  burst: 20 # and permits a burst of up to 20 requests.
";

const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

/// A folder with a web configuration, the server's certificate, and the authority that vouches for both sides.
struct Place {
    folder: TempDir,
    authority: CertifiedIssuer<'static, KeyPair>,
}

impl Place {
    fn new(config: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let place = Self { folder: tempfile::tempdir().unwrap(), authority };
        let (certificate, key) = place.sign("localhost");
        place.write("server.crt", &certificate);
        place.write("server.key", &key);
        place.write("ca.crt", &place.authority.pem());
        place.write("web.yml", config);
        place
    }

    fn sign(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.authority).unwrap().pem(), key.serialize_pem())
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn open(&self) -> Result<Arc<WebConfig>, String> {
        WebConfig::open(&self.folder.path().join("web.yml"), real_clock()).map_err(|error| error.to_string())
    }

    async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "in" }));
        tokio::spawn(serve(listener, router, Some(self.open().unwrap()), CancellationToken::new()));
        address
    }

    /// A client that trusts the authority, with a certificate of this name if one is said.
    fn client(&self, name: Option<&str>) -> reqwest::Client {
        let authority = reqwest::Certificate::from_pem(self.authority.pem().as_bytes()).unwrap();
        let mut client = reqwest::Client::builder().no_proxy().tls_certs_only([authority]).pool_max_idle_per_host(0);
        if let Some(name) = name {
            let (certificate, key) = self.sign(name);
            client = client.identity(reqwest::Identity::from_pem(format!("{key}{certificate}").as_bytes()).unwrap());
        }
        client.build().unwrap()
    }
}

fn hash(password: &str) -> String {
    bcrypt::hash(password, 4).unwrap()
}

async fn status(client: &reqwest::Client, address: SocketAddr, password: Option<&str>) -> u16 {
    let request = client.get(format!("https://localhost:{}/", address.port()));
    let request = match password {
        Some(password) => request.basic_auth("alice", Some(password)),
        None => request,
    };
    request.send().await.unwrap().status().as_u16()
}

/// Who has such a file already can use it as it is.
#[tokio::test]
async fn the_documented_sample_is_accepted_unchanged() {
    let place = Place::new(SAMPLE);
    let address = place.serve().await;
    assert_eq!(status(&place.client(None), address, None).await, 401);
    assert_eq!(status(&place.client(None), address, Some("wrong")).await, 401);
}

#[tokio::test]
async fn only_the_right_password_opens() {
    let place = Place::new(&format!("{TLS}basic_auth_users:\n  alice: {}\n", hash("right")));
    let (address, client) = (place.serve().await, place.client(None));
    assert_eq!(status(&client, address, None).await, 401);
    for _ in 0..2 {
        assert_eq!(status(&client, address, Some("wrong")).await, 401);
        assert_eq!(status(&client, address, Some("right")).await, 200);
    }
    let url = format!("https://localhost:{}/", address.port());
    let stranger = client.get(url).basic_auth("mallory", Some("right")).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    assert_eq!(stranger.headers()["www-authenticate"], "Basic realm=\"rekeyd\"");
}

/// A certificate of the right authority is not enough where names are asked for, and none is not enough either.
#[tokio::test]
async fn clients_show_a_certificate_with_an_allowed_name() {
    let clients = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n";
    let place = Place::new(&format!("{TLS}{clients}  client_allowed_sans: [prometheus.example.com, 192.0.2.7]\n"));
    let address = place.serve().await;
    let ask = async |client: reqwest::Client| {
        client.get(format!("https://localhost:{}/", address.port())).send().await.map(|reply| reply.status().as_u16())
    };
    assert!(ask(place.client(None)).await.is_err());
    assert!(ask(place.client(Some("other.example.com"))).await.is_err());
    assert_eq!(ask(place.client(Some("prometheus.example.com"))).await.unwrap(), 200);
    assert_eq!(ask(place.client(Some("192.0.2.7"))).await.unwrap(), 200);
}

/// A certificate is renewed and a password changed without a restart; a slip of the pen locks nobody out.
#[tokio::test]
async fn a_change_is_followed_and_a_broken_file_is_not() {
    let place = Place::new(&format!("{TLS}basic_auth_users:\n  alice: {}\n", hash("old")));
    let (address, client) = (place.serve().await, place.client(None));
    assert_eq!(status(&client, address, Some("old")).await, 200);
    place.write("web.yml", &format!("{TLS}basic_auth_users:\n  alice: {}\n", hash("new")));
    assert_eq!(status(&client, address, Some("old")).await, 401);
    assert_eq!(status(&client, address, Some("new")).await, 200);
    place.write("web.yml", "tls_server_config: [");
    assert_eq!(status(&client, address, Some("new")).await, 200);
    assert_eq!(status(&client, address, None).await, 401);
    let (certificate, _) = place.sign("localhost");
    place.write("server.crt", &certificate);
    assert_eq!(status(&client, address, Some("new")).await, 200, "a certificate without its key is not taken");
}

/// A file system that does not answer holds up no thread that serves: with the only one there is, requests are answered by the
/// rules that hold.
#[tokio::test]
async fn a_file_that_hangs_holds_up_nobody() {
    let place = Place::new(&format!("{TLS}basic_auth_users:\n  alice: {}\n", hash("pass")));
    let (address, client) = (place.serve().await, place.client(None));
    assert_eq!(status(&client, address, Some("pass")).await, 200);
    // A pipe is opened to be read when somebody writes into it, and not before.
    let pipe = place.folder.path().join("web.yml");
    fs::remove_file(&pipe).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
    let (answered, all_answered) = mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        let stood_still = all_answered.recv_timeout(Duration::from_secs(20)) == Err(RecvTimeoutError::Timeout);
        fs::write(&pipe, "").unwrap();
        stood_still
    });
    for (password, answer) in [(Some("pass"), 200), (None, 401), (Some("wrong"), 401)] {
        assert_eq!(status(&client, address, password).await, answer);
    }
    drop(answered);
    assert!(!writer.join().unwrap(), "the listener stood still until the file could be read");
}

/// A file that is half written, or that a full disk left empty, lets nobody in who was kept out.
#[tokio::test]
async fn what_was_closed_is_not_opened_by_a_change() {
    let users = format!("basic_auth_users:\n  alice: {}\n", hash("pass"));
    let place = Place::new(&format!("{TLS}{users}"));
    let (address, client) = (place.serve().await, place.client(None));
    for left in ["", "# nothing\n", TLS, &users] {
        place.write("web.yml", left);
        assert_eq!(status(&client, address, None).await, 401, "{left:?}");
        assert_eq!(status(&client, address, Some("pass")).await, 200, "{left:?}");
    }
}

#[tokio::test]
async fn requests_above_the_limit_are_refused() {
    let place = Place::new(&format!("{TLS}rate_limit:\n  interval: 1h\n  burst: 2\n"));
    let (address, client) = (place.serve().await, place.client(None));
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(status(&client, address, None).await);
    }
    assert_eq!(seen, [200, 200, 429]);
}

/// What cannot be followed is refused at the start, in words that name it and show no secret.
#[tokio::test]
async fn what_can_not_be_followed_is_refused() {
    let secret = "$2y$10$mDwo.lAisC94iLAyP81MCesa29IzH37oigHC/42V2pdJlUprsJPze";
    for (config, words) in [
        (format!("basic_auth_users:\n  alice: {secret}\nbasic_auth_user: {secret}\n"), "basic_auth_user"),
        (format!("{TLS}  cert_flie: x\n"), "cert_flie"),
        ("basic_auth_users:\n  alice: plain\n".to_owned(), "no bcrypt hash"),
        ("tls_server_config:\n  cert_file: server.crt\n".to_owned(), "`key_file` is missing"),
        (format!("{TLS}  client_allowed_sans: [a]\n"), "needs a `client_auth_type`"),
        (format!("{TLS}  client_auth_type: RequireAndVerifyClientCert\n"), "no `client_ca_file`"),
        (format!("{TLS}  max_version: TLS11\n"), "TLS12 and TLS13"),
        (format!("{TLS}  cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]\n"), "TLS_RSA_WITH_AES_128_CBC_SHA"),
        ("rate_limit:\n  interval: soon\n".to_owned(), "length of time"),
    ] {
        let said = Place::new(&config).open().err().unwrap_or_else(|| panic!("accepted:\n{config}"));
        assert!(said.contains(words), "{said}\nfor\n{config}");
        assert!(!said.contains(secret), "{said}");
    }
    assert!(!Place::new("").open().unwrap().is_tls(), "an empty file asks for nothing");
}
