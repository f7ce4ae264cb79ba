//! Faults: what the client sees, beside what really happened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rekeyd::simulator::{Fault, FaultKind, KeyTiming, PutOutcome, Scope, Simulator, SimulatorSpec, Truth};

use super::curl::{bare_curl, curl};
use super::{invoices, key_url, start, url};

fn fault(text: &str) -> Vec<Fault> {
    vec![text.parse().unwrap()]
}

/// For each fault: how a PUT ends for the client (curl's exit status, or the HTTP status), and whether it acted.
///
/// This is the table that the first promise of the daemon is tried against: the two columns are independent.
#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_put_does_what_it_says() {
    const NO_REPLY: Result<u16, i32> = Err(52);
    const TOO_LATE: Result<u16, i32> = Err(28);
    const CUT_OFF: Result<u16, i32> = Err(18);
    for (text, seen, acted) in [
        ("refuse@put", NO_REPLY, false),
        ("cut-before", NO_REPLY, false),
        ("hang", TOO_LATE, false),
        ("error-before", Ok(500), false),
        ("unavailable", Ok(503), false),
        ("unavailable-page", Ok(503), false),
        ("rate-limited", Ok(429), false),
        ("wrong-role", Ok(401), false),
        ("address-refused", Ok(403), false),
        ("vanished", Ok(404), false),
        ("conflict", Ok(409), false),
        ("never-changes", Ok(201), false),
        ("cut-after", NO_REPLY, true),
        ("hang-after", TOO_LATE, true),
        ("cut-body", CUT_OFF, true),
        ("error-after", Ok(500), true),
        ("gateway-page", Ok(502), true),
        ("malformed", Ok(201), true),
    ] {
        let spec = SimulatorSpec { faults: fault(&format!("{text}:invoices")), ..SimulatorSpec::default() };
        let simulator = start(spec).await;
        let target = invoices(&simulator);
        let url = key_url(&simulator, &target);
        // Long enough for a loaded machine to get through the login; only the faults that hang wait for it. Without
        // keep-alive, because curl repeats a request of its own accord when a connection that it had used dies.
        let once = ["--max-time", "3", "--header", "Connection: close"];
        let put = curl(&simulator, &[&once[..], &["-X", "PUT", &url]].concat()).await;
        let end = if put.exit == 0 { Ok(put.status()) } else { Err(put.exit) };
        assert_eq!(end, seen, "{text}: {put:?}");

        let truth = simulator.truth();
        assert_eq!(truth.changes.len(), usize::from(acted), "{text}");
        let noted = text != "refuse@put";
        assert_eq!(truth.puts.len(), usize::from(noted), "{text}");
        // Other targets are not touched by it.
        let other = simulator.target("billing/payments/payments").unwrap();
        let other = curl(&simulator, &["-X", "PUT", &key_url(&simulator, &other)]).await;
        assert_eq!(other.status(), 201, "{text}");
    }
}

/// Why nobody should rotate keys with a line of curl: it resends a PUT whose reply was lost, without a word.
///
/// The simulator must be faithful enough to catch a client at that.
#[tokio::test(flavor = "multi_thread")]
async fn curl_rotates_twice_when_a_reply_is_lost() {
    let spec = SimulatorSpec { faults: fault("cut-after:1"), ..SimulatorSpec::default() };
    let simulator = start(spec).await;
    let url = key_url(&simulator, &invoices(&simulator));
    let put = curl(&simulator, &["-X", "PUT", &url]).await;
    assert_eq!(put.exit, 0);
    assert_eq!(simulator.truth().rotations().count(), 2);
}

