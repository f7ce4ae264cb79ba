//! The shipped alert rules and dashboard: true to themselves, to the runbook and to the daemon, and seen at work with the
//! real Prometheus and the real Alertmanager.

mod servers;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rekeyd::alerts;
use rekeyd::domain::{AlertKind, Period};
use rekeyd::policy::Rules;
use rekeyd::simulator::{Simulator, SimulatorSpec};
use serde_json::{Value, json};
use servers::{Server, alertmanager, daemon, eventually, get, get_json, prometheus};

const RULES: &str = include_str!("../../config/prometheus/rekeyd.rules.yml");
const DASHBOARD: &str = include_str!("../../config/grafana/rekeyd.json");
const RUNBOOK: &str = include_str!("../../docs/runbook.md");

fn config(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(file)
}

fn promtool(arguments: &[&str], file: &Path) {
    let output = Command::new("promtool")
        .args(arguments)
        .arg(file)
        .output()
        .expect("promtool is missing: run tests/setup.sh (Debian: apt-get install prometheus)");
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "promtool {arguments:?} {}: {said}", file.display());
}

/// The value behind `key: ` of each line that has one.
fn values<'t>(text: &'t str, key: &str) -> Vec<&'t str> {
    text.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(key)).map(str::trim).collect()
}

/// Each rule fires when it should and is silent otherwise; the cases stand in the file beside the rules.
#[test]
fn the_rules_are_sound_and_do_what_they_say() {
    promtool(&["check", "rules"], &config("prometheus/rekeyd.rules.yml"));
    promtool(&["test", "rules"], &config("prometheus/rekeyd.rules.test.yml"));
}

/// A rule that no case has seen firing may be one that never fires.
#[test]
fn every_rule_is_seen_firing_and_silent() {
    let cases = fs::read_to_string(config("prometheus/rekeyd.rules.test.yml")).unwrap();
    for alert in values(RULES, "alert:") {
        assert!(cases.contains(&format!("alertname: {alert}, exp_alerts: [] }}")), "{alert} is never seen silent");
        assert!(cases.contains(&format!("alertname: {alert}\n        exp_alerts:\n")), "{alert} is never seen firing");
    }
}

/// At night a link to nowhere is worse than none. The runbook has a section for each alert, and no others.
#[test]
fn every_alert_has_its_section_in_the_runbook() {
    let sections: BTreeSet<&str> = values(RUNBOOK, "### ").into_iter().collect();
    let alerts: BTreeSet<&str> = values(RULES, "alert:").into_iter().collect();
    assert_eq!(alerts, sections);
    let links = values(RULES, "runbook_url:");
    let expected: Vec<String> =
        values(RULES, "alert:").iter().map(|alert| format!("docs/runbook.md#{}", alert.to_lowercase())).collect();
    assert_eq!(links, expected);
}

/// Whoever is told by the daemon itself finds the same names, the same severities and the same runbook.
#[test]
fn the_daemons_own_alerts_are_those_of_the_rules() {
    let alerts = values(RULES, "alert:");
    let severities = values(RULES, "severity:");
    let told: BTreeMap<_, _> = alerts.iter().copied().zip(severities).collect();
    for &kind in AlertKind::ALL {
        let rule = alerts::rule(kind);
        assert_eq!(told.get(rule), Some(&alerts::Severity::of(kind).as_str()), "{rule}");
        assert!(RULES.contains(&format!("runbook_url: {}\n", alerts::runbook("docs/runbook.md", kind))), "{rule}");
    }
}

/// The part of the rules that is about one alert.
fn section(rule: &str) -> &'static str {
    let (_, rest) = RULES.split_once(&format!("- alert: {rule}\n")).unwrap_or_else(|| panic!("no rule {rule}"));
    rest.split_once("- alert: ").map_or(rest, |(section, _)| section)
}

/// How long a rule waits from when its condition came true: its `for`, and for an outage the length that it compares with.
fn wait_of(section: &str) -> u64 {
    let period = |text: &&str| text.parse::<Period>().unwrap().as_secs();
    let stays = values(section, "for:").first().map_or(0, period);
    let (expression, _) = section.split_once("labels:").unwrap();
    let outage = expression.contains("_failing_since_timestamp_seconds") && !expression.contains("unless");
    let longer_than = expression.rsplit_once("> ").and_then(|(_, number)| number.trim().parse::<u64>().ok());
    stays + longer_than.filter(|_| outage).unwrap_or(0)
}

