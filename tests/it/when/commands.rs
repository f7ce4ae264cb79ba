//! What the commands tell of plans and of coverage, read from a real ledger with no daemon there.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use jiff::{SignedDuration, Timestamp};
use rekeyd::app::SystemClock;
use rekeyd::domain::{
    Actor, Caller, Entry, Event, Gap, How, Listing, Mechanism, Role, RotationId, Target, TargetId, microsecond,
};
use rekeyd::ports::Journal;
use rekeyd::store::Store;
use serde_json::Value;
use tempfile::TempDir;

const CONFIG: &str = r#"
version = 1
state_dir = "STATE"
timezone = "Europe/Paris"

[policy.default]
windows = ["Sat,Sun 01:00-05:00"]

[policy.monthly]
cron = "30 2 1 * *"
windows = []

[[ops_manager]]
name = "emea"
url = "https://om.example.com/"
public_key = "abcdefgh"
private_key = { credential = "emea" }

[[ops_manager.override]]
cluster = "led*"
policy = "monthly"

[[ops_manager.override]]
project = "*"
cluster = "orders"
policy = "default"
"#;

/// A folder with a configuration and a ledger.
struct Site(TempDir);

impl Site {
    async fn new(events: Vec<(Timestamp, Event)>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let config = CONFIG.replace("STATE", state.to_str().unwrap());
        std::fs::write(folder.path().join("rekeyd.toml"), config).unwrap();
        std::fs::create_dir(&state).unwrap();
        let store = tokio::task::spawn_blocking(move || Store::open(&state, [7; 32]).unwrap()).await.unwrap();
        let entry = |(at, event)| Entry { at, actor: Actor::Daemon, event };
        store.record(events.into_iter().map(entry).collect()).await.unwrap();
        store.close().await.unwrap();
        Self(folder)
    }

    fn ask(&self, arguments: &[&str]) -> Output {
        let config = self.0.path().join("rekeyd.toml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_rekeyd"));
        command.args(["--config", config.to_str().unwrap()]).args(arguments).output().unwrap()
    }

    fn text(&self, arguments: &[&str]) -> String {
        let output = self.ask(arguments);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let arguments = [arguments, &["--json"]].concat();
        self.text(&arguments).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn target(cluster: &str, replica_set: &str, role: Role) -> Target {
    Target {
        manager: "emea".into(),
        project_id: "5f".into(),
        project: "billing".to_owned(),
        cluster_id: format!("id-{replica_set}").as_str().into(),
        cluster: cluster.to_owned(),
        replica_set: replica_set.to_owned(),
        role,
        mechanism: Mechanism::BackupKey,
    }
}

fn found(at: Timestamp, target: &Target) -> Vec<(Timestamp, Event)> {
    let seen = Event::KeySeen { target: target.id(), key: "first".into(), looked_at: None };
    vec![(at, Event::TargetFound { description: target.clone(), listing: Listing::Eligible }), (at, seen)]
}

fn rotated(at: Timestamp, target: &TargetId) -> (Timestamp, Event) {
    let done = Event::RotationDone {
        target: target.clone(),
        rotation: RotationId { slot: 1, attempt: 1 },
        due_at: at,
        how: How::FoundChanged,
        key_before: "first".into(),
        key_after: "second".into(),
        last_seen: at,
        looked_at: Some(at),
    };
    (at, done)
}

fn members() -> Vec<Target> {
    vec![
        target("ledger", "ledger-0", Role::Shard),
        target("ledger", "ledger-1", Role::Shard),
        target("ledger", "ledger-config", Role::ConfigServer),
        target("orders", "orders", Role::ReplicaSet),
        target("lonely", "lonely-0", Role::Shard),
    ]
}

/// A stranger's parser reads every slot to come out of the calendar file, each where the plan has it.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_calendar_can_be_read_by_a_stranger() {
    let now = SystemClock::now();
    let site = Site::new(members().iter().flat_map(|target| found(now, target)).collect()).await;
    let planned = site.json(&["plan", "--horizon", "100d"]);
    assert!(planned.len() > 10, "{planned:?}");
    let expected: BTreeMap<String, (String, String)> = planned
        .iter()
        .map(|slot| {
            let text = |name: &str| slot[name].as_str().unwrap().to_owned();
            let begins: Timestamp = text("begins_at").parse().unwrap();
            let uid = format!("{}/{}@rekeyd", text("target_id"), slot["slot"]);
            (uid, (begins.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), text("target")))
        })
        .collect();

    let calendar = site.text(&["plan", "--horizon", "100d", "--ical"]);
    assert!(calendar.lines().all(|line| line.len() <= 75), "lines are folded (RFC 5545, 3.1)");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/test-tools/venv/bin/python");
    assert!(python.exists(), "the Python library icalendar is missing: run tests/setup.sh");
    let mut reader = Command::new(python)
        .arg(root.join("tests/clients/change_calendar.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    reader.stdin.take().unwrap().write_all(calendar.as_bytes()).unwrap();
    let read = reader.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&read.stderr);
    assert!(read.status.success(), "run tests/setup.sh if the library is missing: {complaint}");
    let read: Value = serde_json::from_slice(&read.stdout).unwrap();
    assert_eq!((&read["version"], &read["errors"]), (&"2.0".into(), &Value::Array(Vec::new())));
    let mut shown = BTreeMap::new();
    for event in read["events"].as_array().unwrap() {
        assert_eq!(event["errors"], Value::Array(Vec::new()), "{event}");
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        let name = text("summary").strip_prefix("Rotate the key of ").unwrap().to_owned();
        shown.insert(text("uid"), (text("start"), name));
    }
    assert_eq!(shown, expected);
}

