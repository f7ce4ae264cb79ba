//! What is seen from outside: the real listener over real HTTP, showing a state of affairs that is made up.

#![expect(clippy::unwrap_used, reason = "what a test's own helpers cannot do fails the test")]

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use rekeyd::domain::{
    Caller, Event, Failure, Fleet, How, LedgerFilter, LedgerRow, Listing, Mechanism, PolicyName, Reason, Role,
    RotationFilter, RotationId, RotationRow, Scope, Stage, Target, TargetId, Verdict,
};
use rekeyd::http::{self, Inputs, ROUTES};
use rekeyd::policy::{ManagerRules, Policy, Rules};
use rekeyd::ports::{Anchor, Archive, ArchiveError, Check, Gauge, Head, Page, Past, Situation, Upkeep};
use rekeyd::telemetry::Metrics;
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// As the configuration has it by default.
const STALL_AFTER: Duration = Duration::from_secs(60);

/// Long enough for a loaded machine; nothing waits for it when all is well.
const PATIENCE: Duration = Duration::from_secs(30);

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// A state of affairs that a test may change while it is shown.
struct MadeUp(Mutex<Situation>);

impl Archive for MadeUp {
    fn past(&self, _: &TargetId, _: u32) -> Result<Past, ArchiveError> {
        Ok(Past::default())
    }

    fn rotations(&self, _: &RotationFilter, _: u32) -> Result<Page<RotationRow>, ArchiveError> {
        Ok(Page { rows: Vec::new(), next: None })
    }

    fn records(&self, _: &LedgerFilter, _: u32) -> Result<Page<LedgerRow>, ArchiveError> {
        Ok(Page { rows: Vec::new(), next: None })
    }
}

impl Gauge for MadeUp {
    fn read(&self) -> Situation {
        self.0.lock().unwrap().clone()
    }
}

impl MadeUp {
    /// A daemon in good order, on 1 February 2026, that knows no target.
    fn new() -> Self {
        let now = at("2026-02-01T00:00:00Z");
        let key = Some("rekeyd/ledger/07+00000000+AQ==".to_owned());
        let anchor = Anchor { wanted: 42, written: 41, failure: None, key };
        Self(Mutex::new(Situation {
            now,
            fleet: Arc::new(Fleet::default()),
            head: Head { seq: 42, hash: [7; 32] },
            unwritable: None,
            started_at: at("2026-01-01T00:00:00Z"),
            recovered: BTreeMap::new(),
            last_sweep: Some(now),
            since_sweep: Duration::from_secs(1),
            upkeep: Some(Upkeep { check: Check::Whole { records: 42 }, anchor, refused: None }),
        }))
    }

    fn set(&self, change: impl FnOnce(&mut Situation)) {
        change(&mut self.0.lock().unwrap());
    }

    fn tell(&self, when: &str, event: Event) {
        self.set(|situation| {
            let fleet = Arc::make_mut(&mut situation.fleet);
            fleet.fold(at(when), &event).unwrap().unwrap();
        });
    }

    /// A target that is listed, with a key that was last read an hour before now.
    fn add(&self, target: &Target) -> TargetId {
        let id = target.id();
        self.tell(
            "2026-01-01T00:00:00Z",
            Event::TargetFound { description: target.clone(), listing: Listing::Eligible },
        );
        self.tell("2026-01-31T23:00:00Z", Event::KeySeen { target: id.clone(), key: "key-1".into(), looked_at: None });
        id
    }
}

fn target(cluster_id: &str, replica_set: &str) -> Target {
    Target {
        manager: "emea".into(),
        project_id: "5f".into(),
        project: "billing".to_owned(),
        cluster_id: cluster_id.into(),
        cluster: "ledger".to_owned(),
        replica_set: replica_set.to_owned(),
        role: Role::Shard,
        mechanism: Mechanism::BackupKey,
    }
}

fn failure() -> Failure {
    Failure { status: Some(401), ..Failure::new(Reason::RoleMissing, Verdict::Permanent, Scope::Target, "no") }
}

