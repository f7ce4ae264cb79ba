//! Orders to the running daemon: each is one rotation, on record with who gave it and why, and survives a crash.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::Duration;

use rekeyd::control::{Client, Reasoned, RotateOrder};
use rekeyd::domain::{Caller, Event};
use rekeyd::simulator::{FaultKind, FleetSpec, KeyTiming, Scope, Simulator, SimulatorSpec};
use rekeyd::store::chain::Record;

use super::accounts::{ledger, settled, verified};
use super::site::{Answer, Running, Site, Wanted, finish, until};

const TARGET: &str = "emea/billing/ledger/ledger-0";

/// A daemon that has nothing left to do.
async fn at_rest(spec: SimulatorSpec) -> (Simulator, Site, Running) {
    let simulator = Simulator::start(spec).await.unwrap();
    let site = Site::new(&Wanted::of(&simulator));
    let daemon = site.start();
    settled(&site, &simulator, 14);
    (simulator, site, daemon)
}

fn rotations(simulator: &Simulator) -> usize {
    simulator.truth().rotations_of(TARGET.strip_prefix("emea/").unwrap()).count()
}

pub(super) fn records(site: &Site, kind: &str) -> Vec<(Record, Event)> {
    let wanted = ledger(site).into_iter().filter(|record| record.kind == kind);
    wanted.map(|record| (record.clone(), record.event().unwrap())).collect()
}

/// The caller that these tests are.
fn own_uid() -> u32 {
    std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap())
}

pub(super) fn assert_is_me(by: &Caller) {
    assert_eq!(by.uid, own_uid());
    assert!(by.pid > 1 && by.user.is_some(), "{by:?}");
}