/// Slots keep to their policies' windows and calendars, and `config show` says whose policy is whose, and why.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_to_come_is_told_with_its_reason() {
    let now = SystemClock::now();
    let site = Site::new(members().iter().flat_map(|target| found(now, target)).collect()).await;
    for slot in site.json(&["plan", "--horizon", "60d"]) {
        let at: Timestamp = slot["begins_at"].as_str().unwrap().parse().unwrap();
        let wall = at.in_tz("Europe/Paris").unwrap();
        if slot["policy"] == "monthly" {
            // On the first at half past two, and up to a tenth of 28 days later.
            assert!((1..=4).contains(&wall.day()), "{slot}");
        } else {
            assert!(["Sat", "Sun"].contains(&wall.strftime("%a").to_string().as_str()), "{slot}");
            assert!((1..5).contains(&wall.hour()) && slot["window"]["start"].is_string(), "{slot}");
        }
    }
    let grid = site.text(&["plan", "--horizon", "60d", "--calendar"]);
    assert!(grid.contains("Mon     Tue     Wed") && grid.contains("Days are those of Europe/Paris."), "{grid}");
    assert!(grid.lines().all(|line| line.chars().count() <= 80), "{grid}");

    let shown = site.text(&["config", "show"]);
    for line in [
        r#"# emea/billing/ledger/ledger-0       monthly: the override of project "*", cluster "led*""#,
        r#"# emea/billing/lonely/lonely-0       default: the policy of its manager"#,
        r#"# emea/billing/orders/orders         default: the override of project "*", cluster "orders""#,
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is missing in:\n{shown}");
    }
    let words = "# At 02:30, on day 1, by the clocks of Europe/Paris";
    assert!(shown.contains(words), "{shown}");
}

/// One list of freezes and one planner: what `status` calls next is the first slot of the plan, and whoever holds a target up is
/// named everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn ordered_freezes_and_pauses_are_in_every_plan() {
    let now = microsecond(SystemClock::now());
    let in_days = |days: i64| now + SignedDuration::from_hours(24 * days);
    let by = || Caller { uid: 1000, gid: 1000, pid: 7, user: Some("ada".to_owned()), login: None };
    let freeze = Event::FreezeSet {
        name: "audit".to_owned(),
        scope: "*/ledger/*".to_owned(),
        start: in_days(1),
        end: in_days(50),
        reason: "CHG-1".to_owned(),
        by: by(),
    };
    let (scope, reason) = ("*/lonely/*".to_owned(), "CHG-2".to_owned());
    let pause = Event::PauseSet { scope, until: in_days(40), reason, by: by() };
    let mut events: Vec<_> = members().iter().flat_map(|target| found(now, target)).collect();
    events.extend([(now, freeze), (now, pause)]);
    let site = Site::new(events).await;

    let mut first: BTreeMap<String, Value> = BTreeMap::new();
    for slot in site.json(&["plan", "--horizon", "100d"]) {
        let begins: Timestamp = slot["begins_at"].as_str().unwrap().parse().unwrap();
        let name = slot["target"].as_str().unwrap().to_owned();
        assert!(!name.contains("/ledger/") || begins < in_days(1) || begins >= in_days(50), "{slot}");
        assert!(!name.contains("/lonely/") || begins >= in_days(40), "{slot}");
        first.entry(name).or_insert(slot);
    }
    for (name, slot) in &first {
        let status = &site.json(&["status", name])[0];
        assert_eq!(status["next_rotation_at"], slot["begins_at"], "{status}");
        assert_eq!(status["due_at"], slot["due_at"], "{status}");
    }
    assert_eq!(first.len(), 5);
    let table = site.text(&["plan", "--horizon", "100d"]);
    assert!(table.contains(", held by freeze audit (CHG-1)"), "{table}");
    // The plan of now as well: an alert that comes long before the due time sends people there.
    let today = site.text(&["plan", "*/ledger/*"]);
    assert!(today.contains(": held by freeze audit until ") && today.contains("(CHG-1)"), "{today}");
    let ledger = &site.json(&["plan", "*/ledger/ledger-0"])[0];
    assert!(ledger["waits_for"].as_str().unwrap().starts_with("held by freeze audit until "), "{ledger}");
    let orders = &site.json(&["plan", "*/orders/*"])[0];
    assert!(!orders["waits_for"].to_string().contains("freeze"), "{orders}");
    assert!(table.contains(", paused with */lonely/* (CHG-2), window until "), "{table}");
    let calendar = |glob: &str| site.text(&["plan", glob, "--horizon", "100d", "--calendar"]);
    assert!(calendar("*").contains("a freeze holds targets on that day"));
    assert!(!calendar("*/orders/*").contains("a freeze holds targets"), "it holds none of these");
    assert!(site.text(&["config", "show"]).contains("\n# Freeze audit, ordered by ada: CHG-1\n#   */ledger/*, "));
}

