//! The pages as a browser meets them: real ledgers of several fleets behind the real listener, looked at by Chromium.

#![expect(clippy::unwrap_used, reason = "what a test's own helpers cannot do fails the test")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rekeyd::domain::{
    Actor, Caller, Entry, Event, Failure, Freeze, Gap, Glob, How, KeyChange, KeyOrigin, Listing, Mechanism, PolicyName,
    Reason, Role, RotationId, Scope, Span, Stage, State, Target, TargetId, Verdict,
};
use rekeyd::http::{self, Inputs};
use rekeyd::policy::{ManagerRules, Policy, Rules};
use rekeyd::ports::{Archive, Gauge, Journal, Situation};
use rekeyd::store::Store;
use rekeyd::telemetry::Metrics;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// The goal for a thousand targets.
const LARGEST_PAGE: usize = 300_000;

fn now() -> Timestamp {
    "2026-06-15T09:00:00Z".parse().unwrap()
}

fn days_ago(days: f64) -> Timestamp {
    now() - SignedDuration::from_secs_f64(days * 86_400.0)
}

/// A daemon's record and the listener that shows it.
struct Scene {
    store: Arc<Store>,
    address: SocketAddr,
    shutdown: CancellationToken,
    _folder: TempDir,
}

/// The state of affairs that follows from the record; all else is in good order.
struct FromRecord(Arc<Store>);

impl Gauge for FromRecord {
    fn read(&self) -> Situation {
        Situation {
            now: now(),
            fleet: self.0.fleet(),
            head: self.0.head(),
            unwritable: None,
            started_at: days_ago(12.4),
            recovered: BTreeMap::new(),
            last_sweep: Some(now() - SignedDuration::from_secs(2)),
            since_sweep: Duration::from_secs(2),
            upkeep: None,
        }
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

fn rules() -> Rules {
    let policy = Arc::new(Policy::with_defaults(PolicyName::from("default")));
    let manager = || ManagerRules::new(4, Arc::clone(&policy));
    let freeze = Freeze {
        name: "year-end".to_owned(),
        reason: "books are closed".to_owned(),
        span: Span { start: days_ago(2.0), end: days_ago(-5.0) },
        scope: Glob::new("apac/orders/*"),
    };
    let managers = BTreeMap::from([("apac".into(), manager()), ("emea".into(), manager())]);
    Rules { managers, freezes: vec![freeze], ..Rules::default() }
}

fn target(manager: &str, project: &str, cluster: &str, replica_set: &str, role: Role) -> Target {
    Target {
        manager: manager.into(),
        project_id: format!("5f{project}").as_str().into(),
        project: project.to_owned(),
        cluster_id: format!("6a{cluster}{replica_set}").as_str().into(),
        cluster: cluster.to_owned(),
        replica_set: replica_set.to_owned(),
        role,
        mechanism: Mechanism::BackupKey,
    }
}

fn failure(reason: Reason, detail: &str) -> Failure {
    Failure { status: Some(500), ..Failure::new(reason, Verdict::Permanent, Scope::Target, detail) }
}

impl Scene {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path(), [7; 32]).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let router = http::router(Inputs {
            gauge: Arc::new(FromRecord(Arc::clone(&store))),
            archive: Arc::clone(&store) as Arc<dyn Archive>,
            rules: tokio::sync::watch::channel(Arc::new(rules())).1,
            metrics: Arc::new(Metrics::new("1.2.3", now(), [&"emea".into()])),
            hosts: Vec::new(),
        });
        tokio::spawn(http::serve(listener, router, None, shutdown.clone()));
        Self { store, address, shutdown, _folder: folder }
    }

    async fn tell(&self, at: Timestamp, event: Event) {
        self.tell_all(vec![(at, event)]).await;
    }