fn rules() -> Rules {
    rules_with(Policy::with_defaults(PolicyName::from("default")))
}

fn rules_with(policy: Policy) -> Rules {
    let manager = ManagerRules::new(4, Arc::new(policy));
    Rules { managers: BTreeMap::from([("emea".into(), manager)]), ..Rules::default() }
}

/// The listener, showing `gauge` on a port of its own.
struct Shown {
    address: SocketAddr,
    gauge: Arc<MadeUp>,
    shutdown: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

impl Shown {
    async fn new() -> Self {
        Self::of(MadeUp::new()).await
    }

    async fn of(gauge: MadeUp) -> Self {
        Self::under(rules(), gauge).await
    }

    async fn under(rules: Rules, gauge: MadeUp) -> Self {
        let gauge = Arc::new(gauge);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let router = http::router(Inputs {
            gauge: gauge.clone(),
            archive: gauge.clone(),
            rules: tokio::sync::watch::channel(Arc::new(rules)).1,
            metrics: Arc::new(Metrics::new("1.2.3", at("2026-01-01T00:00:00Z"), [&"emea".into()])),
            hosts: vec!["rekeyd.example.com".to_owned()],
        });
        let served = tokio::spawn(http::serve(listener, router, None, shutdown.clone()));
        Self { address, gauge, shutdown, served }
    }

    async fn send(&self, method: Method, path: &str) -> Response {
        // A client is not built without one, though nothing here is encrypted.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
        client.request(method, format!("http://{}{path}", self.address)).send().await.unwrap()
    }

    async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path).await
    }

    async fn text(&self, path: &str) -> (StatusCode, String) {
        let response = self.get(path).await;
        (response.status(), response.text().await.unwrap())
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path).await.1).unwrap()
    }

    async fn metrics(&self) -> String {
        let (status, text) = self.text("/metrics").await;
        assert_eq!(status, StatusCode::OK, "{text}");
        promtool_is_silent(&text);
        text
    }

    /// Everything that comes back on a connection of its own for these bytes.
    async fn raw(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut reply)).await.unwrap().unwrap();
        String::from_utf8(reply).unwrap()
    }
}

/// Prometheus' own linter: names, help, types and duplicates.
fn promtool_is_silent(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is missing: run tests/setup.sh (Debian: apt-get install prometheus)");
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}\n{text}", String::from_utf8_lossy(&said));
}

async fn body(response: Response) -> Value {
    serde_json::from_str(&response.text().await.unwrap()).unwrap()
}

#[track_caller]
fn assert_line(text: &str, line: &str) {
    assert!(text.lines().any(|other| other == line), "no line {line:?} in\n{text}");
}

/// A restart mends neither an old key nor an Ops Manager that is down, so neither may cause one.
#[tokio::test]
async fn only_the_daemons_own_troubles_fail_livez_and_readyz() {
    let shown = Shown::new().await;
    let id = shown.gauge.add(&target("6a", "ledger-0"));
    shown.gauge.tell("2026-01-01T00:00:00Z", Event::ManagerFailing { manager: "emea".into(), failure: failure() });
    shown.gauge.tell("2026-01-02T00:00:00Z", Event::TargetQuarantined { target: id, attempts: 8, failure: failure() });
    shown.gauge.set(|situation| situation.now = at("2027-01-01T00:00:00Z"));
    assert_eq!(shown.text("/livez").await, (StatusCode::OK, "ok\n".to_owned()));
    assert_eq!(shown.text("/readyz").await, (StatusCode::OK, "ok\n".to_owned()));
    assert_eq!(
        shown.text("/readyz?verbose").await,
        (StatusCode::OK, "[+]ledger ok\n[+]first_sweep ok\nreadyz check passed\n".to_owned())
    );
    assert_eq!(shown.json("/healthz").await["status"], "warn");
}