pub(super) fn succeeded(answer: &Answer) {
    assert_eq!((answer.code, answer.err.as_str()), (Some(0), ""), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_carried_out_confirmed_and_on_record() {
    let (simulator, site, _daemon) = at_rest(SimulatorSpec::default()).await;
    let rehearsed = site.ask(&["rotate", TARGET, "--reason", "CHG-1", "--dry-run"]);
    succeeded(&rehearsed);
    assert!(rehearsed.out.contains("every 30d, from the new key on") && rotations(&simulator) == 1, "{rehearsed:?}");
    let answer = site.ask(&["rotate", TARGET, "--reason", "CHG-1: rehearsal"]);
    succeeded(&answer);
    assert!(answer.out.contains(&format!("rotated {TARGET}: ")) && answer.out.contains("next due "), "{answer:?}");
    assert_eq!(rotations(&simulator), 2);
    let requested = records(&site, "rotation_requested");
    let [(record, Event::RotationRequested { reason, by, overrides: false, .. })] = &requested[..] else {
        panic!("{requested:?}")
    };
    assert_eq!((record.actor.as_str(), reason.as_str()), (format!("uid:{}", own_uid()).as_str(), "CHG-1: rehearsal"));
    assert_is_me(by);
    let history = site.json(&["history", TARGET]);
    assert_eq!((history.len(), history[0]["actor"].as_str()), (2, Some(record.actor.as_str())), "{history:?}");

    // Many are not rotated by a slip.
    let many = site.ask(&["rotate", "emea/*", "--reason", "CHG-2"]);
    assert!(many.code == Some(1) && many.err.contains("14 keys; nothing was ordered"), "{many:?}");
    assert_eq!(site.ask(&["rotate", "--reason", "CHG-2"]).code, Some(2));
    assert_eq!(site.ask(&["rotate", TARGET, "--reason", ""]).code, Some(2));
    assert_eq!(rotations(&simulator), 2);
    let all = site.ask(&["rotate", "--all", "--yes", "--reason", "INC-7"]);
    succeeded(&all);
    assert_eq!((all.out.matches("rotated ").count(), simulator.truth().changes.len()), (14, 29), "{all:?}");
    verified(&site);
}

/// After a theft it matters who brought the key that answers the order.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_somebody_else_brought_is_not_told_as_ours() {
    let (simulator, site, _daemon) = at_rest(SimulatorSpec::default()).await;
    assert!(simulator.rotate_foreign(TARGET.strip_prefix("emea/").unwrap()));
    let answer = site.ask(&["rotate", TARGET, "--reason", "INC-7"]);
    assert!(
        answer.out.contains(&format!("changed {TARGET}: ")) && answer.out.contains("by somebody else"),
        "{answer:?}"
    );
    assert_eq!(rotations(&simulator), 1);
}

/// Fifty at once, and nobody knows of the others.
#[tokio::test(flavor = "multi_thread")]
async fn ordered_fifty_times_before_it_is_done_it_is_one_rotation() {
    let (simulator, site, _daemon) = at_rest(SimulatorSpec::default()).await;
    // So that none of them comes when the rotation of the others is done.
    succeeded(&site.ask(&["pause", TARGET, "--until", "1h", "--reason", "CHG-1"]));
    let socket = site.state().join("control.sock");
    let target = Client::new(&socket).unwrap().targets(TARGET).await.unwrap().remove(0);
    let mut orders = tokio::task::JoinSet::new();
    for number in 0..50 {
        let (socket, targets) = (socket.clone(), vec![target.id.clone()]);
        let order = RotateOrder { targets, overrides: false };
        let order = Reasoned { reason: format!("CHG-{number}"), login: None, order };
        orders.spawn(async move { Client::new(&socket).unwrap().order(&order).await.unwrap().len() });
    }
    assert_eq!(orders.join_all().await, vec![1; 50]);
    let held = site.ask(&["rotate", TARGET, "--reason", "CHG-50"]);
    assert!(held.code == Some(3) && held.out.contains("held"), "{held:?}");
    assert_eq!((rotations(&simulator), records(&site, "rotation_requested").len()), (1, 51));
    succeeded(&site.ask(&["resume", TARGET, "--reason", "CHG-1 is over"]));
    let answered = || site.reader().fleet().unwrap().targets[&target.id].slot > target.slot;
    until("it is rotated", || answered().then_some(())).unwrap();
    // Whatever would follow from the other forty-nine would follow within a few plans.
    succeeded(&site.ask(&["observe", TARGET, "--reason", "CHG-2"]));
    assert_eq!(rotations(&simulator), 2);
    verified(&site);
}

/// Dead between the order and the rotation: the next life carries it out, once.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_survives_a_crash() {
    let (simulator, site, daemon) = at_rest(SimulatorSpec::default()).await;
    daemon.stop();
    let daemon = site.launch_doomed("after:rotation_requested");
    until("it takes orders", || site.state().join("control.sock").exists().then_some(())).unwrap();
    let answer = site.ask(&["rotate", TARGET, "--reason", "CHG-1"]);
    assert!(answer.code == Some(1) && answer.err.contains("what became of the order"), "{answer:?}");
    daemon.ended();
    assert_eq!((rotations(&simulator), records(&site, "rotation_requested").len()), (1, 1));
    // With the daemon down nothing is ordered, and the command says what to do.
    let down = site.ask(&["rotate", TARGET, "--reason", "CHG-2"]);
    assert!(
        down.code == Some(1) && down.err.contains("does not run") && down.err.contains("systemctl start"),
        "{down:?}"
    );

    let _daemon = site.start();
    until("the order is carried out", || (rotations(&simulator) == 2).then_some(())).unwrap();
    until("and recorded", || (records(&site, "rotation_done").len() == 15).then_some(())).unwrap();
    assert_eq!((rotations(&simulator), records(&site, "rotation_requested").len()), (2, 1));
    verified(&site);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_holds_up_and_ends_by_itself() {
    let simulator = Simulator::start(SimulatorSpec { fleet: FleetSpec::uniform(4), ..SimulatorSpec::default() });
    let simulator = simulator.await.unwrap();
    simulator.set_down(true);
    let site = Site::new(&Wanted::of(&simulator));
    let daemon = site.start();
    // Held up before anything is known of them.
    let paused = site.ask(&["pause", "--until", "8s", "--reason", "CHG-1: maintenance"]);
    succeeded(&paused);
    assert!(paused.out.contains("CHG-1: maintenance"), "{paused:?}");
    simulator.set_down(false);
    let reason = || site.json(&["plan"]).first().and_then(|plan| plan["reason"].as_str().map(str::to_owned));
    let held = || {
        site.reader().fleet().is_ok_and(|fleet| fleet.targets.len() == 4)
            && reason().is_some_and(|reason| reason.starts_with("paused with * (CHG-1: maintenance), until"))
    };
    until("they are held", || (held() || !simulator.truth().puts.is_empty()).then_some(())).unwrap();
    let pause = site.reader().fleet().unwrap().pauses["*"].clone();
    assert_is_me(&pause.by);
    settled(&site, &simulator, 4);
    until("its end is on record", || (!records(&site, "pause_ended").is_empty()).then_some(())).unwrap();
    let sent = records(&site, "rotation_sending");
    assert!(sent.iter().all(|(record, _)| record.at >= pause.until), "sent in spite of the pause");
    assert_eq!(records(&site, "pause_ended")[0].0.actor, "daemon");
    let none = site.ask(&["resume", "--reason", "CHG-1"]);
    assert!(none.code == Some(1) && none.err.contains("none stands"), "{none:?}");

    // An emergency goes on in spite of a pause, and that is on record.
    succeeded(&site.ask(&["pause", "--until", "1h", "--reason", "CHG-2"]));
    let all = site.ask(&["rotate", "--all", "--yes", "--override", "--reason", "INC-7"]);
    succeeded(&all);
    let requested = records(&site, "rotation_requested");
    assert!(
        requested.len() == 4
            && requested.iter().all(|(_, event)| matches!(event, Event::RotationRequested { overrides: true, .. }))
    );
    assert_eq!(simulator.truth().changes.len(), 8);
    daemon.stop();
    verified(&site);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_finds_what_others_did_and_a_quarantine_ends_by_order() {
    let (simulator, site, _daemon) = at_rest(SimulatorSpec::default()).await;
    assert!(simulator.rotate_foreign(TARGET.strip_prefix("emea/").unwrap()));
    let seen = site.ask(&["observe", TARGET, "--reason", "INC-7"]);
    succeeded(&seen);
    assert!(seen.out.contains("changed from "), "{seen:?}");
    let unchanged = site.ask(&["observe", "emea/billing/*", "--reason", "INC-7"]);
    succeeded(&unchanged);
    assert_eq!(unchanged.out.matches("unchanged").count(), 7, "{unchanged:?}");
    assert_eq!((records(&site, "key_changed").len(), records(&site, "look_requested").len()), (1, 2));

    simulator.set_faults(vec![FaultKind::WrongRole.everywhere().scope(Scope::Put)]);
    let failed = site.ask(&["rotate", TARGET, "--reason", "CHG-1"]);
    assert!(failed.code == Some(1) && failed.out.contains("failed "), "{failed:?}");
    let not_now = site.ask(&["rotate", TARGET, "--reason", "CHG-1"]);
    assert!(not_now.code == Some(1) && not_now.err.contains("none of these can be rotated now"), "{not_now:?}");
    simulator.set_faults(Vec::new());
    let before = simulator.truth().changes.len();
    succeeded(&site.ask(&["rearm", TARGET, "--reason", "CHG-1: role granted"]));
    until("the order that stood is carried out", || (simulator.truth().changes.len() > before).then_some(())).unwrap();
    let rearmed = records(&site, "target_rearmed");
    let [(_, Event::TargetRearmed { by: Some(by), .. })] = &rearmed[..] else { panic!("{rearmed:?}") };
    assert_is_me(by);
    let none = site.ask(&["rearm", TARGET, "--reason", "CHG-1"]);
    assert!(none.code == Some(1) && none.err.contains("no quarantined target matches"), "{none:?}");
}

/// Whoever is neither root nor the daemon's user nor of its group learns nothing and changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_is_refused() {
    assert_eq!(own_uid(), 0, "this test becomes another user: run the tests as root");
    let spec = SimulatorSpec { timing: KeyTiming::After(Duration::ZERO), ..SimulatorSpec::default() };
    let simulator = Simulator::start(spec).await.unwrap();
    let site = Site::new(&Wanted::of(&simulator));
    let socket = site.path().join("control.sock");
    let text = std::fs::read_to_string(site.config()).unwrap();
    let ours = |group: &str| site.configure(&format!("{text}\n[control]\nsocket = {socket:?}\n{group}"));
    std::fs::set_permissions(site.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let ask = |group: &str| {
        let mut command = Command::new("setpriv");
        command.args([
            "--reuid=nobody",
            &format!("--regid={group}"),
            "--clear-groups",
            "curl",
            "--silent",
            "--show-error",
        ]);
        command.args(["--noproxy", "*", "--json", r#"{"scope":"*","until":"2099-01-01T00:00:00Z","reason":"mine"}"#]);
        command.arg("--unix-socket").arg(&socket).arg("http://localhost/v1/pause");
        finish(command)
    };

    ours("");
    let daemon = site.start();
    // The file is closed to others; and were it open, the kernel would tell who they are.
    assert!(ask("nogroup").err.contains("curl: (7)"));
    std::fs::set_permissions(&socket, PermissionsExt::from_mode(0o666)).unwrap();
    let refused = ask("nogroup");
    assert!(refused.out.contains("nobody may not give orders"), "{refused:?}");
    until("it is in the log", || daemon.log().contains("refused on the control socket").then_some(())).unwrap();
    daemon.stop();
    assert!(site.reader().fleet().unwrap().pauses.is_empty());

    // A member of the group is let in, and heard: the pause is refused for its length, and for nothing else.
    ours("group = \"users\"");
    let daemon = site.start();
    assert!(ask("nogroup").out.contains("may not give orders"));
    assert!(ask("users").out.contains("within a year"));
    daemon.stop();
    assert!(site.reader().fleet().unwrap().pauses.is_empty());
}
