//! The commands that read: the same with the daemon up, down and dead, for people and for machines.

use std::process::Stdio;

use jiff::Timestamp;
use rekeyd::simulator::{FaultKind, FleetSpec, KeyTiming, Simulator, SimulatorSpec};
use serde_json::Value;

use super::accounts::all_settled;
use super::site::{Site, Wanted, until};

const HISTORY: [&str; 14] = [
    "target",
    "target_id",
    "manager",
    "project_id",
    "cluster_id",
    "mechanism",
    "slot",
    "attempt",
    "key_before",
    "key_after",
    "state",
    "how",
    "intended_at",
    "done_at",
];
const STATUS: [&str; 10] = [
    "target",
    "target_id",
    "project_id",
    "cluster_id",
    "key_id",
    "key_since",
    "last_rotation_at",
    "next_rotation_at",
    "state",
    "reason",
];
const PLAN: [&str; 6] = ["target", "target_id", "due_at", "state", "reason", "policy"];

fn assert_fields(objects: &[Value], fields: &[&str]) {
    for object in objects {
        for field in fields {
            assert!(object.get(field).is_some(), "no {field} in {object}");
        }
    }
}

/// Every reading command answers, for people and for machines, whatever became of the daemon. Returns `history --json`.
fn read_everything(site: &Site, targets: usize, presence: &str) -> Vec<Value> {
    let status = site.targets();
    let plan = site.json(&["plan"]);
    let history = site.json(&["history"]);
    assert_eq!((status.len(), plan.len()), (targets, targets));
    assert_fields(&status, &STATUS);
    assert_fields(&plan, &PLAN);
    assert_fields(&history, &HISTORY);
    let verify = site.json(&["audit", "verify"]);
    assert_eq!((verify.len(), &verify[0]["verified"]), (1, &Value::from(true)), "{verify:?}");
    let head = site.json(&["audit", "head"]);
    assert_eq!(head.len(), 1);
    assert_eq!(head[0]["hash"].as_str().unwrap().len(), 64, "{head:?}");
    let daemon = site.json(&["status"]).pop().unwrap();
    assert_eq!((&daemon["kind"], &daemon["presence"]), (&Value::from("daemon"), &Value::from(presence)), "{daemon}");
    let attention = if presence == "answers" { 0 } else { 3 };
    for (command, code) in [
        (&["status"][..], attention),
        (&["plan"], 0),
        (&["history"], 0),
        (&["audit", "verify"], 0),
        (&["audit", "head"], 0),
    ] {
        let answer = site.ask(command);
        assert!(answer.code == Some(code) && answer.err.is_empty() && !answer.out.is_empty(), "{answer:?}");
        assert!(!answer.text().contains('\u{1b}'), "colours in a pipe");
    }
    history
}