    async fn tell_all(&self, events: Vec<(Timestamp, Event)>) {
        let entries = events.into_iter().map(|(at, event)| Entry { at, actor: Actor::Schedule, event });
        self.store.record(entries.collect()).await.unwrap();
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = client.get(format!("http://{}{path}", self.address)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

/// What leads to a target whose key is `age` days old after `rotations` of them, a month apart, and was read just now.
fn life(target: &Target, age: f64, rotations: u32) -> Vec<(Timestamp, Event)> {
    let id = target.id();
    let first = age + 30.0 * f64::from(rotations);
    let key = |number: u32| format!("{:04x}-{}-{number:04}", first as u64, target.replica_set).as_str().into();
    let mut events = vec![
        (days_ago(first), Event::TargetFound { description: target.clone(), listing: Listing::Eligible }),
        (days_ago(first), Event::KeySeen { target: id.clone(), key: key(0), looked_at: None }),
    ];
    for number in 1..=rotations {
        let at = days_ago(first - 30.0 * f64::from(number));
        let later = |seconds| at + SignedDuration::from_secs(seconds);
        let rotation = RotationId { slot: number.into(), attempt: 1 };
        let looked_at = at;
        events.extend([
            (
                at,
                Event::RotationIntended {
                    target: id.clone(),
                    rotation,
                    due_at: at,
                    key_before: key(number - 1),
                    looked_at,
                },
            ),
            (at, Event::RotationSending { target: id.clone(), rotation, looked_at: None }),
            (later(1), Event::RotationAccepted { target: id.clone(), rotation, status: 202 }),
            (
                later(9),
                Event::RotationDone {
                    target: id.clone(),
                    rotation,
                    due_at: at,
                    how: How::Rotated,
                    key_before: key(number - 1),
                    key_after: key(number),
                    last_seen: looked_at,
                    looked_at: None,
                },
            ),
        ]);
    }
    events
}

/// Keys that were read a minute ago, so that no look at them is stale.
async fn look(scene: &Scene) {
    let at = now() - SignedDuration::from_mins(1);
    let seen = scene.store.fleet().targets.keys().map(|id| (id.clone(), at)).collect();
    scene.store.seen_again(seen).await.unwrap();
}

/// Twelve targets in good order: two sharded clusters and some single replica sets.
async fn twelve() -> Scene {
    let scene = Scene::new().await;
    let mut ages = [2.0, 5.5, 9.0, 12.0, 14.5, 17.0, 19.0, 22.0, 24.0, 26.5, 28.0, 29.5].into_iter();
    let mut events = Vec::new();
    for (manager, project, cluster, members) in [
        ("emea", "billing", "ledger", 4),
        ("emea", "billing", "invoices", 1),
        ("emea", "identity", "sessions", 1),
        ("apac", "orders", "orders", 3),
        ("apac", "orders", "archive", 1),
        ("apac", "search", "catalogue", 2),
    ] {
        for member in 0..members {
            let (name, role) = match (members, member) {
                (1, _) => (cluster.to_owned(), Role::ReplicaSet),
                (_, 0) => (format!("{cluster}-config"), Role::ConfigServer),
                (_, member) => (format!("{cluster}-{}", member - 1), Role::Shard),
            };
            events.extend(life(&target(manager, project, cluster, &name, role), ages.next().unwrap(), 6));
        }
    }
    let mut never = target("emea", "scratch", "load-test", "load-test", Role::ReplicaSet);
    for (name, listing) in [
        ("load-test", Listing::Excluded { pattern: "load-*".to_owned() }),
        ("empty", Listing::NoBackup),
        ("paused", Listing::BackupNotStarted { status: "STOPPED".to_owned() }),
    ] {
        (never.cluster, never.replica_set, never.cluster_id) = (name.to_owned(), name.to_owned(), name.into());
        events.push((days_ago(100.0), Event::TargetFound { description: never.clone(), listing }));
    }
    scene.tell_all(events).await;
    look(&scene).await;
    scene
}

/// The same with everything that can go wrong; returns the target of which there is most to tell.
async fn trouble() -> (Scene, String) {
    let scene = twelve().await;
    let id = |cluster: &str, name: &str, project: &str, manager: &str| {
        target(manager, project, cluster, name, Role::Shard).id()
    };
    let quarantined = id("ledger", "ledger-1", "billing", "emea");
    let far_end = || failure(Reason::ServerError, "KMIP server did not answer");
    let attempt = |attempt| RotationId { slot: 7, attempt };
    for number in 1..=3 {
        let at = days_ago(1.0) + SignedDuration::from_mins(30 * i64::from(number));
        let failed = Event::RotationFailed {
            target: quarantined.clone(),
            rotation: attempt(number),
            due_at: days_ago(1.1),
            stage: Stage::Put,
            failure: far_end(),
            retry_at: at + SignedDuration::from_mins(30),
        };
        scene.tell(at, failed).await;
    }
    scene.tell(days_ago(0.9), Event::TargetQuarantined { target: quarantined, attempts: 3, failure: far_end() }).await;
    let failing = id("ledger", "ledger-0", "billing", "emea");
    for number in 1..=2 {
        let failed = Event::RotationFailed {
            target: failing.clone(),
            rotation: attempt(number),
            due_at: days_ago(0.2),
            stage: Stage::Precheck,
            failure: far_end(),
            retry_at: now() + SignedDuration::from_mins(7),
        };
        scene.tell(days_ago(0.1), failed).await;
    }
    let back = id("invoices", "invoices", "billing", "emea");
    let record = Arc::clone(&scene.store.fleet().targets[&back]);
    let present = record.key.clone().unwrap();
    let went_back = Event::KeyChanged {
        target: back,
        change: KeyChange::Regression,
        before: present.id,
        after: "00b4-invoices-0003".into(),
        last_seen: days_ago(0.5),
        looked_at: None,
        not_before: Some(days_ago(104.0)),
        first_seen: days_ago(104.0),
        suspect: None,
    };
    scene.tell(days_ago(0.4), went_back).await;
    let old = target("emea", "identity", "directory", "directory", Role::ReplicaSet);
    scene.tell_all(life(&old, 97.0, 2)).await;
    let turning = target("emea", "identity", "tokens", "tokens", Role::ReplicaSet);
    scene.tell_all(life(&turning, 31.0, 3)).await;
    let key_before = scene.store.fleet().targets[&turning.id()].key.clone().unwrap().id;
    let rotation = RotationId { slot: 4, attempt: 1 };
    let (due_at, looked_at) = (days_ago(0.001), days_ago(0.001));
    let (at, target_id) = (days_ago(0.0005), turning.id());
    scene
        .tell_all(vec![
            (at, Event::RotationIntended { target: target_id.clone(), rotation, due_at, key_before, looked_at }),
            (at, Event::RotationSending { target: target_id, rotation, looked_at: None }),
        ])
        .await;
    let new = target("emea", "identity", "new", "new", Role::ReplicaSet);
    scene.tell_all(life(&new, 3.0, 0)).await;
    let gap = Gap { project_id: "5fsearch".into(), project: "search".to_owned(), cluster: "catalogue".to_owned() };
    scene.tell(days_ago(3.0), Event::GapFound { manager: "apac".into(), gap }).await;
    let unread = failure(Reason::RoleMissing, "Current user is not in the group");
    let unread = Event::ProjectUnread { manager: "emea".into(), project: "identity".to_owned(), failure: unread };
    scene.tell(days_ago(2.0), unread).await;
    let by = Caller { uid: 1000, gid: 1000, pid: 7, user: Some("ada".to_owned()), login: None };
    let pause = |scope: &str, until| Event::PauseSet {
        scope: scope.to_owned(),
        until,
        reason: "CHG-4711, the migration of the KMIP server".to_owned(),
        by: by.clone(),
    };
    scene.tell(days_ago(0.1), pause("emea/identity/*", days_ago(-1.5))).await;
    scene.tell(days_ago(3.0), pause("apac/*", days_ago(1.0))).await;
    let freeze = Event::FreezeSet {
        name: "audit".to_owned(),
        scope: "emea/scratch/*".to_owned(),
        start: days_ago(0.5),
        end: days_ago(-2.0),
        reason: "the auditors are here".to_owned(),
        by: by.clone(),
    };
    scene.tell(days_ago(1.0), freeze).await;
    look(&scene).await;
    let refused = failure(Reason::CredentialsRefused, "Current user is not authorized");
    scene.tell(days_ago(0.3), Event::ManagerFailing { manager: "apac".into(), failure: refused }).await;
    (scene, "/targets/emea/billing/ledger/ledger-1".to_owned())
}

/// A thousand targets with long names, a few of them in trouble.
async fn thousand() -> Scene {
    let scene = Scene::new().await;
    let mut events = Vec::new();
    for number in 0..1_000_u32 {
        let (project, cluster) = (format!("customer-platform-{}", number / 100), format!("production-{}", number / 4));
        let name = format!("{cluster}-shard-{}", number % 4);
        let target = target(["emea", "apac"][usize::from(number % 400 < 200)], &project, &cluster, &name, Role::Shard);
        let age = if number % 97 == 3 { 95.0 } else { f64::from(number * 7_919 % 3_300) / 100.0 };
        events.extend(life(&target, age, 1));
        if number % 131 == 5 {
            let failure = failure(Reason::ServerError, "KMIP server did not answer");
            events.push((days_ago(0.2), Event::TargetQuarantined { target: target.id(), attempts: 8, failure }));
        }
    }
    scene.tell_all(events).await;
    look(&scene).await;
    scene
}

/// Everything that `node` is given to look at, looked at.
fn browse(pages: &[(&str, String)]) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let modules = root.join("target/test-tools/browser/node_modules");
    assert!(modules.is_dir(), "{} is missing: run tests/setup.sh", modules.display());
    let shots = root.join("target/pages");
    std::fs::create_dir_all(&shots).unwrap();
    let output = Command::new("node")
        .arg(root.join("tests/browser/look.cjs"))
        .arg(&shots)
        .args(pages.iter().map(|(name, url)| format!("{name}={url}")))
        .env("NODE_PATH", modules)
        .output()
        .expect("node is missing: run tests/setup.sh (Debian: apt-get install nodejs npm)");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
}

/// No violation of WCAG 2.2 A and AA that a machine can find, in either scheme, on a wall or a phone; nothing sticks out to
/// the side, nothing is refused by the pages' own policy. Screenshots are left in `target/pages`.
#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_readable_by_everyone() {
    let (empty, twelve, (trouble, target), thousand) =
        (Scene::new().await, twelve().await, trouble().await, thousand().await);
    let url = |scene: &Scene, path: &str| format!("http://{}{path}", scene.address);
    let pages = [
        ("empty", url(&empty, "/")),
        ("twelve", url(&twelve, "/")),
        ("trouble", url(&trouble, "/")),
        ("thousand", url(&thousand, "/?still")),
        ("target", url(&twelve, "/targets/emea/billing/ledger/ledger-0")),
        ("target-trouble", url(&trouble, &target)),
        ("target-back", url(&trouble, "/targets/emea/billing/invoices/invoices")),
        ("target-unmanaged", url(&twelve, "/targets/emea/scratch/empty/empty")),
        ("target-missing", url(&twelve, "/targets/emea/no/such/target")),
    ];
    tokio::task::spawn_blocking(move || browse(&pages)).await.unwrap();
}

/// A page that is heavy is not looked at.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_targets_fit_a_page() {
    let scene = thousand().await;
    let (status, page) = scene.get("/").await;
    assert_eq!(status, 200);
    assert_eq!(page.matches("<li><a class=\"cell").count(), 1_000);
    assert!(page.len() < LARGEST_PAGE, "{} bytes", page.len());
}

