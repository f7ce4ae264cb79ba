//! Digest against servers that others wrote: Apache's `mod_auth_digest` and lighttpd, in front of a small backend.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method};
use rekeyd::domain::{Reason, Scope, Verdict};
use rekeyd::ports::KeyService;
use rekeyd::remote::ops_manager::OpsManager;
use rekeyd::remote::second_reader;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::far_end::{KEY_PATH, free_address, ops_manager, settings, target, until};

/// Behind the server: a key that each PUT replaces.
#[derive(Default)]
struct Backend {
    key: AtomicU32,
    /// The `Authorization` of every request that was let through.
    logins: Mutex<Vec<String>>,
}

async fn backend() -> (Arc<Backend>, SocketAddr) {
    async fn handle(State(backend): State<Arc<Backend>>, method: Method, headers: HeaderMap) -> String {
        let login = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
        backend.logins.lock().expect("no test has panicked").push(login.to_owned());
        if method == Method::PUT {
            backend.key.fetch_add(1, Ordering::SeqCst);
            return "{}".to_owned();
        }
        format!(r#"{{"encryptionKeyUUID":"key-{}"}}"#, backend.key.load(Ordering::SeqCst))
    }
    let backend = Arc::new(Backend::default());
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().route(KEY_PATH, axum::routing::any(handle)).with_state(Arc::clone(&backend));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (backend, address)
}

/// A server process with a folder of its own; both end with the test.
struct Server {
    process: Child,
    folder: TempDir,
    address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Not SIGKILL: the server has semaphores to give back.
        let _ = Command::new("kill").arg(self.process.id().to_string()).status();
        let _ = self.process.wait();
    }
}

impl Server {
    async fn start(folder: TempDir, address: SocketAddr, command: &mut Command) -> Self {
        let process = command.stdin(Stdio::null()).spawn();
        assert!(process.is_ok(), "{command:?} did not start: tests/setup.sh installs it");
        let process = process.expect("checked above");
        let server = Self { process, folder, address };
        until("the server listens", || std::net::TcpStream::connect(server.address).is_ok()).await;
        server
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far, as "status method authorization".
    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("access.log")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }

    /// The log, once so many requests of the status are in it: a server logs after it has replied.
    async fn log_with(&self, count: usize, status: &str) -> Vec<String> {
        let has_status = |line: &&String| line.starts_with(status);
        until("the server has logged", || self.log().iter().filter(has_status).count() >= count).await;
        self.log()
    }
}

fn with_status(log: &[String], status: &str) -> usize {
    log.iter().filter(|line| line.starts_with(status)).count()
}

/// A folder that the server's own user can read.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("permissions");
    folder
}

fn first_that_exists(candidates: &[&str]) -> PathBuf {
    let found = candidates.iter().map(Path::new).find(|path| path.exists());
    assert!(found.is_some(), "none of {candidates:?} is there: tests/setup.sh installs it");
    found.map(Path::to_owned).unwrap_or_default()
}

