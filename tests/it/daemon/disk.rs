//! A disk that is full, does not keep what it was given, or takes nothing any more: no record, no rotation; and on it goes
//! when the disk is well again.
//!
//! A limit on the size of files stands in for the full disk: it needs no right, can be set and lifted while the daemon runs,
//! and fails every write beyond it. The signal that comes with it is ignored. For the other troubles a small library, built
//! here and loaded before the C library, stands in for the disk (`disk.c`). Linux refuses to make a file system read-only
//! while a file on it is open for writing, so under a running daemon it cannot be done by a command; the kernel does it by
//! itself after an error of the disk.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rekeyd::domain::Event;
use rekeyd::simulator::{FaultKind, FleetSpec, KeyTiming, Simulator, SimulatorSpec};
use serde_json::Value;

use super::accounts::{agree, all_settled, every_put_is_recorded, ledger};
use super::site::{Answer, Running, Site, Wanted, finish, until};

const TARGETS: usize = 200;
/// Longer than the daemon's pause between two tries to write.
const A_WHILE: Duration = Duration::from_secs(12);

/// The library and its switches, in a site's folder.
struct Disk {
    library: PathBuf,
    switches: PathBuf,
}

impl Disk {
    fn of(site: &Site) -> Self {
        let (library, switches) = (site.path().join("disk.so"), site.path().join("switches"));
        std::fs::create_dir(&switches).unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/daemon/disk.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-Wall", "-o"]).arg(&library).arg(source).arg("-ldl");
        let built = compiler.status().expect("this test needs a C compiler: install gcc");
        assert!(built.success(), "{source} cannot be compiled");
        Self { library, switches }
    }

    fn daemon(&self, site: &Site) -> Command {
        let mut command = site.command(&["run"]);
        command.env("LD_PRELOAD", &self.library);
        command.env("AILING_DIR", site.state()).env("AILING_SWITCHES", &self.switches);
        command
    }

    fn ail(&self, how: &str) {
        std::fs::write(self.switches.join(how), "").unwrap();
    }

    fn heal(&self, how: &str) {
        std::fs::remove_file(self.switches.join(how)).unwrap();
    }
}

async fn simulator(targets: usize) -> Simulator {
    let spec = SimulatorSpec {
        fleet: FleetSpec::uniform(targets),
        timing: KeyTiming::After(Duration::from_millis(50)),
        faults: vec![FaultKind::Slow(Duration::from_millis(30)).everywhere()],
        ..SimulatorSpec::default()
    };
    Simulator::start(spec).await.unwrap()
}

/// While the disk ails nothing is sent, the daemon says so and why, and it goes on by itself afterwards.
async fn holds_still(
    site: &Site,
    simulator: &Simulator,
    daemon: Running,
    (ail, heal): (impl Fn(&Running), impl Fn(&Running)),
    why: &[&str],
) {
    for fill in [20, 60] {
        until("it is at work", || (simulator.truth().changes.len() > fill).then_some(())).unwrap();
        ail(&daemon);
        let words = daemon.answers("/readyz", 503).await;
        for why in why.iter().chain(&["[-]ledger failed: since 20", "so nothing is rotated"]) {
            assert!(words.contains(why), "{why:?} is not in {words}");
        }
        let (status, health) = daemon.get("/healthz").await;
        let health: Value = serde_json::from_str(&health).unwrap();
        assert_eq!((status, &health["status"]), (503, &Value::from("fail")), "{health}");
        assert_eq!(daemon.get("/livez").await.0, 200, "a restart would mend nothing");
        let status = site.ask(&["status"]);
        assert!(status.code == Some(3) && status.out.contains("critical Nothing is rotated since"), "{status:?}");
        let (head, began) = (site.reader().head().unwrap(), Instant::now());
        // What had been recorded as sent may still arrive; nothing else does.
        while began.elapsed() < A_WHILE {
            every_put_is_recorded(site, simulator);
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(site.reader().head().unwrap(), head, "what could not be recorded is no record");
        let sent = simulator.truth().puts.len();
        assert!(sent < TARGETS, "it went on");
        assert_eq!(daemon.get("/readyz").await.0, 503);
        heal(&daemon);
        until("it goes on", || (simulator.truth().puts.len() > sent).then_some(())).unwrap();
        assert_eq!(daemon.get("/readyz").await.0, 200);
    }
    all_settled(site, simulator);
    let log = daemon.stop();
    assert!(!log.contains("nobody was told of"), "what had failed came to light as a record: {log}");
    let truth = simulator.truth();
    assert_eq!((agree(site, &truth), truth.puts.len()), (TARGETS, TARGETS));
    let outages = ledger(site).into_iter().filter(|record| record.kind == "ledger_recovered").count();
    assert_eq!(outages, 2, "each outage is itself on record, once");
}

/// The same for a disk that ails in one of the library's ways.
async fn holds_still_while_it_is(how: &str, why: &[&str]) {
    let simulator = simulator(TARGETS).await;
    let site = Site::new(&Wanted::of(&simulator));
    let disk = Disk::of(&site);
    let daemon = Running::listening(disk.daemon(&site));
    holds_still(&site, &simulator, daemon, (|_: &Running| disk.ail(how), |_: &Running| disk.heal(how)), why).await;
}

/// The binary under a limit on the size of files, of which one can recover: `ulimit`'s words.
fn limited(site: &Site, limit: &str) -> Command {
    let mut command = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -S -f {limit}; exec \"$0\" run --config \"$1\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_rekeyd")]).arg(site.config());
    command
}