/// What is wrong comes before what is well, and each alert leads to its target and names the next step.
#[tokio::test]
async fn what_is_wrong_comes_first() {
    let (scene, target) = trouble().await;
    let (_, page) = scene.get("/").await;
    let place = |text: &str| page.find(text).unwrap_or_else(|| panic!("no {text} in\n{page}"));
    assert!(place("Key too old") < place("Target quarantined"));
    assert!(place("critical") < place("warning"));
    assert!(place("Rotation failing") < place(">billing</h3>"));
    let held = &page[place("Held up on purpose")..place("<h2>apac</h2>")];
    for text in [
        "<code>emea/identity/*</code>",
        "in 1d 12h",
        "ada at ",
        "CHG-4711",
        "<b>Frozen</b> <code>apac/orders/*</code>",
        "year-end: books",
        "<b>Frozen</b> <code>emea/scratch/*</code>",
        "audit, by ada: the auditors",
    ] {
        assert!(held.contains(text), "no {text} in\n{held}");
    }
    assert!(!held.contains("<b>Paused</b> <code>apac/*</code>"), "that one is over: {held}");
    assert!(page.contains(&format!("<a href=\"{target}\">")));
    assert!(page.contains("excluded by &#34;load-*&#34;"), "{page}");
    let (_, page) = scene.get(&target).await;
    for text in [
        "waiting for an operator",
        "rekeyd rearm &#39;emea/billing/ledger/ledger-1&#39; --reason",
        "HTTP 500: KMIP server did not answer",
        "A new key every 30d",
        "Slot 7, attempt 3",
        "<svg",
    ] {
        assert!(page.contains(text), "no {text} in\n{page}");
    }
    assert_eq!(scene.get("/targets/emea/no/such/target").await.0, 404);
}