/// What stands behind Apache.
enum Content {
    Backend(SocketAddr),
    /// Apache's own file, where it can say more about the login than on a proxied reply.
    File(&'static str),
}

/// Apache with nonces of this lifetime in seconds (0: good for one request) and, on wish, strictly rising counters.
async fn apache(lifetime: u32, strict: bool, content: Content) -> Server {
    let folder = folder();
    let (path, address) = (folder.path().display().to_string(), free_address());
    let modules = first_that_exists(&["/usr/lib/apache2/modules", "/usr/lib64/httpd/modules"]);
    let modules: String =
        ["mpm_event", "authn_core", "authn_file", "auth_digest", "authz_core", "authz_user", "proxy", "proxy_http"]
            .iter()
            .map(|name| format!("LoadModule {name}_module {}/mod_{name}.so\n", modules.display()))
            .collect();
    let content = match content {
        Content::Backend(backend) => format!("ProxyPass /api http://{backend}/api keepalive=On"),
        Content::File(text) => {
            let file = folder.path().join(format!("root{KEY_PATH}"));
            fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
            fs::write(file, text).expect("a file");
            format!("DocumentRoot {path}/root")
        }
    };
    fs::write(folder.path().join("users"), htdigest("md5")).expect("a file");
    let config = format!(
        r#"ServerRoot {path}
PidFile {path}/apache.pid
DefaultRuntimeDir {path}
ErrorLog {path}/error.log
ServerName localhost
User www-data
Group www-data
{modules}KeepAlive On
MaxKeepAliveRequests 0
ServerLimit 1
StartServers 1
ThreadsPerChild 128
ThreadLimit 128
MaxRequestWorkers 128
MinSpareThreads 1
MaxSpareThreads 128
AuthDigestShmemSize 1048576
LogFormat "%>s %m %{{Authorization}}i" plain
CustomLog {path}/access.log plain
Listen {address}
<Location /api>
  AuthType Digest
  AuthName "Ops Manager"
  AuthDigestDomain /api
  AuthDigestProvider file
  AuthUserFile {path}/users
  AuthDigestNonceLifetime {lifetime}
  AuthDigestNcCheck {strict}
  Require valid-user
</Location>
{content}
"#,
        strict = if strict { "On" } else { "Off" },
    );
    fs::write(folder.path().join("apache.conf"), config).expect("a file");
    let program = first_that_exists(&["/usr/sbin/apache2", "/usr/sbin/httpd"]);
    let mut command = Command::new(program);
    command.args(["-D", "FOREGROUND", "-f"]).arg(folder.path().join("apache.conf"));
    Server::start(folder, address, &mut command).await
}

/// lighttpd, which offers SHA-256 and MD5 side by side.
async fn lighttpd(backend: SocketAddr) -> Server {
    let folder = folder();
    let (path, address) = (folder.path().display().to_string(), free_address());
    fs::write(folder.path().join("users"), htdigest("md5") + &htdigest("sha256")).expect("a file");
    let config = format!(
        r#"server.document-root = "{path}"
server.port = {port}
server.bind = "127.0.0.1"
server.errorlog = "{path}/error.log"
server.modules = ( "mod_auth", "mod_authn_file", "mod_proxy", "mod_accesslog" )
accesslog.filename = "{path}/access.log"
accesslog.format = "%s %m %{{Authorization}}i"
auth.backend = "htdigest"
auth.backend.htdigest.userfile = "{path}/users"
auth.require = ( "/api" => ( "method" => "digest", "algorithm" => "SHA-256|MD5", "realm" => "Ops Manager",
  "require" => "valid-user" ) )
proxy.server = ( "/api" => (( "host" => "127.0.0.1", "port" => {backend_port} )) )
"#,
        port = address.port(),
        backend_port = backend.port(),
    );
    fs::write(folder.path().join("lighttpd.conf"), config).expect("a file");
    let mut command = Command::new(first_that_exists(&["/usr/sbin/lighttpd"]));
    command.args(["-D", "-f"]).arg(folder.path().join("lighttpd.conf"));
    Server::start(folder, address, &mut command).await
}

/// A line of a password file: the hash of `user1:Ops Manager:apikey-1`.
fn htdigest(hash: &str) -> String {
    let hash = match hash {
        "md5" => digest_auth::Algorithm::default(),
        _ => "SHA-256".parse().expect("a known algorithm"),
    };
    format!("user1:Ops Manager:{}\n", hash.hash(b"user1:Ops Manager:apikey-1"))
}

/// Reads the key so many times from so many tasks at once; every reply must be the key.
async fn read_at_once(manager: &Arc<OpsManager>, tasks: usize, each: usize) {
    let mut set = JoinSet::new();
    for _ in 0..tasks {
        let manager = Arc::clone(manager);
        set.spawn(async move {
            for _ in 0..each {
                assert_eq!(manager.current_key(&target()).await.expect("a key").as_str(), "key-0");
            }
        });
    }
    while let Some(result) = set.join_next().await {
        result.expect("every read succeeds");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_requests_in_flight_all_pass_where_counters_must_rise() {
    let (_backend, address) = backend().await;
    for in_flight in [16, 64] {
        let server = apache(300, true, Content::Backend(address)).await;
        let mut settings = settings(&server.url());
        settings.max_concurrent = in_flight;
        let manager = Arc::new(ops_manager(settings));
        read_at_once(&manager, in_flight, 20).await;
        let log = server.log_with(in_flight * 20, "200").await;
        let challenges = with_status(&log, "401");
        assert!((1..=in_flight).contains(&challenges), "{challenges} challenges for {in_flight} lanes");
    }
}

#[tokio::test]
async fn once_warm_a_request_is_one_round_trip() {
    let (backend, address) = backend().await;
    let server = apache(300, true, Content::Backend(address)).await;
    let manager = ops_manager(settings(&server.url()));
    for n in 0..10 {
        assert_eq!(manager.current_key(&target()).await.expect("a key").as_str(), format!("key-{n}"));
        assert_eq!(manager.rotate(&target(), &|| None).await.expect("acceptance").status, 200);
    }
    let log = server.log_with(20, "200").await;
    assert_eq!((with_status(&log, "401"), log.len()), (1, 21));
    assert_eq!(backend.key.load(Ordering::SeqCst), 10, "each PUT arrived once");
}

#[tokio::test]
async fn a_stale_nonce_costs_one_round_trip_more() {
    let (_backend, address) = backend().await;
    let server = apache(1, false, Content::Backend(address)).await;
    let manager = ops_manager(settings(&server.url()));
    let mut calls = 0;
    while with_status(&server.log(), "401") < 3 {
        manager.current_key(&target()).await.expect("a key");
        calls += 1;
        assert!(calls < 20_000, "no nonce ever went stale");
    }
    let log = server.log_with(calls, "200").await;
    assert_eq!(log.len(), calls + 3, "one challenge at first and one for each stale nonce");
}

#[tokio::test(flavor = "multi_thread")]
async fn nonces_good_for_one_request_cost_two_round_trips_and_no_failure() {
    let (_backend, address) = backend().await;
    let server = apache(0, true, Content::Backend(address)).await;
    let manager = Arc::new(ops_manager(settings(&server.url())));
    read_at_once(&manager, 4, 10).await;
    let log = server.log_with(40, "200").await;
    assert!(log.len() <= 80, "{} requests for 40 calls", log.len());
}

#[tokio::test]
async fn a_nonce_that_the_server_hands_on_saves_the_round_trip() {
    let server = apache(0, true, Content::File(r#"{"encryptionKeyUUID":"key-0"}"#)).await;
    let manager = ops_manager(settings(&server.url()));
    for _ in 0..10 {
        manager.current_key(&target()).await.expect("a key");
    }
    assert_eq!(server.log_with(10, "200").await.len(), 11);
}

#[tokio::test]
async fn a_wrong_key_is_one_bad_login_a_call() {
    let (backend, address) = backend().await;
    let apache = apache(300, true, Content::Backend(address)).await;
    let lighttpd = lighttpd(address).await;
    for server in [apache, lighttpd] {
        let mut settings = settings(&server.url());
        settings.private_key = "wrong".into();
        let manager = ops_manager(settings);
        for _ in 0..3 {
            let failure = manager.rotate(&target(), &|| None).await.expect_err("refused");
            assert_eq!(failure.reason, Reason::CredentialsRefused);
            assert_eq!((failure.verdict, failure.scope), (Verdict::Permanent, Scope::Manager));
        }
        let log = server.log_with(6, "401").await;
        let logins = log.iter().filter(|line| line.contains("response=")).count();
        assert_eq!((logins, log.len()), (3, 6));
    }
    assert_eq!(backend.logins.lock().expect("no test has panicked").len(), 0);
}

#[tokio::test]
async fn the_stronger_of_two_challenges_is_answered() {
    let (backend, address) = backend().await;
    let server = lighttpd(address).await;
    let manager = ops_manager(settings(&server.url()));
    for _ in 0..5 {
        assert_eq!(manager.current_key(&target()).await.expect("a key").as_str(), "key-0");
    }
    let logins = backend.logins.lock().expect("no test has panicked").clone();
    assert_eq!(logins.len(), 5);
    assert!(logins.iter().all(|login| login.contains("algorithm=SHA-256")), "{logins:?}");
    assert_eq!(server.log_with(5, "200").await.len(), 6);
}

#[tokio::test]
async fn another_client_reads_the_same_key() {
    let (_backend, address) = backend().await;
    let apache = apache(300, true, Content::Backend(address)).await;
    let lighttpd = lighttpd(address).await;
    for server in [apache, lighttpd] {
        let settings = settings(&server.url());
        let manager = ops_manager(settings.clone());
        manager.rotate(&target(), &|| None).await.expect("acceptance");
        let ours = manager.current_key(&target()).await.expect("a key");
        let theirs = second_reader::read_key(&settings, &target()).await.expect("a key");
        assert_eq!(ours, theirs);
    }
}

#[tokio::test]
async fn no_more_requests_are_in_flight_than_allowed() {
    let (_backend, address) = backend().await;
    let server = apache(300, true, Content::Backend(address)).await;
    let mut settings = settings(&server.url());
    settings.max_concurrent = 1;
    let manager = Arc::new(ops_manager(settings));
    read_at_once(&manager, 8, 3).await;
    let log = server.log_with(24, "200").await;
    assert_eq!(log.len(), 25, "one request at a time needs one nonce");
}
