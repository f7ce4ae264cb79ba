//! Where a daemon lives in a test: its configuration, key file and state in a folder of its own, and the ways to run the binary there.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rekeyd::simulator::Simulator;
use rekeyd::store::Reader;
use serde_json::Value;
use tempfile::TempDir;

/// Long enough for a debug build on a busy machine; nothing waits for it when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// What a test's configuration says. Everything that is not here is at its default.
pub(crate) struct Wanted {
    pub(crate) url: String,
    pub(crate) private_key: String,
    pub(crate) request_timeout: &'static str,
    pub(crate) settle: &'static str,
    pub(crate) max_concurrent: usize,
    pub(crate) requests_per_second: u32,
    /// More lines of `[policy.default]`.
    pub(crate) policy: &'static str,
    /// More lines of `[[ops_manager]]` and its projects.
    pub(crate) manager: String,
}

impl Wanted {
    pub(crate) fn of(simulator: &Simulator) -> Self {
        Self::at(simulator.url(), &simulator.credentials().private_key)
    }

    pub(crate) fn at(url: String, private_key: &str) -> Self {
        Self {
            url,
            private_key: private_key.to_owned(),
            request_timeout: "2s",
            settle: "4s",
            max_concurrent: 8,
            requests_per_second: 1000,
            policy: "",
            manager: String::new(),
        }
    }

    fn text(&self, site: &Path) -> String {
        let Self { url, request_timeout, settle, max_concurrent, requests_per_second, policy, manager, .. } = self;
        let site = site.display();
        format!(
            r#"version = 1
state_dir = "{site}/state"
[http]
listen = "127.0.0.1:0"
[policy.default]
every = "30d"
first_rotation = "now"
settle = "{settle}"
{policy}
[[ops_manager]]
name = "emea"
url = "{url}"
public_key = "simulator"
private_key = {{ file = "{site}/private-key" }}
request_timeout = "{request_timeout}"
max_concurrent = {max_concurrent}
requests_per_second = {requests_per_second}
{manager}
"#
        )
    }
}

/// A folder with a configuration, a key file and, once a daemon ran, its state.
pub(crate) struct Site {
    folder: TempDir,
}

impl Site {
    pub(crate) fn new(wanted: &Wanted) -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        site.configure(&wanted.text(site.path()));
        let mut key = std::fs::OpenOptions::new();
        let mut key = key.write(true).create_new(true).mode(0o600).open(site.path().join("private-key")).unwrap();
        std::io::Write::write_all(&mut key, wanted.private_key.as_bytes()).unwrap();
        site
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path().join("rekeyd.toml")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path().join("state")
    }

    pub(crate) fn configure(&self, text: &str) {
        std::fs::write(self.config(), text).unwrap();
    }

    /// The record, read by this process.
    pub(crate) fn reader(&self) -> Reader {
        Reader::open(&self.state()).unwrap()
    }

    /// The binary with these arguments and this site's configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = rekeyd(arguments);
        command.arg("--config").arg(self.config());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Answer {
        finish(self.command(arguments))
    }

    /// A command's `--json`, an object a line.
    pub(crate) fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let answer = self.ask(&[arguments, &["--json"]].concat());
        assert!(answer.err.is_empty(), "{answer:?}");
        answer.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// What `status --json` tells of each target.
    pub(crate) fn targets(&self) -> Vec<Value> {
        self.json(&["status"]).into_iter().filter(|line| line["kind"] == "target").collect()
    }

    /// Starts the daemon and waits until it listens.
    pub(crate) fn start(&self) -> Running {
        Running::listening(self.command(&["run"]))
    }

    /// Starts the daemon and does not wait.
    pub(crate) fn launch(&self) -> Running {
        Running::launched(self.command(&["run"]))
    }

    /// Starts a daemon that will die at this failpoint.
    pub(crate) fn launch_doomed(&self, failpoint: &str) -> Running {
        Running::launched(self.command(&["run", "--die", failpoint]))
    }
}

/// The binary, apart from what the surroundings of the test would tell it.
pub(crate) fn rekeyd(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rekeyd"));
    command.args(arguments).stdin(Stdio::null());
    for name in ["CREDENTIALS_DIRECTORY", "STATE_DIRECTORY", "JOURNAL_STREAM", "NOTIFY_SOCKET", "NO_COLOR", "COLUMNS"] {
        command.env_remove(name);
    }
    command
}

/// How a command ended and what it printed.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Answer {
    /// Everything it printed, and that it did not panic.
    pub(crate) fn text(&self) -> String {
        let text = format!("{}{}", self.out, self.err);
        assert!(!text.contains("panicked"), "{text}");
        text
    }
}

pub(crate) fn finish(mut command: Command) -> Answer {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let (out, err) = (collect(child.stdout.take().unwrap()), collect(child.stderr.take().unwrap()));
    let status = wait(&mut child);
    Answer { code: status.code(), out: out.join().unwrap(), err: err.join().unwrap() }
}

fn collect(mut stream: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    })
}

fn wait(child: &mut Child) -> ExitStatus {
    let ended = until("the process ends", || child.try_wait().unwrap());
    ended.unwrap_or_else(|why| {
        child.kill().unwrap();
        panic!("{why}");
    })
}

/// Asks until there is an answer; an error says what never came.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T, String> {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("waited {PATIENCE:?} in vain until {what}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A daemon at work. Killed when dropped.
pub(crate) struct Running {
    child: Child,
    log: Arc<Mutex<String>>,
    reading: Option<JoinHandle<()>>,
    listening: mpsc::Receiver<SocketAddr>,
    address: Option<SocketAddr>,
}

impl Running {
    pub(crate) fn listening(command: Command) -> Self {
        let mut running = Self::launched(command);
        running.address = running.listening.recv_timeout(PATIENCE).ok();
        assert!(running.address.is_some(), "it does not listen: {}", running.log());
        running
    }

    fn launched(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (tell, listening) = mpsc::channel();
        let into = Arc::clone(&log);
        let reading = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let line = line.unwrap();
                if line.contains("listening on http://") {
                    let line: Value = serde_json::from_str(&line).unwrap();
                    let _ = tell.send(line["address"].as_str().unwrap().parse().unwrap());
                }
                let mut log = into.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, log, reading: Some(reading), listening, address: None }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Dies at once, as if the power went.
    pub(crate) fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.end()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {}", self.pid())]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for its end; the exit status and everything that it logged.
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let status = wait(&mut self.child);
        (status.code(), self.end())
    }

    /// Asks it to end, and expects that it does so well.
    pub(crate) fn stop(self) -> String {
        self.signal("TERM");
        let (code, log) = self.ended();
        assert_eq!(code, Some(0), "{log}");
        log
    }

    fn end(&mut self) -> String {
        if let Some(reading) = self.reading.take() {
            reading.join().unwrap();
        }
        let log = self.log();
        assert!(!log.contains("panic"), "{log}");
        log
    }

    /// Waits until a route answers with this status; its body then.
    pub(crate) async fn answers(&self, path: &str, wanted: u16) -> String {
        let began = Instant::now();
        loop {
            let (status, body) = self.get(path).await;
            if status == wanted {
                return body;
            }
            assert!(began.elapsed() < PATIENCE, "{path} still answers {status}: {body}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The status and the body of a route.
    pub(crate) async fn get(&self, path: &str) -> (u16, String) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        let address = self.address.expect("the test waited until it listens");
        let response = client.get(format!("http://{address}{path}")).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
