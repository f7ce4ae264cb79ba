//! What the service manager is told: ready when the managers were heard of, alive as long as plans are made.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use rekeyd::simulator::{FaultKind, Simulator, SimulatorSpec};

use super::site::{PATIENCE, Running, Site, Wanted, until};

/// The end of the conversation that systemd has.
struct Manager(UnixDatagram);

impl Manager {
    fn start(site: &Site, arguments: &[&str]) -> (Self, Running) {
        let path = site.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = site.command(arguments);
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "90000000");
        (Self(socket), Running::listening(command))
    }

    fn next(&self) -> Option<String> {
        let mut bytes = [0; 4096];
        let length = self.0.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..length].to_vec()).unwrap())
    }

    /// Everything that is said up to a message with this in it.
    fn until(&self, wanted: &str) -> Vec<String> {
        let mut said = Vec::new();
        while !said.last().is_some_and(|message: &String| message.contains(wanted)) {
            said.push(self.next().unwrap_or_else(|| panic!("{wanted} was not said: {said:?}")));
        }
        said
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_told_of_readiness_life_reloads_and_the_end() {
    // The first answer of the manager is a failure, after a while.
    let faults = vec![FaultKind::Slow(Duration::from_millis(1500)).everywhere().scope(rekeyd::simulator::Scope::Any)];
    let simulator = Simulator::start(SimulatorSpec { faults, ..SimulatorSpec::default() }).await.unwrap();
    let site = Site::new(&Wanted::of(&simulator));
    let (manager, daemon) = Manager::start(&site, &["run"]);
    let said = manager.until("READY=1");
    assert!(said[0].contains("STATUS=waiting for the first answer"), "{said:?}");
    assert!(said.last().unwrap().contains("targets managed"), "{said:?}");
    assert!(site.reader().fleet().unwrap().targets.len() >= 14, "ready before the first contact was on record");
    simulator.set_faults(Vec::new());
    for _ in 0..3 {
        manager.until("WATCHDOG=1");
    }
    daemon.signal("HUP");
    let said = manager.until("RELOADING=1");
    assert!(said.last().unwrap().contains("MONOTONIC_USEC="), "{said:?}");
    manager.until("READY=1");
    daemon.signal("TERM");
    manager.until("STOPPING=1");
    daemon.ended();
}

/// A manager that cannot be reached is a state to be ready in: a restart mends nothing.
#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_when_a_manager_has_failed() {
    let simulator = Simulator::start(SimulatorSpec::default()).await.unwrap();
    simulator.set_down(true);
    let site = Site::new(&Wanted::of(&simulator));
    let (manager, _daemon) = Manager::start(&site, &["run"]);
    let said = manager.until("READY=1");
    assert!(said.last().unwrap().contains("1 managers failing"), "{said:?}");
}

/// The loop stands still, every other thread lives: no sign of life may come then.
#[tokio::test(flavor = "multi_thread")]
async fn a_loop_that_stands_still_gives_no_sign_of_life() {
    let simulator = Simulator::start(SimulatorSpec::default()).await.unwrap();
    let site = Site::new(&Wanted::of(&simulator));
    let (manager, daemon) = Manager::start(&site, &["run", "--die", "stall:pause_ended"]);
    manager.until("WATCHDOG=1");
    let paused = site.ask(&["pause", "nobody", "--until", "1s", "--reason", "to be stalled at its end"]);
    assert_eq!(paused.code, Some(3), "it stands, and nobody is held up: {paused:?}");
    // Plans are made every five seconds at least.
    manager.0.set_read_timeout(Some(Duration::from_secs(12))).unwrap();
    until("there is silence", || manager.next().is_none().then_some(())).unwrap();
    assert_eq!(daemon.get("/metrics").await.0, 200, "the rest of it lives");
}
