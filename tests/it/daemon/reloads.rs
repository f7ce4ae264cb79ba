//! Reading the configuration again: all of it or nothing, seen by whoever asked, the metrics and the ledger.

use rekeyd::domain::{AlertKind, Event};
use rekeyd::simulator::{FaultKind, FleetSpec, KeyTiming, Simulator, SimulatorSpec};
use serde_json::Value;

use super::accounts::{agree, ledger, settled};
use super::site::{Running, Site, Wanted, until};

fn edit(site: &Site, from: &str, to: &str) {
    let text = std::fs::read_to_string(site.config()).unwrap();
    assert!(text.contains(from), "{text}");
    site.configure(&text.replace(from, to));
}

async fn successful(daemon: &Running) -> bool {
    let (_, scrape) = daemon.get("/metrics").await;
    scrape.contains("\nrekeyd_config_last_reload_successful 1\n")
}

fn told(site: &Site) -> Vec<Event> {
    let events = ledger(site).into_iter().map(|record| record.event().unwrap());
    events.filter(|event| matches!(event, Event::ConfigReloaded { .. } | Event::ConfigRefused { .. })).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_file_comes_into_force_and_says_what_changed() {
    let simulator = Simulator::start(SimulatorSpec::default()).await.unwrap();
    let site = Site::new(&Wanted { private_key: "wrong".to_owned(), ..Wanted::of(&simulator) });
    let daemon = site.start();
    until("the key is refused", || daemon.log().contains("credentials_refused").then_some(())).unwrap();

    std::fs::write(site.path().join("private-key"), &simulator.credentials().private_key).unwrap();
    edit(&site, "every = \"30d\"", "every = \"7d\"");
    let answer = site.ask(&["reload"]);
    assert_eq!(answer.code, Some(0), "{answer:?}");
    assert_eq!(answer.out, "policy.default every = \"7d\" (was \"30d\")\nops_manager emea: its private key changed\n");
    settled(&site, &simulator, 14);
    assert!(successful(&daemon).await);
    let events = told(&site);
    let [Event::ConfigReloaded { changes, by: Some(by) }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((changes.len(), by.pid > 1), (2, true));
    // The rules in force are the new ones, for the plan that the daemon shows too.
    let (_, metrics) = daemon.get("/metrics").await;
    assert!(site.reader().fleet().unwrap().policies["default"].starts_with("every 7d"));
    assert!(metrics.contains("rekeyd_next_rotation_timestamp_seconds"));

    // A signal does the same; and how old each target's key may grow is on record, once, and again when it changes.
    edit(&site, "every = \"7d\"", "every = \"8d\"\nalert_after = \"80d\"");
    daemon.signal("HUP");
    until("the signal is followed", || (told(&site).len() == 2).then_some(())).unwrap();
    let governed = || {
        let events = ledger(&site).into_iter().map(|record| record.event().unwrap());
        let governances = events
            .filter_map(|event| if let Event::TargetGoverned { governance, .. } = event { governance } else { None });
        governances.map(|governance| format!("{} {}", governance.policy, governance.alert_after)).collect::<Vec<_>>()
    };
    let targets = site.reader().fleet().unwrap().targets.len();
    until("every target has its new limit", || (governed().len() >= 2 * targets).then_some(())).unwrap();
    let expected = ["default 90d", "default 80d"].map(|one| vec![one.to_owned(); targets]).concat();
    assert_eq!(governed(), expected);
    assert_eq!(site.ask(&["reload"]).out, "read again; nothing has changed\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_changes_nothing_and_is_seen() {
    let simulator = Simulator::start(SimulatorSpec::default()).await.unwrap();
    let site = Site::new(&Wanted::of(&simulator));
    let daemon = site.start();
    settled(&site, &simulator, 14);
    let good = std::fs::read_to_string(site.config()).unwrap();
    for (wrong, said) in [
        (good.replace("every", "evry"), "evry"),
        (good.replace("/private-key", "/no-such-key"), "there is no such file"),
        (good.replace("127.0.0.1:0", "127.0.0.1:1"), "[http] can only be changed by a restart"),
        (
            "version = 1\n".to_owned() + &good[good.find("state_dir").unwrap()..good.find("[[ops").unwrap()],
            "no manager",
        ),
    ] {
        site.configure(&wrong);
        // The command itself must not stumble over the file that it is about.
        let before = told(&site).len();
        daemon.signal("HUP");
        until("it is on record", || (told(&site).len() > before).then_some(())).unwrap();
        let events = told(&site);
        let Some(Event::ConfigRefused { error, by: None }) = events.last() else { panic!("{events:?}") };
        assert!(error.contains(said), "{error}");
        assert!(!successful(&daemon).await);
    }
    // By command, with a file that only the daemon finds wrong, and with one that nobody can read.
    site.configure(&good.replace("127.0.0.1:0", "127.0.0.1:1"));
    let refused = site.ask(&["reload"]);
    assert!(refused.code == Some(1) && refused.err.contains("can only be changed by a restart"), "{refused:?}");
    // Nothing is wrong with the file: whoever asks is not sent to look for that.
    let status = site.ask(&["status"]).out;
    assert!(status.contains("[http] can only be changed by a restart: `systemctl restart rekeyd`"), "{status}");
    assert!(status.contains("Next: restart the daemon") && !status.contains("mend what"), "{status}");
    site.configure(&good.replace("every", "evry"));
    let (before, socket) = (told(&site).len(), site.state().join("control.sock"));
    let refused = site.ask(&["reload", "--socket", socket.to_str().unwrap()]);
    assert!(refused.code == Some(1) && refused.err.contains("evry"), "{refused:?}");
    assert_eq!(told(&site).len(), before + 1);
    assert_eq!(site.ask(&["reload"]).code, Some(78), "and where it is to be found, nobody knows");
    // An order need not wait for the file to be mended.
    let pause = ["pause", "nothing", "--until", "1h", "--reason", "INC-1"];
    assert_eq!(site.ask(&pause).code, Some(78));
    let paused = site.ask(&[&pause[..], &["--socket", socket.to_str().unwrap()]].concat());
    assert!(paused.code == Some(3) && paused.out.contains("INC-1"), "{paused:?}");
    assert!(paused.err.contains("no target's name matches \"nothing\" now"), "{paused:?}");
    let standing = site.ask(&["pause", "--json", "--socket", socket.to_str().unwrap()]).out;
    let standing: Value = serde_json::from_str(&standing).unwrap();
    assert_eq!((&standing["scope"], &standing["reason"]), (&"nothing".into(), &"INC-1".into()), "{standing}");
    assert_eq!(daemon.get("/livez").await.0, 200);
    site.configure(&good);

    // An alert says so to those who do not watch the metrics, and is on record for those who ask without the daemon.
    let (_, alerts) = daemon.get("/api/v1/alerts").await;
    assert!(alerts.contains("\"config_refused\"") && alerts.contains("evry"), "{alerts}");
    let refused =
        || site.reader().fleet().unwrap().alerts.into_keys().any(|(kind, _)| kind == AlertKind::ConfigRefused);
    until("the alert is on record", || refused().then_some(())).unwrap();
    let status = site.ask(&["status"]);
    assert!(status.code == Some(3) && status.out.contains("A changed configuration was refused at"), "{status:?}");
    assert!(
        status.out.contains("evry") && status.out.contains("Next: mend what `rekeyd check` says of it"),
        "{status:?}"
    );

    assert_eq!(site.ask(&["reload"]).code, Some(0));
    // The daemon is asked: its record tells of the end only when alerts are weighed next.
    let status = site.ask(&["status"]).out;
    assert!(!status.contains("A changed configuration was refused"), "{status}");
    assert!(successful(&daemon).await);
    let (_, alerts) = daemon.get("/api/v1/alerts").await;
    assert!(!alerts.contains("config_refused"), "{alerts}");
    until("its end is on record", || (!refused()).then_some(())).unwrap();
    assert!(site.ask(&["rotate", "*ledger-0", "--reason", "CHG-1"]).code == Some(0), "it goes on");
}

/// Read again and again while rotations are in every state: none is lost, none is doubled.
#[tokio::test(flavor = "multi_thread")]
async fn rotations_in_hand_are_not_disturbed() {
    let simulator = Simulator::start(SimulatorSpec {
        fleet: FleetSpec::uniform(120),
        timing: KeyTiming::After(std::time::Duration::from_millis(300)),
        faults: vec![FaultKind::CutAfter.everywhere().probability(0.1)],
        ..SimulatorSpec::default()
    })
    .await
    .unwrap();
    let site = Site::new(&Wanted::of(&simulator));
    let daemon = site.start();
    for (number, next) in ["7", "8", "7", "8"].iter().enumerate() {
        until("some more are rotated", || (simulator.truth().changes.len() > number * 20).then_some(())).unwrap();
        let text = std::fs::read_to_string(site.config()).unwrap();
        let at = text.find("max_concurrent = ").unwrap() + "max_concurrent = ".len();
        site.configure(&format!("{}{next}{}", &text[..at], &text[at + 1..]));
        assert_eq!(site.ask(&["reload"]).code, Some(0));
    }
    settled(&site, &simulator, 120);
    daemon.stop();
    let truth = simulator.truth();
    assert_eq!((agree(&site, &truth), truth.puts.len()), (120, 120));
}