#[tokio::test(flavor = "multi_thread")]
async fn they_answer_whether_the_daemon_is_up_down_or_dead() {
    let simulator = Simulator::start(SimulatorSpec {
        timing: KeyTiming::After(std::time::Duration::from_millis(200)),
        faults: vec![FaultKind::CutAfter.everywhere().probability(0.2)],
        ..SimulatorSpec::default()
    })
    .await
    .unwrap();
    let targets = simulator.targets().len();
    let site = Site::new(&Wanted { max_concurrent: 2, ..Wanted::of(&simulator) });
    for command in [&["status"][..], &["plan"], &["history"], &["audit", "verify"], &["audit", "head"]] {
        let answer = site.ask(command);
        assert_eq!(answer.code, Some(1), "{answer:?}");
        assert!(answer.err.contains("there is no ledger in") && answer.err.contains("`rekeyd run`"), "{answer:?}");
    }

    let daemon = site.start();
    until("it is at work", || (simulator.truth().changes.len() >= 2).then_some(())).unwrap();
    read_everything(&site, targets, "answers");
    daemon.kill();
    read_everything(&site, targets, "absent");
    let killed = site.ask(&["status"]).out;
    assert!(killed.contains("critical The daemon does not run: its last record is of 20"), "{killed}");
    let daemon = site.start();
    until("all are rotated", || (simulator.truth().changes.len() == 14).then_some(())).unwrap();
    daemon.stop();
    let history = read_everything(&site, targets, "absent");
    let stopped = site.ask(&["status"]).out;
    assert!(stopped.contains("critical The daemon does not run: it was stopped at 20"), "{stopped}");
    assert_eq!(history.len(), 14);

    // A mistyped name must not look like good news, nor an empty reason like a reason.
    for command in [
        &["status", "nobody"][..],
        &["status", "nobody", "--json"],
        &["plan", "nobody"],
        &["check", "--target", "nobody"],
    ] {
        let answer = site.ask(command);
        assert!(answer.code == Some(1) && answer.err.contains("no target's name matches \"nobody\""), "{answer:?}");
    }
    assert_eq!(site.ask(&["resume", "*", "--reason", ""]).code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_cut_by_number_by_time_and_by_name() {
    let simulator =
        Simulator::start(SimulatorSpec { fleet: FleetSpec::uniform(120), ..SimulatorSpec::default() }).await.unwrap();
    let site = Site::new(&Wanted { max_concurrent: 64, ..Wanted::of(&simulator) });
    let daemon = site.start();
    all_settled(&site, &simulator);
    daemon.stop();
    let count = |arguments: &[&str]| site.json(&[&["history"], arguments].concat()).len();

    let all = site.json(&["history"]);
    assert_eq!(all.len(), 120, "JSON has everything");
    let table = site.ask(&["history"]).out;
    assert_eq!(table.lines().filter(|line| line.contains(" emea/")).count(), 100, "{table}");
    assert!(table.contains("The newest 100"), "{table}");
    let begun: Vec<Timestamp> = all.iter().map(|row| row["begun_at"].as_str().unwrap().parse().unwrap()).collect();
    assert!(begun.is_sorted_by(|newer, older| newer >= older), "the newest come first");

    assert_eq!(count(&["--limit", "7"]), 7);
    assert_eq!(count(&["--limit", "1000"]), 120);
    assert_eq!((count(&["--since", "1h"]), count(&["--until", "1h"])), (120, 0));
    assert_eq!((count(&["--since", "2020-01-01"]), count(&["--until", "2020-01-01"])), (120, 0));
    // From an instant on, and before it: each row on one side.
    let middle = begun[60].to_string();
    let (since, until) = (count(&["--since", &middle]), count(&["--until", &middle]));
    assert!(since > 0 && until > 0 && since + until == 120, "{since} and {until}");
    assert_eq!(count(&["emea/load-001/rs-0000*"]), 9);
    assert_eq!(count(&["*-00120"]), 1);
    assert_eq!(count(&["emea/load-001/rs-0000*", "--limit", "2", "--since", "1h"]), 2);

    for wrong in [
        &["--since", "yesterday"][..],
        &["--until", "2026-13-01"],
        &["--limit", "-1"],
        &["--limit", "0"],
        &["--limit", "many"],
    ] {
        let answer = site.ask(&[&["history"], wrong].concat());
        assert_eq!(answer.code, Some(2), "wrong usage: {answer:?}");
        assert!(answer.out.is_empty() && answer.err.contains(wrong[1]), "{answer:?}");
    }
}

/// `rekeyd history | head -1`: who reads has enough. Nothing is said of that, and nobody who goes by the exit status takes it
/// for all's well.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_pipe_is_a_quiet_end_and_no_success() {
    let simulator = Simulator::start(SimulatorSpec::default()).await.unwrap();
    let site = Site::new(&Wanted::of(&simulator));
    let daemon = site.start();
    until("all are rotated", || (simulator.truth().changes.len() == 14).then_some(())).unwrap();
    daemon.stop();
    for command in [
        &["history"][..],
        &["history", "--json"],
        &["status"],
        &["status", "--json"],
        &["plan"],
        &["plan", "--json"],
        &["check"],
        &["check", "--json"],
        &["audit", "verify"],
        &["audit", "head"],
        &["config", "show"],
        &["config", "default"],
        &["completions", "bash"],
        &["demo"],
    ] {
        let mut child = site.command(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // Before the child has written anything.
        drop(child.stdout.take());
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!((ended.status.code(), said.as_str()), (Some(141), ""), "{command:?}");
    }
}