/// Whoever is told by the daemon itself is told no sooner and no later than whoever is told by Prometheus.
#[test]
fn the_daemon_is_as_patient_as_the_rules() {
    for &kind in AlertKind::ALL {
        let patience = alerts::patience(kind).map_or(0, Period::as_secs);
        assert_eq!(wait_of(section(alerts::rule(kind))), patience, "{kind:?}");
    }
    // A length of its own would fit one policy and not the next.
    for kind in AlertKind::ALL.iter().copied().filter(|kind| *kind != AlertKind::SchedulerStalled) {
        let (expression, _) = section(alerts::rule(kind)).split_once("labels:").unwrap();
        let limits = expression.split("> ").skip(1).filter(|limit| !limit.starts_with("rekeyd_"));
        for limit in limits.filter(|_| !expression.contains("_failing_since_timestamp_seconds")) {
            assert_eq!(limit.split_whitespace().next(), Some("0"), "{kind:?}");
        }
    }
    let stalled = format!("last_sweep_timestamp_seconds > {}\n", Rules::default().stalled_after.as_secs());
    assert!(section(alerts::rule(AlertKind::SchedulerStalled)).contains(&stalled), "{stalled}");
}

/// The rules as shipped, but for the lengths of time that no test can wait for.
fn compressed() -> String {
    let mut rules = RULES.replace("> 900", "> 2");
    for length in ["1m", "2m", "5m", "1h"] {
        rules = rules.replace(&format!("for: {length}\n"), "for: 1s\n");
    }
    rules
}

/// The alert of this name with this label that Alertmanager holds, if it fires.
async fn firing(alertmanager: &Server, name: &str, label: &str, value: &str) -> Option<Value> {
    let path = format!("/api/v2/alerts?filter=alertname%3D{name}");
    let alerts = eventually("Alertmanager to answer", async || get_json(alertmanager.port, &path).await).await;
    alerts.as_array().unwrap().iter().find(|alert| alert["labels"][label] == value).cloned()
}

/// The way of an alert from a key that grows old to the person on call, and its end when the key is rotated.
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_reaches_alertmanager_and_resolves_when_the_target_rotates() {
    let simulator = Simulator::start(SimulatorSpec::default()).await.unwrap();
    let short = simulator.target("billing/ledger/ledger-0").expect("the default fleet has it").name;
    simulator.set_faults(vec![format!("unavailable@put:{short}").parse().unwrap()]);
    let (daemon, alertmanager) = (daemon(&simulator, "").await, alertmanager().await);
    let _prometheus = prometheus(&compressed(), daemon.port, alertmanager.port).await;

    let target = format!("emea/{short}");
    let alert =
        eventually("the alert", async || firing(&alertmanager, "RekeydKeyTooOld", "target", &target).await).await;
    assert_eq!(alert["labels"]["severity"], "critical");
    assert_eq!(alert["labels"]["manager"], "emea");
    assert_eq!(alert["labels"]["job"], "rekeyd");
    let summary = alert["annotations"]["summary"].as_str().unwrap();
    assert!(summary.starts_with(&format!("{target}: its master key may be ")), "{summary}");
    assert!(summary.ends_with("s old, more than its policy allows."), "{summary}");
    assert_eq!(alert["annotations"]["runbook_url"], "docs/runbook.md#rekeydkeytooold");

    simulator.set_faults(Vec::new());
    let gone = async || firing(&alertmanager, "RekeydKeyTooOld", "target", &target).await.is_none().then_some(());
    eventually("the alert to resolve", gone).await;
}

/// For those without Prometheus: the daemon tells an Alertmanager itself, as the rules would, and takes it back.
#[tokio::test(flavor = "multi_thread")]
async fn the_daemon_tells_an_alertmanager_by_itself() {
    let simulator = Simulator::start(SimulatorSpec::default()).await.unwrap();
    let short = simulator.target("billing/ledger/ledger-0").expect("the default fleet has it").name;
    simulator.set_faults(vec![format!("unavailable@put:{short}").parse().unwrap()]);
    let alertmanager = alertmanager().await;
    // Told so seldom, an alert would fire for forty minutes more if its end were not told.
    let direct = format!(
        "[alerts]\nrunbook = \"https://wiki.example.com/runbook.md\"\n[[alertmanager]]\nname = \"direct\"\nurl = \"http://127.0.0.1:{}\"\nresend_every = \"10m\"\n",
        alertmanager.port
    );
    let _daemon = daemon(&simulator, &direct).await;

    let target = format!("emea/{short}");
    let alert =
        eventually("the alert", async || firing(&alertmanager, "RekeydKeyTooOld", "target", &target).await).await;
    assert_eq!(alert["labels"]["severity"], "critical");
    assert_eq!(alert["labels"]["manager"], "emea");
    assert_eq!(alert["labels"]["job"], "rekeyd");
    let summary = alert["annotations"]["summary"].as_str().unwrap();
    assert!(summary.starts_with(&format!("{target}: its key ")), "{summary}");
    assert_eq!(alert["annotations"]["runbook_url"], "https://wiki.example.com/runbook.md#rekeydkeytooold");
    assert_eq!(alert["status"]["state"], "active");

    simulator.set_faults(Vec::new());
    let gone = async || firing(&alertmanager, "RekeydKeyTooOld", "target", &target).await.is_none().then_some(());
    eventually("the alert to resolve", gone).await;
}

