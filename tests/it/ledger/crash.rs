//! A daemon that is killed in the middle of its work loses nothing that it was told is durable.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use rekeyd::domain::PolicyName;

use super::*;

/// Where the child finds its state directory; set only for the child.
const CHILD: &str = "REKEYD_TEST_LEDGER_CHILD";

/// Not a test of its own: the process that [`an_acknowledged_record_survives_a_kill`] kills. Prints what is acknowledged.
#[test]
fn child_that_records_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(Path::new(&dir), [9; 32]).unwrap();
        for number in 0.. {
            let policy = PolicyName::new(format!("policy-{number}"));
            store.record(vec![entry(number, Event::PolicySet { policy, words: "every 30d".into() })]).await.unwrap();
            println!("ACK {number}");
        }
    });
}

/// Promise: what `record` returned from is on disk, however the process dies, and the lock dies with it.
#[test]
fn an_acknowledged_record_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = None;
    for round in 1..=3 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "ledger::crash::child_that_records_until_it_is_killed", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut acks = lines.filter_map(|line| line.strip_prefix("ACK ")?.parse::<u64>().ok());
        acknowledged = acks.nth(40 * round);
        child.kill().unwrap();
        acknowledged = acks.last().or(acknowledged);
        child.wait().unwrap();
        let last = acknowledged.expect("the child recorded until it was killed");

        // The commands read what the dead daemon left, its log not yet folded in.
        let reader = Reader::open(dir.path()).unwrap();
        let verified = reader.verify(|_, _| {}).unwrap();
        assert!(reader.fleet().unwrap().policies.contains_key(format!("policy-{last}").as_str()), "round {round}");
        // And the next daemon starts from there.
        let store = Store::open(dir.path(), [1; 32]).unwrap();
        assert_eq!(store.head(), verified.head);
    }
    assert!(acknowledged.is_some());
}