/// What is wrong with its cluster, its project or its manager is wrong with the target, and its page says so.
#[tokio::test]
async fn a_target_tells_what_is_wrong_around_it() {
    let (scene, _) = trouble().await;
    let (_, page) = scene.get("/targets/apac/search/catalogue/catalogue-0").await;
    assert!(page.contains("Config servers missing") && page.contains("Credentials refused"), "{page}");
    // Below an alert nobody is told that all is well, whatever the alert is about.
    for name in ["emea/billing/invoices/invoices", "emea/identity/sessions/sessions"] {
        let (_, page) = scene.get(&format!("/targets/{name}")).await;
        assert!(page.contains("Next: ") || page.contains("What is wrong stands above"), "{page}");
        assert!(!page.contains("Nothing needs to be done"), "{page}");
    }
    assert!(!page.contains("Project unread"), "that is another project: {page}");
    let (_, page) = scene.get("/targets/emea/identity/sessions/sessions").await;
    assert!(page.contains("Project unread") && !page.contains("Config servers missing"), "{page}");
}

/// The store tells a target's past in the order of events, each key with how it came, and no other target's.
#[tokio::test]
async fn the_past_is_told_newest_first() {
    let (scene, _) = trouble().await;
    let id = |cluster: &str, name: &str| -> TargetId { target("emea", "billing", cluster, name, Role::Shard).id() };
    let past = scene.store.past(&id("ledger", "ledger-1"), 4).unwrap();
    assert_eq!(
        past.rotations.iter().map(|row| row.state).collect::<Vec<_>>(),
        [State::Failed, State::Failed, State::Failed, State::Done]
    );
    assert!(past.rotations.iter().all(|row| row.target == id("ledger", "ledger-1")));
    assert_eq!(past.keys.len(), 4);
    assert_eq!(past.keys[0].replaced_at, None);
    assert_eq!(past.keys[1].replaced_at, past.rotations[3].ended_at);
    let past = scene.store.past(&id("invoices", "invoices"), 50).unwrap();
    assert_eq!(past.keys.first().map(|key| key.came), Some(KeyOrigin::Regression));
    assert_eq!(past.keys.last().map(|key| key.came), Some(KeyOrigin::FirstSeen));
    assert_eq!(scene.store.past(&"emea/no/such".into(), 50).unwrap(), rekeyd::ports::Past::default());
}