#[tokio::test]
async fn livez_fails_when_the_scheduler_is_stuck() {
    let shown = Shown::new().await;
    shown.gauge.set(|situation| situation.since_sweep = STALL_AFTER);
    assert_eq!(shown.text("/livez?verbose").await.0, StatusCode::OK);
    shown.gauge.set(|situation| situation.since_sweep = STALL_AFTER + Duration::from_millis(1));
    let (status, text) = shown.text("/livez").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text, "[-]scheduler failed: no plan was made for 60 s, more than 60 s\nlivez check failed\n");
    assert_eq!(shown.text("/readyz").await.0, StatusCode::OK);
    assert_eq!(shown.get("/healthz").await.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn readyz_fails_while_nothing_can_be_recorded_or_planned() {
    let shown = Shown::new().await;
    let since = at("2026-01-31T12:00:00Z");
    shown.gauge.set(|situation| situation.unwritable = Some((since, "no space left\non device".to_owned())));
    let (status, text) = shown.text("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_line(
        &text,
        "[-]ledger failed: since 2026-01-31T12:00:00Z nothing can be recorded, so nothing is rotated: \
         no space left on device",
    );
    assert_eq!(shown.text("/livez").await.0, StatusCode::OK, "a full disk is not mended by a restart");
    assert_eq!(shown.json("/healthz").await["status"], "fail");

    shown.gauge.set(|situation| (situation.unwritable, situation.last_sweep) = (None, None));
    let (status, text) = shown.text("/readyz").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_line(&text, "[-]first_sweep failed: no plan was made yet; started at 2026-01-01T00:00:00Z");
    assert_eq!(shown.json("/healthz").await["status"], "warn");
}

#[tokio::test]
async fn healthz_has_the_alerts_as_checks() {
    let shown = Shown::new().await;
    let response = shown.get("/healthz").await;
    assert_eq!(response.headers()["content-type"], "application/health+json");
    assert_eq!(body(response).await["status"], "pass");

    let id = shown.gauge.add(&target("6a", "ledger-0"));
    shown
        .gauge
        .tell("2026-01-31T23:30:00Z", Event::TargetQuarantined { target: id.clone(), attempts: 8, failure: failure() });
    let response = shown.get("/healthz").await;
    assert_eq!(response.status(), StatusCode::OK, "a warning is no failure");
    let health: Value = body(response).await;
    assert_eq!(health["status"], "warn");
    let check = &health["checks"]["alert:target_quarantined"][0];
    assert_eq!(check["status"], "warn");
    assert_eq!(check["componentId"], id.as_str());
    assert_eq!(check["time"], "2026-01-31T23:30:00Z");
    assert!(check["output"].as_str().unwrap().starts_with("emea/billing/ledger/ledger-0: "), "{check}");

    for number in 0..150 {
        let id = shown.gauge.add(&target(&format!("c{number}"), &format!("ledger-{}", number + 1)));
        let event = Event::TargetQuarantined { target: id, attempts: 8, failure: failure() };
        shown.gauge.tell("2026-01-31T23:30:00Z", event);
    }
    let health = shown.json("/healthz").await;
    assert_eq!(health["checks"]["alert:target_quarantined"].as_array().unwrap().len(), 100, "a probe reads no novels");
    assert_eq!(health["notes"][0], "more than 100 alerts target_quarantined; /api/v1/alerts has all");
    assert_eq!(shown.json("/api/v1/alerts").await["alerts"].as_array().unwrap().len(), 151);
}

/// Everything about a target that dashboards and alert rules rest on, by name and value.
#[tokio::test]
async fn a_scrape_tells_each_target_in_timestamps() {
    let shown = Shown::new().await;
    let id = shown.gauge.add(&target("6a", "ledger-0"));
    let text = shown.metrics().await;
    let of = "{manager=\"emea\",target=\"emea/billing/ledger/ledger-0\"}";
    assert_line(
        &text,
        "rekeyd_target_info{manager=\"emea\",target=\"emea/billing/ledger/ledger-0\",\
         project_id=\"5f\",cluster_id=\"6a\",\
         role=\"shard\",mechanism=\"backup_key\",policy=\"default\",standing=\"managed\"} 1",
    );
    assert!(!text.contains("rekeyd_key_created_timestamp_seconds{"), "the key's age is not known");
    assert!(!text.contains("rekeyd_last_rotation_timestamp_seconds{"));
    assert_line(&text, &format!("rekeyd_key_first_seen_timestamp_seconds{of} 1769900400"));
    assert_line(&text, &format!("rekeyd_last_observation_timestamp_seconds{of} 1769900400"));
    assert_line(&text, &format!("rekeyd_key_alert_after_seconds{of} 7776000"));
    assert_line(&text, &format!("rekeyd_target_quarantined{of} 0"));
    assert!(text.contains(&format!("rekeyd_next_rotation_timestamp_seconds{of} 17")));
    assert_line(&text, &format!("rekeyd_rotation_failed_attempts{of} 0"));
    assert!(!text.contains("rekeyd_key_regressed_timestamp_seconds{"));
    assert!(!text.contains("rekeyd_manager_failing_since_timestamp_seconds{"));
    assert_line(&text, "rekeyd_ledger_writable 1");
    assert!(text.contains("\nprocess_resident_memory_bytes "));
    assert_line(&text, "rekeyd_ledger_head_seq 42");
    assert_line(&text, "rekeyd_scheduler_last_sweep_timestamp_seconds 1769904000");
    assert_line(&text, "rekeyd_build_info{version=\"1.2.3\"} 1");
    assert_line(&text, "rekeyd_config_last_reload_successful 1");
    assert_line(&text, "rekeyd_alerts_active{alert=\"key_too_old\"} 0");

    let rotation = RotationId { slot: 1, attempt: 1 };
    let due_at = at("2026-01-31T23:00:00Z");
    shown.gauge.tell(
        "2026-01-31T23:10:00Z",
        Event::RotationIntended { target: id.clone(), rotation, due_at, key_before: "key-1".into(), looked_at: due_at },
    );
    let text = shown.metrics().await;
    assert_line(&text, &format!("rekeyd_rotation_in_progress_since_timestamp_seconds{of} 1769901000"));
    shown.gauge.tell(
        "2026-01-31T23:20:00.25Z",
        Event::RotationDone {
            target: id.clone(),
            rotation,
            due_at,
            how: How::Recovered,
            key_before: "key-1".into(),
            key_after: "key-2".into(),
            last_seen: at("2026-01-31T23:10:00.000001Z"),
            looked_at: None,
        },
    );
    let text = shown.metrics().await;
    assert_line(&text, &format!("rekeyd_key_created_timestamp_seconds{of} 1769901000.000001"));
    assert_line(&text, &format!("rekeyd_last_rotation_timestamp_seconds{of} 1769901600.25"));
    assert!(!text.contains("in_progress_since_timestamp_seconds{"), "{text}");

    shown
        .gauge
        .tell("2026-01-31T23:40:00Z", Event::TargetQuarantined { target: id.clone(), attempts: 8, failure: failure() });
    let text = shown.metrics().await;
    assert_line(&text, &format!("rekeyd_target_quarantined{of} 1"));
    assert_line(&text, "rekeyd_alerts_active{alert=\"target_quarantined\"} 1");

    shown.gauge.tell("2026-01-31T23:45:00Z", Event::ManagerFailing { manager: "emea".into(), failure: failure() });
    shown.gauge.set(|situation| situation.unwritable = Some((at("2026-01-31T23:46:00Z"), "disk full".to_owned())));
    let text = shown.metrics().await;
    assert_line(
        &text,
        "rekeyd_manager_failing_since_timestamp_seconds{manager=\"emea\",reason=\"role_missing\"} 1769903100",
    );
    assert_line(&text, "rekeyd_ledger_writable 0");

    let failing = Event::ReceiverFailing { receiver: "oncall".into(), error: "HTTP 500".to_owned() };
    shown.gauge.tell("2026-01-31T23:46:00Z", failing);
    let text = shown.metrics().await;
    assert_line(&text, "rekeyd_receiver_failing_since_timestamp_seconds{receiver=\"oncall\"} 1769903160");
    assert_line(&text, "rekeyd_alerts_active{alert=\"receiver_failing\"} 1");

    shown.gauge.tell("2026-01-31T23:50:00Z", Event::TargetGone { target: id, listings: 3 });
    let text = shown.metrics().await;
    assert!(!text.contains("target=\""), "a vanished target's series vanish: {text}");
    assert_line(&text, "rekeyd_alerts_active{alert=\"target_quarantined\"} 0");
    assert_line(&text, "rekeyd_alerts_active{alert=\"target_gone\"} 1");
    let (_, page) = shown.text("/targets/emea/billing/ledger/ledger-0").await;
    assert!(page.contains("Nothing of this project is listed any more"), "its page tells of its project: {page}");
}

/// What lasts too long is said by the daemon, after the policy's own lengths: the rules for Prometheus know none.
#[tokio::test]
async fn a_scrape_says_by_the_policy_what_lasts_too_long() {
    for (length, stale_since, pending_since) in
        [("15m", 1_769_904_000, 1_769_902_800), ("6h", 1_769_986_800, 1_769_944_200)]
    {
        let length = length.parse().unwrap();
        let default = Policy::with_defaults(PolicyName::from("default"));
        let policy = Policy { observe_every: length, confirm_within: length, ..default };
        let shown = Shown::under(rules_with(policy), MadeUp::new()).await;
        shown.gauge.add(&target("6a", "ledger-0"));
        let pending = shown.gauge.add(&target("6b", "ledger-1"));
        let (rotation, looked_at) = (RotationId { slot: 1, attempt: 1 }, at("2026-01-31T23:10:00Z"));
        let (due_at, key_before) = (looked_at, "key-1".into());
        let intended = Event::RotationIntended { target: pending, rotation, due_at, key_before, looked_at };
        shown.gauge.tell("2026-01-31T23:10:00Z", intended);
        for (series, member, since) in
            [("observation_stale", "ledger-0", stale_since), ("rotation_pending", "ledger-1", pending_since)]
        {
            let of = format!(
                "rekeyd_{series}_since_timestamp_seconds{{manager=\"emea\",target=\"emea/billing/ledger/{member}\"}}"
            );
            shown.gauge.set(|situation| situation.now = Timestamp::from_second(since).unwrap());
            let text = shown.metrics().await;
            assert!(!text.contains(&of), "not yet: {text}");
            shown.gauge.set(|situation| situation.now = Timestamp::from_second(since + 1).unwrap());
            assert_line(&shown.metrics().await, &format!("{of} {since}"));
        }
    }
}

/// Ten thousand targets are eight megabytes of text, and a tenth of that when compressed.
#[tokio::test]
async fn whoever_asks_for_gzip_gets_it_and_nobody_else() {
    let shown = Shown::new().await;
    shown.gauge.add(&target("6a", "ledger-0"));
    let client = reqwest::Client::builder().timeout(PATIENCE).no_proxy().build().unwrap();
    for path in ["/metrics", "/api/v1/targets", "/"] {
        let asked = async |accepts: &str| {
            let url = format!("http://{}{path}", shown.address);
            let response = client.get(url).header("accept-encoding", accepts).send().await.unwrap();
            let encoding = response.headers().get("content-encoding").map(|value| value.to_str().unwrap().to_owned());
            (encoding, response.bytes().await.unwrap())
        };
        let (encoding, plain) = asked("gzip;q=0, identity").await;
        assert_eq!(encoding, None, "{path}");
        let (encoding, packed) = asked("gzip, deflate").await;
        assert_eq!(encoding.as_deref(), Some("gzip"), "{path}");
        assert!(packed.len() < plain.len(), "{path}");
        let mut gzip = Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        gzip.stdin.take().unwrap().write_all(&packed).unwrap();
        let text = String::from_utf8(gzip.wait_with_output().unwrap().stdout).unwrap();
        assert_eq!(text.lines().count(), String::from_utf8_lossy(&plain).lines().count(), "{path}");
    }
}

/// Two label sets that are equal would cost the whole scrape, and with it every alert that rests on it.
#[tokio::test]
async fn targets_of_one_name_are_told_apart() {
    let shown = Shown::new().await;
    for cluster_id in ["6a", "6b"] {
        shown.gauge.add(&target(cluster_id, "twin"));
    }
    shown.gauge.add(&target("6c", "single"));
    // Made up to be called what the first twin is called when the two are told apart.
    shown.gauge.add(&target("6d", "twin (5f/6a)"));
    let text = shown.metrics().await;
    for name in ["twin (5f/6a)", "twin (5f/6b)", "single"] {
        let line = format!("rekeyd_target_quarantined{{manager=\"emea\",target=\"emea/billing/ledger/{name}\"}} 0");
        assert_eq!(text.lines().filter(|other| *other == line).count(), 1, "{line}\n{text}");
    }
}

/// A name is whatever somebody typed into a deployment.
#[tokio::test]
async fn hostile_names_break_neither_the_scrape_nor_the_page() {
    let shown = Shown::new().await;
    let id = shown.gauge.add(&target("6a", "<script>alert(1)</script>\"\n\\"));
    shown.gauge.tell("2026-01-31T23:30:00Z", Event::TargetQuarantined { target: id, attempts: 8, failure: failure() });
    let text = shown.metrics().await;
    assert!(text.contains(r#"target="emea/billing/ledger/<script>alert(1)</script>\"\n\\""#), "{text}");
    let response = shown.get("/").await;
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let page = response.text().await.unwrap();
    assert!(page.contains("&#60;script&#62;alert(1)&#60;/script&#62;&#34;"), "{page}");
    assert!(!page.contains("<script"), "{page}");
}

#[tokio::test]
async fn the_api_tells_targets_and_alerts_in_utc() {
    let shown = Shown::new().await;
    let id = shown.gauge.add(&target("6a", "ledger-0"));
    shown
        .gauge
        .tell("2026-01-31T23:30:00Z", Event::TargetQuarantined { target: id.clone(), attempts: 8, failure: failure() });
    let targets = shown.json("/api/v1/targets").await;
    let target = &targets["targets"][0];
    assert_eq!(target["target_id"], id.as_str());
    assert_eq!(target["target"], "emea/billing/ledger/ledger-0");
    assert_eq!(target["standing"], "managed");
    assert_eq!(target["key"]["id"], "key-1");
    assert_eq!(target["key"]["not_before"], Value::Null);
    assert_eq!(target["key"]["first_seen"], "2026-01-31T23:00:00Z");
    assert_eq!(target["quarantine"]["since"], "2026-01-31T23:30:00Z");
    assert_eq!(target["quarantine"]["failure"]["reason"], "role_missing");
    let plan = shown.json("/api/v1/plan").await;
    let planned = &plan["plan"][0];
    assert_eq!(planned["target"], "emea/billing/ledger/ledger-0");
    assert_eq!((&planned["target_id"], &planned["policy"]), (&id.as_str().into(), &"default".into()));
    assert_eq!(planned["slot"], 1);
    assert_eq!(planned["state"], "quarantined");
    let why = "refused for good since 2026-01-31T23:30:00Z (role_missing, HTTP 401: no)";
    assert_eq!(planned["reason"], format!("{why}; `rekeyd rearm` lets it be tried again"));
    let alerts = shown.json("/api/v1/alerts").await;
    let alert = &alerts["alerts"][0];
    assert_eq!(alert["alert"], "target_quarantined");
    assert_eq!(alert["severity"], "critical");
    assert_eq!(alert["subject"]["target"], id.as_str());
    assert_eq!(alert["since"], "2026-01-31T23:30:00Z");
}

/// What is shown as next is when a rotation will begin, with its due time beside it: a freeze that was ordered moves the one and
/// not the other.
#[tokio::test]
async fn what_is_next_is_when_it_will_begin() {
    let shown = Shown::new().await;
    shown.gauge.add(&target("6a", "ledger-0"));
    let plan = shown.json("/api/v1/plan").await;
    assert_eq!(plan["plan"][0]["begins_at"], plan["plan"][0]["due_at"]);
    assert_eq!(plan["freezes"], Value::Array(Vec::new()));
    let due_at = at(plan["plan"][0]["due_at"].as_str().unwrap());
    let by = Caller { uid: 1000, gid: 1000, pid: 7, user: Some("ada".to_owned()), login: None };
    let (name, scope, reason) = ("audit".to_owned(), "emea/*".to_owned(), "CHG-1".to_owned());
    let (start, end) = (at("2026-02-01T00:00:00Z"), at("2026-12-01T06:00:00Z"));
    shown.gauge.tell("2026-02-01T00:00:00Z", Event::FreezeSet { name, scope, start, end, reason, by });
    let plan = shown.json("/api/v1/plan").await;
    let targets = shown.json("/api/v1/targets").await;
    for planned in [&plan["plan"][0], &targets["targets"][0]] {
        assert_eq!(at(planned["due_at"].as_str().unwrap()), due_at);
        assert_eq!(planned["begins_at"], "2026-12-01T06:00:00Z");
    }
    assert_eq!(plan["freezes"][0]["by"], "ada");
    assert!(plan["plan"][0]["waits_for"].as_str().unwrap().starts_with("held by freeze audit until "), "{plan}");
    let words = format!("2026-12-01 06:00:00 UTC, due {}", due_at.strftime("%Y-%m-%d %H:%M:%S UTC"));
    for path in ["/", "/targets/emea/billing/ledger/ledger-0"] {
        let (_, page) = shown.text(path).await;
        assert!(page.contains(&words), "no {words} in {path}:\n{page}");
    }
    let held = "audit of emea/*, from 2026-02-01 00:00:00 UTC until 2026-12-01 06:00:00 UTC: CHG-1";
    assert!(shown.text("/").await.1.contains(held));
}

/// What was mistyped is told, and never answered with nothing, or with everybody's for one's own.
#[tokio::test]
async fn what_is_asked_wrongly_is_told() {
    let shown = Shown::new().await;
    shown.gauge.add(&target("6a", "ledger-0"));
    for (path, status, said) in [
        ("/api/v1/targets?target=emae/*", 404, "no target's name matches"),
        ("/api/v1/plan?target=emae/*", 404, "no target's name matches"),
        ("/api/v1/rotations?target=emae/*", 404, "no target's name matches"),
        ("/api/v1/ledger?target=emae/*", 404, "no target's name matches"),
        ("/api/v1/rotations?project=biling", 404, "no target is on record of a project"),
        ("/api/v1/ledger?project=biling", 404, "no target is on record of a project"),
        ("/api/v1/alerts?target=emea/*", 400, "takes no parameters"),
        ("/api/v1/ledger/key?x=1", 400, "takes no parameters"),
        ("/api/v1/rotations?limit=0", 400, "from 1 to 1000"),
        ("/api/v1/ledger?limit=1001", 400, "from 1 to 1000"),
        ("/api/v1/rotations?since=2026-05-01T00:00:00+01:00", 400, "write + as %2B"),
        ("/targets/%ff", 400, "UTF-8"),
    ] {
        let response = shown.get(path).await;
        assert_eq!(response.status().as_u16(), status, "{path}");
        assert_eq!(response.headers()["content-type"], "application/problem+json", "{path}");
        let detail = body(response).await["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(said), "{path}: {detail}");
    }
    let all = shown.json("/api/v1/targets?target=*").await;
    assert_eq!(all["targets"].as_array().unwrap().len(), 1);
}

/// A setback is told as the alerts and the series tell it; who waits for an operator has no time of a next attempt.
#[tokio::test]
async fn the_api_tells_of_setbacks_and_pauses() {
    let shown = Shown::new().await;
    let id = shown.gauge.add(&target("6a", "ledger-0"));
    let (rotation, retry_at) = (RotationId { slot: 1, attempt: 1 }, at("2026-02-01T02:00:00Z"));
    let (due_at, stage) = (at("2026-01-31T23:00:00Z"), Stage::Precheck);
    let failed = Event::RotationFailed { target: id.clone(), rotation, due_at, stage, failure: failure(), retry_at };
    shown.gauge.tell("2026-01-31T23:30:00Z", failed);
    let setback = async || shown.json("/api/v1/targets").await["targets"][0]["setback"].clone();
    let told = setback().await;
    assert_eq!((&told["failed_attempts"], &told["retry_at"]), (&1.into(), &"2026-02-01T02:00:00Z".into()), "{told}");
    shown.gauge.tell("2026-01-31T23:31:00Z", Event::TargetQuarantined { target: id, attempts: 1, failure: failure() });
    let told = setback().await;
    assert!(told.is_null() || told["retry_at"].is_null(), "{told}");

    let by = Caller { uid: 1000, gid: 1000, pid: 7, user: Some("ada".to_owned()), login: None };
    let (scope, reason, until) = ("emea/*".to_owned(), "CHG-2".to_owned(), at("2026-12-01T06:00:00Z"));
    shown.gauge.tell("2026-01-31T23:32:00Z", Event::PauseSet { scope, until, reason, by });
    let plan = shown.json("/api/v1/plan").await;
    let pause = &plan["pauses"][0];
    assert_eq!((&pause["scope"], &pause["by"], &pause["reason"]), (&"emea/*".into(), &"ada".into(), &"CHG-2".into()));
}

/// No method changes anything: only reading exists, on every route and off them.
#[tokio::test]
async fn every_other_method_is_refused_on_every_route() {
    let shown = Shown::new().await;
    for path in ROUTES.iter().copied().chain(["/nowhere"]) {
        let found = if path == "/nowhere" { StatusCode::NOT_FOUND } else { StatusCode::OK };
        assert_eq!(shown.get(path).await.status(), found, "{path}");
        let head = shown.send(Method::HEAD, path).await;
        assert_eq!(head.status(), found, "{path}");
        assert!(head.bytes().await.unwrap().is_empty(), "{path}");
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"] {
            let response = shown.send(method.parse().unwrap(), path).await;
            assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(response.headers()["allow"], "GET, HEAD");
            assert_eq!(response.headers()["content-type"], "application/problem+json");
            assert_eq!(body(response).await["status"], 405);
        }
    }
}

/// DNS rebinding: a web page on a name that was pointed at this machine must read nothing.
#[tokio::test]
async fn a_request_for_another_host_is_refused_on_every_route() {
    let shown = Shown::new().await;
    for path in ROUTES.iter().copied().chain(["/nowhere"]) {
        let reply = shown.raw(&format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")).await;
        assert!(reply.starts_with("HTTP/1.1 421 "), "{path}: {reply}");
        assert!(reply.contains("application/problem+json"), "{path}: {reply}");
    }
    for (head, status) in [
        ("GET /livez HTTP/1.1\r\nHost: rekeyd.example.com:9848\r\n", "200"),
        ("GET /livez HTTP/1.1\r\nHost: localhost\r\n", "200"),
        ("GET /livez HTTP/1.0\r\n", "200"),
        ("GET /livez HTTP/1.1\r\n", "400"),
        ("GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n", "400"),
        ("GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\n", "421"),
    ] {
        let reply = shown.raw(&format!("{head}Connection: close\r\n\r\n")).await;
        assert_eq!(reply.split(' ').nth(1), Some(status), "{head:?}: {reply}");
    }
}

/// A stop ends: neither a connection that rests nor one whose request never comes to its end holds it up.
#[tokio::test]
async fn a_stop_lets_open_connections_go() {
    let shown = Shown::new().await;
    let mut idle = TcpStream::connect(shown.address).await.unwrap();
    idle.write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut reply = [0; 12];
    idle.read_exact(&mut reply).await.unwrap();
    assert_eq!(&reply, b"HTTP/1.1 200");
    let mut half = TcpStream::connect(shown.address).await.unwrap();
    half.write_all(b"GET /livez HT").await.unwrap();
    shown.shutdown.cancel();
    tokio::time::timeout(PATIENCE, shown.served).await.expect("the listener stops").unwrap();
    assert!(TcpStream::connect(shown.address).await.is_err(), "nobody listens any more");
}