/// All, some and none; a shard left behind is named, and without config servers nothing is whole.
#[tokio::test(flavor = "multi_thread")]
async fn coverage_names_whoever_was_left_out() {
    let now = SystemClock::now();
    let ago = |days: i64| now - SignedDuration::from_hours(24 * days);
    let members = members();
    let [ledger_0, ledger_1, config, orders, lonely] = &members[..] else { panic!("five members") };
    let mut events: Vec<_> = members.iter().flat_map(|target| found(ago(200), target)).collect();
    let gap = Gap { project_id: "5f".into(), project: "billing".to_owned(), cluster: "lonely".to_owned() };
    events.push((ago(199), Event::GapFound { manager: "emea".into(), gap }));
    let scratch = Target {
        cluster: "scratch".to_owned(),
        replica_set: "scratch".to_owned(),
        cluster_id: "99".into(),
        ..orders.clone()
    };
    let listing = Listing::Excluded { pattern: "scratch*".to_owned() };
    events.push((ago(200), Event::TargetFound { description: scratch, listing }));
    events.push(rotated(ago(120), &ledger_1.id()));
    events.extend([ledger_0, config, orders, lonely].map(|target| rotated(ago(10), &target.id())));
    let site = Site::new(events).await;

    let found = site.json(&["coverage", "--period", "90d", "--periods", "2"]);
    let told: Vec<_> = found
        .iter()
        .map(|cluster| {
            let missing: Vec<_> = cluster["missing"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            (cluster["cluster"].as_str().unwrap(), cluster["covered"].as_str().unwrap(), missing)
        })
        .collect();
    let name = |cluster: &'static str| cluster;
    assert_eq!(
        told,
        [
            (
                name("emea/billing/ledger"),
                "some",
                vec!["emea/billing/ledger/ledger-0", "emea/billing/ledger/ledger-config"]
            ),
            ("emea/billing/ledger", "some", vec!["emea/billing/ledger/ledger-1"]),
            ("emea/billing/lonely", "none", vec!["emea/billing/lonely/lonely-0"]),
            ("emea/billing/lonely", "some", vec![]),
            ("emea/billing/orders", "none", vec!["emea/billing/orders/orders"]),
            ("emea/billing/orders", "all", vec![]),
            ("emea/billing/scratch", "none", vec!["emea/billing/scratch/scratch"]),
            ("emea/billing/scratch", "none", vec!["emea/billing/scratch/scratch"]),
        ]
    );
    assert_eq!(site.ask(&["coverage"]).status.code(), Some(3));
    assert_eq!(site.ask(&["coverage", "*/orders"]).status.code(), Some(0));
    assert_eq!(site.ask(&["coverage", "*/orders", "--periods", "2"]).status.code(), Some(3));
    // Whoever excludes a cluster is not told of it for ever.
    assert_eq!(site.ask(&["coverage", "*/scratch"]).status.code(), Some(0));
    assert_eq!(site.ask(&["coverage", "nobody"]).status.code(), Some(1));
    let table = site.text(&["coverage", "*/lonely"]);
    assert!(table.contains("the config servers, which its manager does not list"), "{table}");
}
