//! Compares the accounts: what the commands tell, what the ledger holds, and what really happened at the far end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use rekeyd::domain::Event;
use rekeyd::simulator::{Cause, Simulator, Truth};
use rekeyd::store::chain::Record;
use serde_json::Value;

use super::site::{Site, until};

/// A target's name, its key before, its key after.
type Change = (String, String, String);

fn text(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap_or_else(|| panic!("no {field} in {object}")).to_owned()
}

/// Waits until every target's first slot is answered, by the far end's account and then by ours.
pub(super) fn all_settled(site: &Site, simulator: &Simulator) {
    settled(site, simulator, simulator.targets().len());
}

/// The same of so many targets; the others are not rotated.
pub(super) fn settled(site: &Site, simulator: &Simulator, targets: usize) {
    let done = || site.reader().fleet().unwrap().targets.values().filter(|t| t.last_rotation_at.is_some()).count();
    until("every key has changed", || (simulator.truth().changes.len() >= targets).then_some(()))
        .and_then(|()| until("every change is on record", || (done() == targets).then_some(())))
        .unwrap_or_else(|why| panic!("{why}:\n{}", site.ask(&["plan"]).out));
}

/// How many deaths at each failpoint the surroundings ask for, with `REKEYD_TEST_DEATHS`; ten times as many random ones.
pub(super) fn deaths_wanted() -> Option<usize> {
    let wanted = std::env::var("REKEYD_TEST_DEATHS").ok()?;
    Some(wanted.parse().expect("REKEYD_TEST_DEATHS is a number"))
}

/// Waits until the rotations that a death left open have ended. They must within the settle time and a minute, from when
/// the next daemon was launched, which must be just now. Says how it went.
pub(super) fn settles(site: &Site, settle: Duration) -> String {
    let began = Instant::now();
    let open = || {
        let fleet = site.reader().fleet().unwrap();
        let open = fleet.targets.into_iter().filter_map(|(id, target)| Some((id, target.rotation.as_ref()?.id)));
        open.collect::<BTreeSet<_>>()
    };
    let left = open();
    until("what was open has ended", || open().is_disjoint(&left).then_some(())).unwrap();
    let took = began.elapsed();
    assert!(took < settle + Duration::from_secs(60), "{} open rotations took {took:?}", left.len());
    format!("{} left open by the last death, ended after {:.1} s", left.len(), took.as_secs_f64())
}

/// Every record of the ledger.
pub(super) fn ledger(site: &Site) -> Vec<Record> {
    let reader = site.reader();
    let mut records = Vec::new();
    loop {
        let more = reader.records(records.len() as u64, 10_000).unwrap();
        if more.is_empty() {
            return records;
        }
        records.extend(more);
    }
}

/// No PUT without its record: that of the sending is durable before the PUT leaves.
pub(super) fn every_put_is_recorded(site: &Site, simulator: &Simulator) {
    // In this order: what is recorded meanwhile does no harm.
    let puts = simulator.truth().puts;
    let mut recorded: BTreeMap<String, usize> = BTreeMap::new();
    for record in ledger(site) {
        if let Event::RotationSending { target, .. } = record.event().unwrap() {
            *recorded.entry(target.to_string()).or_default() += 1;
        }
    }
    for put in &puts {
        let left = recorded.iter_mut().find(|(target, _)| target.ends_with(&put.target)).map(|(_, left)| left);
        let left = left.unwrap_or_else(|| panic!("a PUT without a record: {put:?}"));
        *left = left.checked_sub(1).unwrap_or_else(|| panic!("more PUTs than records: {put:?}"));
    }
}

/// Every change at the far end is told once by the history and once by the ledger, and nothing else is; the chain holds.
///
/// Every target must be settled. Returns how many changes there were.
pub(super) fn agree(site: &Site, truth: &Truth) -> usize {
    assert!(truth.changes.iter().all(|change| matches!(change.cause, Cause::Put { .. })), "a stranger rotated");
    let happened: Vec<Change> = truth
        .changes
        .iter()
        .map(|change| (format!("emea/{}", change.name), change.key_before.clone(), change.key_after.clone()))
        .collect();
    let happened = once(happened);

    let history = site.json(&["history"]);
    let done: Vec<_> = history.iter().filter(|row| row["state"] == "done").collect();
    let told = done.iter().map(|row| (text(row, "target"), text(row, "key_before"), text(row, "key_after"))).collect();
    assert_same("the history", &once(told), &happened);
    let slots: Vec<_> = done.iter().map(|row| (text(row, "target"), row["slot"].as_u64().unwrap())).collect();
    once(slots);
    assert!(done.iter().all(|row| row["how"] != "found_changed"), "our own rotation is taken for a stranger's");

    let fleet = site.reader().fleet().unwrap();
    let recorded = ledger(site).into_iter().filter_map(|record| match record.event().unwrap() {
        Event::RotationDone { target, key_before, key_after, .. } => {
            let name = fleet.targets[&target].target.name().to_string();
            Some((name, key_before.to_string(), key_after.to_string()))
        }
        _ => None,
    });
    assert_same("the ledger", &once(recorded.collect()), &happened);

    let status = site.targets();
    assert_eq!(status.len(), truth.targets.len());
    for target in &status {
        let name = text(target, "target");
        let really = truth.target(name.strip_prefix("emea/").unwrap()).unwrap();
        assert_eq!((text(target, "key_id").as_str(), really.pending.len()), (really.current(), 0), "{target}");
    }
    verified(site);
    happened.len()
}

/// `audit verify` finds the ledger sound.
pub(super) fn verified(site: &Site) {
    let verify = site.ask(&["audit", "verify"]);
    assert_eq!(verify.code, Some(0), "{verify:?}");
    assert!(verify.out.starts_with("verified "), "{verify:?}");
}

fn assert_same(account: &str, told: &BTreeSet<Change>, happened: &BTreeSet<Change>) {
    let untold: Vec<_> = happened.difference(told).collect();
    let made_up: Vec<_> = told.difference(happened).collect();
    assert!(untold.is_empty() && made_up.is_empty(), "{account} does not tell {untold:?} and makes up {made_up:?}");
}

/// The list as a set; fails on what is there twice.
fn once<T: Ord + std::fmt::Debug>(list: Vec<T>) -> BTreeSet<T> {
    let mut set = BTreeSet::new();
    for item in list {
        assert!(!set.contains(&item), "twice: {item:?}");
        set.insert(item);
    }
    set
}