/// Refusals that differ only in small print, which is what clients go by.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_carry_the_documented_details() {
    let simulator = start(SimulatorSpec::default()).await;
    let url = key_url(&simulator, &invoices(&simulator));

    simulator.set_faults(fault("rate-limited=30"));
    let limited = curl(&simulator, &[&url]).await;
    assert_eq!(limited.header("retry-after"), Some("30"));
    assert_eq!(limited.json()["errorCode"], "RATE_LIMITED");
    simulator.set_faults(fault("rate-limited"));
    assert_eq!(curl(&simulator, &[&url]).await.header("retry-after"), None);
    simulator.set_faults(fault("wrong-role"));
    let role = curl(&simulator, &[&url]).await;
    assert_eq!(role.json()["errorCode"], "USER_UNAUTHORIZED");
    simulator.set_faults(fault("address-refused@any"));
    let refused = curl(&simulator, &[&super::url(&simulator, "/groups")]).await;
    assert_eq!(refused.json()["errorCode"], "IP_ADDRESS_NOT_ON_ACCESS_LIST");
    assert_eq!(refused.json()["parameters"][0], "203.0.113.9");
    simulator.set_faults(fault("unavailable-page"));
    let page = curl(&simulator, &[&url]).await;
    assert_eq!(page.header("content-type"), Some("text/html"));
    simulator.set_faults(fault("no-key"));
    let keyless = curl(&simulator, &[&url]).await;
    assert_eq!(keyless.status(), 200);
    assert_eq!(keyless.json().get("encryptionKeyUUID"), None);
    simulator.set_faults(fault("stale-nonce:1"));
    assert_eq!(curl(&simulator, &[&url]).await.statuses, [401, 401, 200]);
    simulator.set_faults(fault("malformed"));
    let broken = curl(&simulator, &[&url]).await;
    assert!(serde_json::from_str::<serde_json::Value>(&broken.body).is_err());
    simulator.set_faults(fault("huge"));
    let discard = ["--output", "/dev/null", "--write-out", "%{size_download}"];
    let huge = curl(&simulator, &[&discard[..], &[&url]].concat()).await;
    assert_eq!(huge.body, (256 << 20).to_string());
}

/// The worst case: the client gives up, looks, sees the old key, and the change comes after that.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_put_is_done_after_its_client_has_gone() {
    let slow = FaultKind::Slow(Duration::from_secs(3)).everywhere();
    let spec = SimulatorSpec { faults: vec![slow.scope(Scope::Put)], ..SimulatorSpec::default() };
    let simulator = start(spec).await;
    let target = invoices(&simulator);
    let url = key_url(&simulator, &target);
    let put = curl(&simulator, &["--max-time", "1", "-X", "PUT", &url]).await;
    assert_eq!(put.exit, 28, "{put:?}");
    let looked = curl(&simulator, &[&url]).await.json();
    let truth = until(&simulator, |truth| !truth.changes.is_empty()).await;
    assert_eq!(truth.changes[0].key_before, looked["encryptionKeyUUID"]);
    assert!(matches!(&truth.puts[0].outcome, PutOutcome::Changed { key } if *key == truth.changes[0].key_after));
}

/// The truth, as soon as it is as wanted.
async fn until(simulator: &Simulator, wanted: impl Fn(&Truth) -> bool) -> Truth {
    for _ in 0..1_000 {
        let truth = simulator.truth();
        if wanted(&truth) {
            return truth;
        }
        // A run of curl, so that the wait is paced without being a fixed time.
        bare_curl(&[&format!("{}/_sim/targets", simulator.url())]).await;
    }
    panic!("it never came: {:?}", simulator.truth());
}

/// What is in hand at one moment is counted by cluster, and a server that goes away leaves nobody waiting.
#[tokio::test(flavor = "multi_thread")]
async fn puts_in_hand_are_counted_by_cluster() {
    let simulator = start(SimulatorSpec { faults: fault("hang:ledger"), ..SimulatorSpec::default() }).await;
    let simulator = Arc::new(simulator);
    let put = |name: &str| {
        let simulator = Arc::clone(&simulator);
        let url = key_url(&simulator, &simulator.target(name).unwrap());
        tokio::spawn(async move { curl(&simulator, &["-X", "PUT", &url]).await })
    };
    let hanging = [put("billing/ledger/ledger-0"), put("billing/ledger/ledger-config")];
    until(&simulator, |truth| truth.puts.len() == 2).await;
    for _ in 0..2 {
        assert_eq!(put("billing/invoices/invoices").await.unwrap().status(), 201);
    }
    let truth = simulator.truth();
    let most = [("billing/invoices".to_owned(), 1), ("billing/ledger".to_owned(), 2)];
    assert_eq!(truth.max_concurrent_puts, BTreeMap::from(most));
    assert!(truth.max_concurrent_requests >= 3);

    simulator.unplug().await;
    for curl in hanging {
        // It tries again of its own accord, and is refused.
        assert_eq!(curl.await.unwrap().exit, 7);
    }
}

/// A key that shows late: GETs see the old one, and the truth knows both.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_may_show_late() {
    let spec = SimulatorSpec { timing: KeyTiming::AfterPolls(2), ..SimulatorSpec::default() };
    let simulator = start(spec).await;
    let url = key_url(&simulator, &invoices(&simulator));
    assert_eq!(curl(&simulator, &["-X", "PUT", &url]).await.status(), 201);
    let change = simulator.truth().changes[0].clone();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let get = curl(&simulator, &[&url]).await.json();
        seen.push(get["encryptionKeyUUID"].as_str().unwrap().to_owned());
    }
    let expected = [&change.key_before, &change.key_before, &change.key_after];
    assert_eq!(seen.iter().collect::<Vec<_>>(), expected);

    // A client that does not wait for it and sends another PUT has rotated twice, and the account shows the chain.
    for _ in 0..2 {
        assert_eq!(curl(&simulator, &["-X", "PUT", &url]).await.status(), 201);
    }
    let truth = simulator.truth();
    assert_eq!(truth.changes[2].key_before, truth.changes[1].key_after);
    let keys = truth.target("billing/invoices/invoices").unwrap();
    assert_eq!(keys.current(), truth.changes[0].key_after);
    assert_eq!(keys.pending, [&*truth.changes[1].key_after, &*truth.changes[2].key_after]);
}

