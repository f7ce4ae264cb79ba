//! What people use instead: the loops in benches/baselines/.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::place::Server;

const USER: &str = "simulator";

/// Ends here, with a sentence, if a program is missing that is to be compared with.
pub(crate) fn demand_programs() {
    let runs = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    };
    let missing: Vec<_> = [
        ("bash", runs("bash", &["-c", "true"])),
        ("curl", runs("curl", &["--version"])),
        ("sqlite3", runs("sqlite3", &["-version"])),
        ("python3 with the module requests", runs("python3", &["-c", "import requests, sqlite3"])),
    ]
    .into_iter()
    .filter_map(|(program, there)| (!there).then_some(program))
    .collect();
    if !missing.is_empty() {
        eprintln!(
            "to compare with them these are needed: {}; on Debian: apt-get install bash curl sqlite3 python3-requests",
            missing.join(", ")
        );
        std::process::exit(1);
    }
}

/// curl and sqlite3 in a loop of bash.
pub(crate) fn bash(server: &Server, dir: &Path, paths: &[String]) -> Duration {
    let mut command = Command::new("bash");
    command.arg(baseline("loop.sh")).args([url(server), format!("{USER}:{}", server.key)]).arg(database(dir));
    let began = Instant::now();
    feed(&mut command, paths);
    began.elapsed()
}

/// requests and sqlite3 in so many threads of Python; without the time that its modules take to load.
pub(crate) fn python(server: &Server, dir: &Path, paths: &[String], threads: usize) -> Duration {
    let mut command = Command::new("python3");
    command
        .arg(baseline("loop.py"))
        .args([&url(server), USER, &server.key])
        .arg(database(dir))
        .arg(threads.to_string());
    Duration::from_secs_f64(feed(&mut command, paths).trim().parse().unwrap())
}

fn feed(command: &mut Command, paths: &[String]) -> String {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all((paths.join("\n") + "\n").as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn baseline(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/baselines").join(name)
}

fn url(server: &Server) -> String {
    format!("http://{}", server.address)
}

/// A database that is not there yet.
fn database(dir: &Path) -> PathBuf {
    let path = dir.join("history.db");
    for name in ["history.db", "history.db-wal", "history.db-shm"] {
        let _ = std::fs::remove_file(dir.join(name));
    }
    path
}
