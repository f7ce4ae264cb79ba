//! `/metrics` of the real daemon: a sample for each target, and the same ones after a restart.

use std::collections::BTreeMap;

use rekeyd::simulator::{FleetSpec, Simulator, SimulatorSpec};

use super::accounts::all_settled;
use super::site::{Running, Site, Wanted, until};

const TARGETS: usize = 40;

/// The families that have one sample for each rotated target once everything is settled.
const OF_TARGETS: [&str; 8] = [
    "rekeyd_target_info",
    "rekeyd_key_created_timestamp_seconds",
    "rekeyd_key_first_seen_timestamp_seconds",
    "rekeyd_key_alert_after_seconds",
    "rekeyd_last_rotation_timestamp_seconds",
    "rekeyd_next_rotation_timestamp_seconds",
    "rekeyd_last_observation_timestamp_seconds",
    "rekeyd_target_quarantined",
];

/// The samples of a scrape: what stands before the value, and the value.
async fn scrape(daemon: &Running) -> BTreeMap<String, String> {
    let (status, text) = daemon.get("/metrics").await;
    assert_eq!(status, 200, "{text}");
    let mut samples = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(samples.insert(name.to_owned(), value.to_owned()).is_none(), "twice: {name}");
    }
    samples
}

/// Those of one family.
fn family(samples: &BTreeMap<String, String>, name: &str) -> BTreeMap<String, String> {
    let begin = format!("{name}{{");
    samples.iter().filter(|(series, _)| series.starts_with(&begin)).map(|(s, v)| (s.clone(), v.clone())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_target_has_its_samples_and_keeps_them_over_a_restart() {
    let simulator = Simulator::start(SimulatorSpec { fleet: FleetSpec::uniform(TARGETS), ..SimulatorSpec::default() })
        .await
        .unwrap();
    let site = Site::new(&Wanted::of(&simulator));
    let daemon = site.start();
    all_settled(&site, &simulator);
    let before = scrape(&daemon).await;
    for name in OF_TARGETS {
        assert_eq!(family(&before, name).len(), TARGETS, "{name}");
        for target in simulator.targets() {
            let label = format!("target=\"emea/{}\"", target.name);
            assert_eq!(family(&before, name).keys().filter(|series| series.contains(&label)).count(), 1, "{name}");
        }
    }
    assert_eq!(family(&before, "rekeyd_rotation_in_progress_since_timestamp_seconds").len(), 0);
    assert_eq!(before["rekeyd_ledger_head_seq"], site.reader().head().unwrap().seq.to_string());
    for name in ["rekeyd_scheduler_last_sweep_timestamp_seconds", "rekeyd_rotation_duration_seconds_count"] {
        assert!(before[name].parse::<f64>().unwrap() > 0.0, "{name}");
    }
    let puts = "rekeyd_api_requests_total{code=\"201\",manager=\"emea\",operation=\"rotate_key\"}";
    assert_eq!(before.get(puts), Some(&TARGETS.to_string()), "{:?}", family(&before, "rekeyd_api_requests_total"));
    for series in before.keys() {
        for label in ["cluster=", "instance=", "job="] {
            assert!(!series.contains(&format!("{{{label}")) && !series.contains(&format!(",{label}")), "{series}");
        }
    }

    // By a kill, so that nothing is written on the way out.
    daemon.kill();
    let daemon = site.start();
    until("the first plan is made", || daemon.log().contains("listening").then_some(())).unwrap();
    let after = scrape(&daemon).await;
    for name in OF_TARGETS {
        assert_eq!(family(&after, name), family(&before, name), "{name}");
    }
}
