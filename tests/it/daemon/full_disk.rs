//! A disk without space: no record, no rotation; and when there is space again, on it goes.
//!
//! A limit on the size of files stands in for the full disk: it needs no right, can be set and lifted while the daemon runs,
//! and fails every write beyond it, as a full disk does. The signal that comes with it is ignored.

use std::process::Command;
use std::time::{Duration, Instant};

use rekeyd::simulator::{FaultKind, FleetSpec, KeyTiming, Simulator, SimulatorSpec};
use serde_json::Value;

use super::accounts::{agree, all_settled, every_put_is_recorded, ledger};
use super::site::{Running, Site, Wanted, finish, until};

const TARGETS: usize = 200;
/// Longer than the daemon's pause between two tries to write.
const A_WHILE: Duration = Duration::from_secs(7);

/// The binary under `limit`, of which one can recover.
fn limited(site: &Site, limit: &str) -> Command {
    let mut command = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -S -f {limit}; exec \"$0\" run --config \"$1\"");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_rekeyd")]).arg(site.config());
    command
}

/// Fails every write to a file from now on, or none.
fn set_limit(daemon: &Running, limit: &str) {
    let (pid, limit) = (format!("--pid={}", daemon.pid()), format!("--fsize={limit}:"));
    let set = Command::new("prlimit").args([pid, limit]).status();
    assert!(set.expect("this test needs prlimit: install util-linux").success());
}

async fn simulator() -> Simulator {
    let spec = SimulatorSpec {
        fleet: FleetSpec::uniform(TARGETS),
        timing: KeyTiming::After(Duration::from_millis(50)),
        faults: vec![FaultKind::Slow(Duration::from_millis(30)).everywhere()],
        ..SimulatorSpec::default()
    };
    Simulator::start(spec).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_that_can_not_be_recorded_and_work_goes_on_when_there_is_space() {
    let simulator = simulator().await;
    let site = Site::new(&Wanted::of(&simulator));
    let daemon = Running::listening(limited(&site, "unlimited"));
    for fill in [20, 60] {
        until("it is at work", || (simulator.truth().changes.len() > fill).then_some(())).unwrap();
        set_limit(&daemon, "0");
        let words = daemon.answers("/readyz", 503).await;
        assert!(words.contains("[-]ledger failed: since 20") && words.contains("so nothing is rotated"), "{words}");
        let (status, health) = daemon.get("/healthz").await;
        let health: Value = serde_json::from_str(&health).unwrap();
        assert_eq!((status, &health["status"]), (503, &Value::from("fail")), "{health}");
        assert_eq!(daemon.get("/livez").await.0, 200, "a restart would mend nothing");

        // What had been recorded as sent may still arrive; nothing else does.
        let noticed = Instant::now();
        while noticed.elapsed() < A_WHILE {
            every_put_is_recorded(&site, &simulator);
            std::thread::sleep(Duration::from_millis(50));
        }
        let sent = simulator.truth().puts.len();
        assert!(sent < TARGETS, "it went on");
        assert_eq!(daemon.get("/readyz").await.0, 503);

        set_limit(&daemon, "unlimited");
        until("it goes on", || (simulator.truth().puts.len() > sent).then_some(())).unwrap();
        assert_eq!(daemon.get("/readyz").await.0, 200);
    }
    all_settled(&site, &simulator);
    daemon.stop();
    let truth = simulator.truth();
    assert_eq!((agree(&site, &truth), truth.puts.len()), (TARGETS, TARGETS));
    let outages = ledger(&site).iter().filter(|record| record.kind == "ledger_recovered").count();
    assert_eq!(outages, 2, "each outage is itself on record");
}

/// Nothing is begun where nothing can be recorded: neither a ledger nor a life.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_space_says_so_and_sends_nothing() {
    let simulator = simulator().await;
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
