//! The real daemon, Prometheus and Alertmanager, each on a free port of loopback and killed by its pid.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rekeyd::simulator::Simulator;
use serde_json::Value;
use tempfile::TempDir;

/// Long enough for a loaded machine; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(180);

/// A program of its own; dropping it kills it.
pub(super) struct Server {
    child: Child,
    pub(super) port: u16,
    folder: TempDir,
}

impl Server {
    fn start(program: &str, package: &str, folder: TempDir, port: u16, arguments: &[String]) -> Self {
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("{program}: {error}: run tests/setup.sh (Debian: apt-get install {package})")
            });
        Self { child, port, folder }
    }

    /// It answers on this path, or its log says why not.
    async fn ready(mut self, path: &str) -> Self {
        eventually("a server to be ready", async || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{status}: {}", fs::read_to_string(self.folder.path().join("log")).unwrap());
            }
            get(self.port, path).await.filter(|(status, _)| *status == 200)
        })
        .await;
        self
    }

    pub(super) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What a look finds once it finds something.
#[expect(clippy::disallowed_methods, reason = "other programs run by the real clock")]
pub(super) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = std::time::Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The status and body behind a path on loopback; none while nobody answers.
pub(super) async fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).no_proxy().build().unwrap();
    let response = client.get(format!("http://127.0.0.1:{port}{path}")).send().await.ok()?;
    let status = response.status().as_u16();
    Some((status, response.text().await.ok()?))
}

pub(super) async fn get_json(port: u16, path: &str) -> Option<Value> {
    let (_, body) = get(port, path).await?;
    serde_json::from_str(&body).ok()
}

/// The daemon's binary against a simulator: keys are rotated every 10 seconds and too old after 20.
pub(super) async fn daemon(simulator: &Simulator, more: &str) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let at = folder.path().display();
    let config = format!(
        r#"version = 1
state_dir = "{at}/state"
[http]
listen = "127.0.0.1:{port}"
[control]
socket = "{at}/control.sock"
[policy.default]
every = "10s"
spread = "0%"
alert_after = "20s"
first_rotation = "now"
confirm_within = "8s"
settle = "3s"
max_attempts = 100
observe_every = "2s"
[[ops_manager]]
name = "emea"
url = "{}"
public_key = "{}"
private_key = {{ file = "{at}/private-key" }}
request_timeout = "2s"
requests_per_second = 500
discover_every = "5s"
{more}"#,
        simulator.url(),
        simulator.credentials().public_key
    );
    let file = folder.path().join("rekeyd.toml");
    fs::write(&file, config).unwrap();
    let secret = folder.path().join("private-key");
    fs::write(&secret, &simulator.credentials().private_key).unwrap();
    fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let arguments = ["--config".to_owned(), file.display().to_string(), "run".to_owned()];
    let program = env!("CARGO_BIN_EXE_rekeyd");
    Server::start(program, "rekeyd", folder, port, &arguments).ready("/readyz").await
}

pub(super) async fn alertmanager() -> Server {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n";
    fs::write(folder.path().join("alertmanager.yml"), config).unwrap();
    let arguments = [
        "--config.file=alertmanager.yml".to_owned(),
        "--storage.path=data".to_owned(),
        format!("--web.listen-address=127.0.0.1:{port}"),
        "--cluster.listen-address=".to_owned(),
    ];
    let package = "prometheus-alertmanager";
    Server::start(package, package, folder, port, &arguments).ready("/-/ready").await
}

/// One that scrapes the daemon each second, and weighs these rules as often.
pub(super) async fn prometheus(rules: &str, daemon: u16, alertmanager: u16) -> Server {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let config = format!(
        "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
         rule_files: [rules.yml]\n\
         alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alertmanager}']}}]}}]}}\n\
         scrape_configs: [{{job_name: rekeyd, static_configs: [{{targets: ['127.0.0.1:{daemon}']}}]}}]\n"
    );
    fs::write(folder.path().join("prometheus.yml"), config).unwrap();
    fs::write(folder.path().join("rules.yml"), rules).unwrap();
    let arguments = [
        "--config.file=prometheus.yml".to_owned(),
        "--storage.tsdb.path=data".to_owned(),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ];
    Server::start("prometheus", "prometheus", folder, port, &arguments).ready("/-/ready").await
}
