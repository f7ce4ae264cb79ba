//! A place to measure in: a simulated server and a daemon, each a process of its own, in a temporary folder.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::Process;

/// Whatever takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(600);

/// A simulated server.
pub(crate) struct Server {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
    pub(crate) key: String,
    key_file: PathBuf,
}

impl Server {
    pub(crate) fn start(binary: &Path, dir: &Path, targets: usize) -> Self {
        let (address, key_file) = (free_address(), dir.join("key"));
        let mut command = Command::new(binary);
        command.args(["simulate", "--targets", &targets.to_string(), "--listen", &address.to_string(), "--write-key"]);
        let process = Process::start(command.arg(&key_file), &dir.join("server.log"));
        let key = wait("the server listens", || {
            let key = std::fs::read_to_string(&key_file).ok().filter(|key| !key.is_empty())?;
            TcpStream::connect(address).is_ok().then(|| key.trim().to_owned())
        });
        Self { process, address, key, key_file }
    }

    /// Has every request for a key take so much longer.
    pub(crate) fn think(&self, millis: u64) {
        let faults = if millis == 0 { "[]".to_owned() } else { format!("[\"slow@key={millis}ms\"]") };
        request(self.address, "POST", "/_sim/faults", &faults);
    }

    /// The paths of all keys.
    pub(crate) fn paths(&self) -> Vec<String> {
        let targets: Vec<Value> = serde_json::from_str(&get(self.address, "/_sim/targets")).unwrap();
        let path = |target: &Value| {
            let [project, id] = ["project", "id"].map(|field| target[field].as_str().unwrap());
            format!("/api/public/v1.0/groups/{project}/backupConfigs/{id}/encryptionKey")
        };
        targets.iter().map(path).collect()
    }

    /// How many requests of a kind it has answered; `total`, with the challenges.
    pub(crate) fn count(&self, kind: &str) -> u64 {
        let counts: Value = serde_json::from_str(&get(self.address, "/_sim/requests")).unwrap();
        counts[kind].as_u64().unwrap()
    }
}

/// A daemon in a state directory of its own.
pub(crate) struct Daemon {
    pub(crate) process: Process,
    pub(crate) http: SocketAddr,
    config: PathBuf,
    binary: PathBuf,
    /// From the start until it said that it is ready.
    pub(crate) ready: Duration,
}

impl Daemon {
    /// Starts one in `dir`, or goes on with what an earlier one left there, and waits until it is ready. `in_flight`: with so
    /// many requests at one time, any number of them a second, and the looks that nobody asked for made seldom; none for the
    /// default limits.
    pub(crate) fn start(binary: &Path, dir: &Path, server: &Server, in_flight: Option<usize>) -> Self {
        let (state, config, http) = (dir.join("state"), dir.join("rekeyd.toml"), free_address());
        if !state.exists() {
            std::fs::create_dir(&state).unwrap();
            std::fs::set_permissions(&state, PermissionsExt::from_mode(0o700)).unwrap();
        }
        let limits = in_flight.map(|most| format!("max_concurrent = {most}\nrequests_per_second = 100000"));
        let observe = limits.as_ref().map_or("", |_| "observe_every = \"1d\"");
        let limits = limits.unwrap_or_default();
        let text = format!(
            "version = 1\nstate_dir = {state:?}\n[http]\nlisten = \"{http}\"\n[control]\nsocket = {:?}\n[policy.default]\n{observe}\n\
             [[ops_manager]]\nname = \"emea\"\nurl = \"http://{}\"\npublic_key = \"simulator\"\nprivate_key = {{ file = {:?} }}\n{limits}\n",
            dir.join("control"),
            server.address,
            server.key_file,
        );
        std::fs::write(&config, text).unwrap();
        let told = dir.join("notify");
        let _ = std::fs::remove_file(&told);
        let socket = UnixDatagram::bind(&told).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = Command::new(binary);
        command.arg("--config").arg(&config).arg("run").env("NOTIFY_SOCKET", &told);
        let began = Instant::now();
        let process = Process::start(&mut command, &dir.join("daemon.log"));
        let mut message = [0; 4096];
        while !String::from_utf8_lossy(&message).contains("READY=1") {
            message.fill(0);
            socket.recv(&mut message).unwrap();
        }
        Self { process, http, config, binary: binary.to_owned(), ready: began.elapsed() }
    }

    /// Waits until it knows every key.
    pub(crate) fn wait_for_keys(&self, server: &Server, targets: usize) {
        // A scrape of a large fleet is work, so it is not what is asked first.
        wait("every key was read", || {
            std::thread::sleep(Duration::from_millis(100));
            (server.count("key_gets") >= targets as u64).then_some(())
        });
        wait("every key is known", || {
            let known = self.metric("rekeyd_key_first_seen_timestamp_seconds", f64::signum);
            (known as usize >= targets).then_some(())
        });
    }

    /// The sum of what `of` makes of each series with this name.
    pub(crate) fn metric(&self, name: &str, of: fn(f64) -> f64) -> f64 {
        let text = get(self.http, "/metrics");
        let lines = text.lines().filter(|line| line.starts_with(name) && line[name.len()..].starts_with(['{', ' ']));
        lines.map(|line| of(line.rsplit_once(' ').unwrap().1.parse().unwrap())).sum()
    }

    /// Has every key rotated, and waits until each new one is confirmed.
    pub(crate) fn rotate_all(&self) {
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(&self.config).args([
            "rotate",
            "--all",
            "--yes",
            "--reason",
            "INC-7: key server lost",
        ]);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        assert!(status.success(), "rekeyd rotate: {status}");
    }
}

/// An address on loopback that was free a moment ago.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn wait<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(done) = done() {
            return done;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The body of a page.
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    request(address, "GET", path, "")
}

fn request(address: SocketAddr, method: &str, path: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let length = body.len();
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {address}\r\nContent-Length: {length}\r\n\r\n{body}").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{method} {path}: {head}");
    body.to_owned()
}
