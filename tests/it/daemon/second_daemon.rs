//! One state directory, one daemon.

use rekeyd::simulator::{Simulator, SimulatorSpec};

use super::site::{Site, Wanted};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_daemon_is_refused_and_told_who_is_there() {
    let simulator = Simulator::start(SimulatorSpec::default()).await.unwrap();
    let site = Site::new(&Wanted::of(&simulator));
    let first = site.start();
    let refused = site.ask(&["run"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let text = refused.text();
    assert!(text.contains("state is held by"), "{text}");
    assert!(text.contains(&format!("pid {}", first.pid())) && text.contains("since 20"), "{text}");
    // What would write into the ledger itself, were the daemon down, asks the daemon.
    assert!(site.ask(&["rearm", "*", "--reason", "CHG-1"]).err.contains("no quarantined target matches"));
    assert_eq!(first.get("/livez").await.0, 200);

    // The lock dies with its holder, however it dies.
    first.kill();
    site.start().stop();
}
