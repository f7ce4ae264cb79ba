//! A process and what the kernel says of it: processor time and memory.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Ticks a second in /proc, on every Linux of today.
const TICKS: u64 = 100;

/// A server of ours, killed when dropped.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts it with its output in a file.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Self {
        let log = File::create(log).unwrap();
        let child = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        Self { child }
    }

    /// User and system time so far.
    pub(crate) fn cpu(&self) -> Duration {
        let [user, system, ..] = times(&format!("/proc/{}/stat", self.child.id()));
        user + system
    }

    /// Resident memory, in kB.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn stop(mut self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// User and system time of this process and of the children that it has waited for.
pub(crate) fn own_cpu() -> Duration {
    times("/proc/self/stat").iter().sum()
}

/// Of the process: user, system; of its children: user, system (`proc_pid_stat(5)`).
fn times(path: &str) -> [Duration; 4] {
    let stat = std::fs::read_to_string(path).unwrap();
    // The name, in parentheses, may hold anything.
    let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    [11, 12, 13, 14].map(|n| Duration::from_millis(fields[n].parse::<u64>().unwrap() * 1000 / TICKS))
}
