//! Troubles as a person meets them: `check` says what is wrong and what to do, `run` lives with it and shows it.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use rekeyd::simulator::{FaultKind, Scope, Simulator, SimulatorSpec};
use serde_json::Value;

use super::site::{Answer, Site, Wanted, until};
use crate::tls::{Authority, serve};

/// `check` ends with 1 and says all of `said`; `run` goes on, warns of the same, and restarts nobody.
async fn check_says_and_run_warns(site: &Site, said: &[&str]) {
    let checked = site.ask(&["check"]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    for said in said {
        assert!(checked.text().contains(said), "{said:?} is not in:\n{}", checked.text());
    }

    let daemon = site.start();
    let reason = said[0];
    let mut health = Value::Null;
    for _ in 0..1_000 {
        let (status, text) = daemon.get("/healthz").await;
        health = serde_json::from_str(&text).unwrap();
        assert_eq!(status, 200, "{health}");
        if health["status"] == "warn" && text.contains(reason) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(health["status"] == "warn" && health.to_string().contains(reason), "{health}");
    assert_eq!(daemon.get("/livez").await.0, 200);
    assert_eq!(daemon.get("/readyz").await.0, 200);
    assert!(daemon.stop().contains(reason));
    let status = site.ask(&["status"]);
    assert_eq!(status.code, Some(3), "{status:?}");
    assert!(status.out.contains(reason), "{status:?}");
}

fn no_put(simulator: &Simulator) {
    assert_eq!(simulator.truth().puts, []);
}

async fn simulator(faults: &[rekeyd::simulator::Fault]) -> Simulator {
    Simulator::start(SimulatorSpec { faults: faults.to_vec(), ..SimulatorSpec::default() }).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password() {
    let simulator = simulator(&[]).await;
    let site = Site::new(&Wanted { private_key: "wrong".to_owned(), ..Wanted::of(&simulator) });
    check_says_and_run_warns(&site, &["credentials_refused", "HTTP 401", "Next: check the key pair"]).await;
    no_put(&simulator);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_project() {
    let simulator = simulator(&[]).await;
    let manager = "[[ops_manager.project]]\nname = \"billing\"\n[[ops_manager.project]]\nname = \"nowhere\"".to_owned();
    let site = Site::new(&Wanted { manager, ..Wanted::of(&simulator) });
    let checked = site.ask(&["check"]);
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(checked.out.contains("project nowhere: not_found"), "{checked:?}");
    no_put(&simulator);

    // The project that is there is served all the same.
    let daemon = site.start();
    until("billing is rotated", || (simulator.truth().changes.len() == 7).then_some(())).unwrap();
    until("an alert tells of the project that is not", || {
        let fired = site.reader().fleet().unwrap().alerts;
        fired.keys().any(|(alert, _)| *alert == rekeyd::domain::AlertKind::ProjectUnread).then_some(())
    })
    .unwrap();
    assert!(daemon.stop().contains("emea/nowhere cannot be listed"));
    let targets = site.targets();
    assert!(targets.iter().all(|target| target["project"] == "billing"), "{targets:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_host() {
    // Free a moment ago, and nobody listens.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let site = Site::new(&Wanted::at(format!("http://{address}"), "any"));
    check_says_and_run_warns(&site, &["unreachable", "refused", "Next: check that the manager runs"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate() {
    let authority = Authority::new("internal");
    let address = serve(&authority.sign(2020), None).await;
    let wanted = Wanted::at(format!("https://localhost:{}", address.port()), "any");
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let site = Site::new(&Wanted { manager: format!("ca_file = {ca:?}"), ..wanted });
    check_says_and_run_warns(
        &site,
        &["tls", "expired at 2020-01-01T00:00:00Z", "Next: check the manager's certificate"],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_role() {
    let simulator = simulator(&[FaultKind::WrongRole.everywhere().scope(Scope::Any)]).await;
    let site = Site::new(&Wanted::of(&simulator));
    check_says_and_run_warns(&site, &["role_missing", "USER_UNAUTHORIZED", "Next: give the API key the role"]).await;
    no_put(&simulator);
}

/// A key that may read and not rotate: found out by the first PUT, and not tried again until someone says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_only_read() {
    let simulator = simulator(&[FaultKind::WrongRole.everywhere().scope(Scope::Put)]).await;
    let site = Site::new(&Wanted::of(&simulator));
    assert_eq!(site.ask(&["check"]).code, Some(0));
    no_put(&simulator);
    let daemon = site.start();
    let quarantined = || {
        let targets = site.targets();
        targets.into_iter().filter(|target| target["state"] == "quarantined").collect::<Vec<_>>()
    };
    until("every target waits for an operator", || (quarantined().len() == 14).then_some(())).unwrap();
    assert_eq!(daemon.get("/livez").await.0, 200);
    let (status, health) = daemon.get("/healthz").await;
    assert_eq!(status, 200);
    assert!(health.contains("\"warn\"") && health.contains("role_missing"), "{health}");
    daemon.stop();
    assert_eq!(simulator.truth().puts.len(), 14, "one try each");
    let status = site.ask(&["status"]);
    assert_eq!(status.code, Some(3));
    let row = status.out.lines().find(|line| line.contains("quarantined")).unwrap();
    let (times, why) = row.split_once("refused for good since ").unwrap();
    assert!(!times.contains('Z') && why.contains("role_missing") && why.contains("`rekeyd rearm`"), "{row}");
    assert!(!status.out.contains(".. Next"), "{}", status.out);
    let told = site.json(&["status"]);
    let alerts: Vec<_> = told.iter().filter(|line| line["kind"] == "alert").collect();
    assert_eq!(alerts.len(), 14, "what explains the exit status is in JSON too: {told:?}");
    assert!(
        alerts.iter().all(|alert| alert["alert"] == "target_quarantined" && alert["subject"]["target"].is_string())
    );

    // The way out that the documentation shows.
    simulator.set_faults(Vec::new());
    let rearmed = site.ask(&["rearm", "emea/billing/*", "--reason", "CHG-1: role granted"]);
    assert_eq!((rearmed.code, rearmed.out.lines().count()), (Some(0), 7), "{rearmed:?}");
    let daemon = site.start();
    until("billing is rotated", || (simulator.truth().changes.len() == 7).then_some(())).unwrap();
    daemon.stop();
    assert_eq!(quarantined().len(), 7);
    let again = site.ask(&["rearm", "emea/billing/*", "--reason", "CHG-1"]);
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("no quarantined target matches"), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_not_on_the_access_list() {
    let simulator = simulator(&[FaultKind::AddressRefused.everywhere().scope(Scope::Any)]).await;
    let site = Site::new(&Wanted::of(&simulator));
    check_says_and_run_warns(
        &site,
        &["address_refused", "the server saw the address 203.0.113.9", "Next: add this machine's address"],
    )
    .await;
    no_put(&simulator);
}

/// Wrong configuration: exit status 78, every problem at once, with line and column, and nothing is begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_configuration() {
    let simulator = simulator(&[]).await;
    let site = Site::new(&Wanted {
        policy: "evry = \"30d\"\nalert_after = \"soon\"",
        manager: "policy = \"strict\"".to_owned(),
        ..Wanted::of(&simulator)
    });
    let wrong = |answer: Answer| {
        assert_eq!(answer.code, Some(78), "{answer:?}");
        assert_eq!(answer.out, "");
        for said in ["rekeyd.toml:9:1", "evry", "every", "rekeyd.toml:10:15", "soon", "rekeyd.toml:19:10", "strict"] {
            assert!(answer.text().contains(said), "{said:?} is not in:\n{}", answer.err);
        }
    };
    for command in
        [&["run"][..], &["check"], &["status"], &["plan"], &["history"], &["audit", "verify"], &["config", "show"]]
    {
        wrong(site.ask(command));
    }
    assert!(!site.state().exists());
    assert_eq!(simulator.truth().requests.total, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_file_that_others_can_read_or_that_is_missing() {
    let simulator = simulator(&[]).await;
    let site = Site::new(&Wanted::of(&simulator));
    let key = site.path().join("private-key");
    std::fs::set_permissions(&key, PermissionsExt::from_mode(0o644)).unwrap();
    for command in ["run", "check"] {
        let answer = site.ask(&[command]);
        assert_eq!(answer.code, Some(78), "{answer:?}");
        let text = answer.text();
        assert!(
            text.contains("open to others") && text.contains("chmod 600") && text.contains("rekeyd.toml:"),
            "{text}"
        );
    }
    std::fs::remove_file(&key).unwrap();
    let answer = site.ask(&["run"]);
    assert_eq!(answer.code, Some(78), "{answer:?}");
    assert!(answer.text().contains("there is no such file"), "{answer:?}");
    // What only shows needs no secret.
    assert_eq!(site.ask(&["config", "show"]).code, Some(0));
}

/// A start without a manager is wrong configuration, which systemd does not try again and again; `check` says it once.
#[test]
fn a_configuration_without_a_manager() {
    let site = Site::new(&Wanted::at("http://127.0.0.1:1".to_owned(), "any"));
    site.configure(&format!("version = 1\nstate_dir = {:?}\n[http]\nlisten = \"127.0.0.1:0\"\n", site.state()));
    let refused = site.ask(&["run"]);
    assert!(refused.code == Some(78) && refused.err.lines().count() == 1, "{refused:?}");
    assert!(refused.err.contains("add an [[ops_manager]] section"), "{refused:?}");
    let checked = site.json(&["check"]);
    let said: Vec<_> = checked.iter().filter(|line| line["step"] == "config").map(|line| &line["outcome"]).collect();
    assert_eq!(said, ["fail"], "{checked:?}");
}

/// A place where no directory can be made.
#[tokio::test(flavor = "multi_thread")]
async fn a_state_directory_that_can_not_be_used() {
    let simulator = simulator(&[]).await;
    let site = Site::new(&Wanted::of(&simulator));
    std::fs::write(site.state(), "no directory").unwrap();
    for command in [&["run"][..], &["check"], &["status"], &["history"], &["audit", "head"]] {
        let answer = site.ask(command);
        assert_eq!(answer.code, Some(1), "{answer:?}");
        assert!(answer.text().contains(&site.state().display().to_string()), "{answer:?}");
    }
    no_put(&simulator);
}

/// A new key that the ledger does not name yet must not have signed anything: that would pass for a forgery for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_fails_signs_nothing_with_a_new_key() {
    let simulator = Simulator::start(SimulatorSpec::default()).await.unwrap();
    let site = Site::new(&Wanted::of(&simulator));
    site.start().stop();
    std::fs::remove_file(site.state().join("checkpoint.key")).unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let good = std::fs::read_to_string(site.config()).unwrap();
    site.configure(&good.replace("127.0.0.1:0", &taken.local_addr().unwrap().to_string()));
    let refused = site.ask(&["run"]);
    assert!(refused.code == Some(1) && refused.text().contains("cannot listen"), "{refused:?}");
    let verified = site.ask(&["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    site.configure(&good);
    site.start().stop();
    let verified = site.ask(&["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
}