/// Down, and unplugged: a connection that dies, and one that is never made. Keys and truth outlive both.
#[tokio::test(flavor = "multi_thread")]
async fn the_whole_server_can_go_away_and_come_back() {
    let simulator = start(SimulatorSpec::default()).await;
    let url = key_url(&simulator, &invoices(&simulator));
    assert_eq!(curl(&simulator, &["-X", "PUT", &url]).await.status(), 201);

    simulator.set_down(true);
    assert_eq!(curl(&simulator, &[&url]).await.exit, 52);
    simulator.set_down(false);
    simulator.unplug().await;
    assert_eq!(curl(&simulator, &[&url]).await.exit, 7);
    simulator.plug_in().await.unwrap();
    let get = curl(&simulator, &[&url]).await;
    let truth = simulator.stop().await;
    assert_eq!(get.json()["encryptionKeyUUID"], truth.changes[0].key_after);
    assert_eq!(bare_curl(&[&url]).await.exit, 7, "stopped means closed");
}

/// Everything that a test in this process can do, another process can do over the control routes.
#[tokio::test(flavor = "multi_thread")]
async fn another_process_can_steer_and_read_the_truth() {
    let simulator = start(SimulatorSpec::default()).await;
    let target = invoices(&simulator);
    let control = |path: &str| format!("{}/_sim/{path}", simulator.url());

    let post = async |path: &str, body: &str| bare_curl(&["--data", body, &control(path)]).await;
    let wrong = post("faults", r#"["hang", "cutafter"]"#).await;
    assert_eq!(wrong.status(), 400);
    assert!(wrong.body.contains("cut-after"), "{}", wrong.body);
    assert_eq!(post("faults", r#"["error-before:invoices:1"]"#).await.status(), 200);
    let faults = bare_curl(&[&control("faults")]).await.json();
    assert_eq!(faults[0], "error-before@key:invoices:1.0x1");
    let url = key_url(&simulator, &target);
    assert_eq!(curl(&simulator, &["-X", "PUT", &url]).await.status(), 500);
    assert_eq!(curl(&simulator, &["-X", "PUT", &url]).await.status(), 201);

    assert_eq!(post(&format!("foreign-rotation/{}", target.id), "").await.status(), 200);
    assert_eq!(post(&format!("regression/{}", target.name), "").await.status(), 200);
    assert_eq!(post("foreign-rotation/nobody", "").await.status(), 404);
    assert_eq!(post("switches", r#"{"down": true}"#).await.status(), 200);
    assert_eq!(curl(&simulator, &[&url]).await.exit, 52);
    assert_eq!(post("switches", r#"{"down": false}"#).await.status(), 200);

    let told: Truth = serde_json::from_str(&bare_curl(&[&control("truth")]).await.body).unwrap();
    assert_eq!(told, simulator.truth());
    assert_eq!(told.changes.len(), 3);
    assert_eq!(told.rotations_of(&target.name).count(), 1);
    let keys = &told.target(&target.id).unwrap().keys;
    assert_eq!(keys[3].key, keys[1].key, "the regression went back one key");
}

/// Sixty-four connections at once, and none of a thousand requests is lost or done twice.
#[tokio::test(flavor = "multi_thread")]
async fn many_connections_are_served_at_once() {
    let simulator = start(SimulatorSpec::default()).await;
    let target = invoices(&simulator);
    let path = format!("/groups/{}/backupConfigs/{}/encryptionKey?n=[1-1000]", target.project, target.id);
    let url = url(&simulator, &path);
    let arguments = ["--parallel", "--parallel-max", "64", "-X", "PUT", &url];
    assert_eq!(curl(&simulator, &arguments).await.exit, 0);
    let truth = simulator.stop().await;
    assert_eq!(truth.requests.key_puts, 1_000);
    assert_eq!(truth.rotations().count(), 1_000);
    let chained = truth.changes.windows(2).all(|w| w[0].key_after == w[1].key_before);
    assert!(chained, "each key follows the one before");
    assert!(truth.max_concurrent_requests <= 64);
}