/// A restart mends no Ops Manager: the daemon stays up and ready, says that something is wrong, and an alert fires.
#[tokio::test(flavor = "multi_thread")]
async fn an_ops_manager_that_is_down_alerts_and_restarts_nobody() {
    let simulator = Simulator::start(SimulatorSpec::default()).await.unwrap();
    let (mut daemon, alertmanager) = (daemon(&simulator, "").await, alertmanager().await);
    let _prometheus = prometheus(&compressed(), daemon.port, alertmanager.port).await;
    simulator.unplug().await;
    let alert = async || firing(&alertmanager, "RekeydManagerFailing", "manager", "emea").await;
    let alert = eventually("the alert", alert).await;
    assert_eq!(alert["labels"]["severity"], "warning");
    let status = async |path: &str| get(daemon.port, path).await.map(|(status, _)| status);
    assert_eq!(status("/livez").await, Some(200));
    assert_eq!(status("/readyz").await, Some(200));
    assert_eq!(get_json(daemon.port, "/healthz").await.unwrap()["status"], "warn");
    assert!(daemon.is_running());

    simulator.plug_in().await.unwrap();
    let gone = async || firing(&alertmanager, "RekeydManagerFailing", "manager", "emea").await.is_none().then_some(());
    eventually("the alert to resolve", gone).await;

    // No daemon tells of its own death: that is for whoever scrapes it.
    drop(daemon);
    let alert = eventually("the alert", async || firing(&alertmanager, "RekeydAbsent", "job", "rekeyd").await).await;
    assert_eq!(alert["labels"]["severity"], "critical");
}

/// Every expression of the dashboard.
fn expressions(value: &Value) -> Vec<String> {
    match value {
        Value::Object(fields) => {
            let own = fields.get("expr").and_then(Value::as_str).map(str::to_owned);
            own.into_iter().chain(fields.values().flat_map(expressions)).collect()
        }
        Value::Array(items) => items.iter().flat_map(expressions).collect(),
        _ => Vec::new(),
    }
}

/// The names of our series in an expression.
fn series_in(expression: &str) -> BTreeSet<&str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter_map(|word| word.strip_prefix("rekeyd_")).collect()
}

/// A panel or a rule on a misspelt series stays empty and looks like good news.
#[test]
fn dashboard_and_rules_name_only_series_that_exist() {
    let made = [include_str!("../../src/http/series.rs"), include_str!("../../src/telemetry/metrics.rs")].concat();
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let expressions = expressions(&dashboard);
    assert!(expressions.len() > 15, "the panels were found");
    let rules: Vec<&str> = RULES.lines().filter(|line| !line.contains("summary") && !line.contains("name:")).collect();
    for name in expressions.iter().flat_map(|text| series_in(text)).chain(series_in(&rules.join("\n"))) {
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|part| name.strip_suffix(part));
        let exists = |name: &str| made.contains(&format!("\"{name}\""));
        assert!(exists(name) || of_histogram.is_some_and(exists), "no series rekeyd_{name}");
    }
}

/// Keys, rotations, managers, the daemon itself, and those who are told: what no panel shows, nobody sees.
#[test]
fn the_dashboard_shows_every_part() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let expressions = expressions(&dashboard);
    let shown: BTreeSet<&str> = expressions.iter().flat_map(|text| series_in(text)).collect();
    for name in [
        "key_created_timestamp_seconds",
        "next_rotation_timestamp_seconds",
        "rotation_attempts_total",
        "rotation_failures_total",
        "manager_failing_since_timestamp_seconds",
        "api_request_duration_seconds_bucket",
        "ledger_writable",
        "ledger_verified",
        "ledger_checkpoint_wanted_seq",
        "target_info",
        "scheduler_last_sweep_timestamp_seconds",
        "receiver_requests_total",
        "receiver_failing_since_timestamp_seconds",
    ] {
        assert!(shown.contains(name), "no panel shows rekeyd_{name}");
    }
}

/// Prometheus reads each expression of the dashboard, once its variables are filled in.
#[test]
fn every_expression_of_the_dashboard_is_sound() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let rules: Vec<Value> = expressions(&dashboard)
        .into_iter()
        .enumerate()
        .map(|(number, expression)| {
            let expression = expression.replace("$__rate_interval", "5m").replace("$__range", "1d");
            json!({ "record": format!("panel:{number}"), "expr": expression })
        })
        .collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    // JSON is YAML.
    fs::write(file.path(), json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string()).unwrap();
    promtool(&["check", "rules"], file.path());
}

/// One dashboard serves any Prometheus: no panel is tied to the one of its author.
#[test]
fn every_panel_takes_its_data_from_the_variable() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    assert_eq!(dashboard["templating"]["list"][0]["type"], "datasource");
    // Nor do two daemons add up to one, unless that is asked for.
    assert_eq!(dashboard["templating"]["list"][1]["name"], "instance");
    for expression in expressions(&dashboard) {
        let series = expression.matches("rekeyd_").count();
        assert_eq!(expression.matches(r#"{instance=~"$instance""#).count(), series, "{expression}");
    }
    for panel in dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row") {
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{}", panel["title"]);
        assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{}", panel["title"]);
    }
}