/// Fails every write to a file from now on, or none: `prlimit`'s words.
fn set_limit(daemon: &Running, limit: &str) {
    let (pid, limit) = (format!("--pid={}", daemon.pid()), format!("--fsize={limit}:"));
    let set = Command::new("prlimit").args([pid, limit]).status();
    assert!(set.expect("this test needs prlimit: install util-linux").success());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_that_can_not_be_recorded_and_work_goes_on_when_there_is_space() {
    let simulator = simulator(TARGETS).await;
    let site = Site::new(&Wanted::of(&simulator));
    let daemon = Running::listening(limited(&site, "unlimited"));
    let switches = (|daemon: &Running| set_limit(daemon, "0"), |daemon: &Running| set_limit(daemon, "unlimited"));
    holds_still(&site, &simulator, daemon, switches, &[]).await;
}

/// Nothing is begun where nothing can be recorded: neither a ledger nor a life.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_space_says_so_and_sends_nothing() {
    let simulator = simulator(2).await;
    let site = Site::new(&Wanted::of(&simulator));
    let refused = |site: &Site| {
        let answer = finish(limited(site, "0"));
        assert_eq!(answer.code, Some(1), "{answer:?}");
        let text = answer.text();
        assert!(text.contains("error: ") && text.contains(&site.state().display().to_string()), "{text}");
    };
    refused(&site);
    site.start().stop();
    let before = (ledger(&site).len(), simulator.truth().puts.len());
    refused(&site);
    assert_eq!((ledger(&site).len(), simulator.truth().puts.len()), before);
    site.start().stop();
}

/// A sync that failed promised nothing: its records are none, not even when the disk takes them later after all.
#[tokio::test(flavor = "multi_thread")]
async fn while_syncs_fail_nothing_is_sent() {
    holds_still_while_it_is("sync", &["a sync to the disk failed"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_file_system_is_read_only_nothing_is_sent() {
    holds_still_while_it_is("read-only", &["the ledger is read-only"]).await;
}

/// Killed while syncs fail, the next life starts from what the files say, whatever that is, and settles it.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_syncs_fail_the_next_life_settles_what_the_files_say() {
    const TARGETS: usize = 40;
    let simulator = simulator(TARGETS).await;
    let site = Site::new(&Wanted::of(&simulator));
    let disk = Disk::of(&site);
    for fill in [5, 15, 25] {
        let daemon = Running::listening(disk.daemon(&site));
        until("it is at work", || (simulator.truth().changes.len() > fill).then_some(())).unwrap();
        disk.ail("sync");
        daemon.answers("/readyz", 503).await;
        daemon.kill();
        disk.heal("sync");
        every_put_is_recorded(&site, &simulator);
    }
    let daemon = site.start();
    all_settled(&site, &simulator);
    daemon.stop();
    assert_eq!(agree(&site, &simulator.truth()), TARGETS);
    let unsent = ledger(&site)
        .iter()
        .filter(|record| matches!(record.event().unwrap(), Event::RotationUnconfirmed { .. }))
        .count();
    println!("attempts that were on record and never left: {unsent}");
}

/// A file system that is mounted read-only from the start: one sentence that says what to do, and nothing is sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_on_a_read_only_file_system_says_what_to_do() {
    let simulator = simulator(2).await;
    let site = Site::new(&Wanted::of(&simulator));
    std::fs::create_dir(site.state()).unwrap();
    let refused = |site: &Site| {
        let answer = read_only(site);
        assert_eq!(answer.code, Some(1), "{answer:?}");
        let text = answer.text();
        for said in ["read-only file system", "mount it writable", &site.state().display().to_string()] {
            assert!(text.contains(said), "{said:?} is not in {text}");
        }
    };
    refused(&site);
    assert_eq!(std::fs::read_dir(site.state()).unwrap().count(), 0);
    let daemon = site.start();
    all_settled(&site, &simulator);
    daemon.stop();
    let before = (ledger(&site).len(), simulator.truth().requests.total);
    refused(&site);
    assert_eq!((ledger(&site).len(), simulator.truth().requests.total), before);
}

/// Runs the daemon where its state directory is mounted read-only, in a mount namespace that ends with it.
fn read_only(site: &Site) -> Answer {
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" || exit 99; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", script]).arg(site.state());
    let run = site.command(&["run"]);
    command.arg(run.get_program()).args(run.get_args());
    let answer = finish(command);
    assert_ne!(answer.code, Some(99), "this test needs mount namespaces: run it as root, or allow user namespaces");
    answer
}
