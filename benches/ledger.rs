//! What a long history costs: the questions of people, verification, and the evidence of a year.
//!
//! `cargo bench --bench ledger -- RECORDS` makes a ledger of so many records (a million, if nothing is said), with a
//! thousand targets, and prints a table. The floor of a verification is SHA-256 over the same bytes on one core.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement may fail, and prints")]
#![expect(clippy::disallowed_methods, reason = "what is measured is real time")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rekeyd::domain::{
    Actor, Entry, Event, How, KeyId, LedgerFilter, Listing, Mechanism, Role, RotationFilter, RotationId, Target,
};
use rekeyd::evidence::{Span, files, gather};
use rekeyd::policy::{ManagerRules, Policy, Rules};
use rekeyd::ports::{Archive, Journal};
use rekeyd::store::{Demands, Reader, Store};

const TARGETS: u64 = 1_000;
/// A rotation leaves so many records.
const STEPS: u64 = 4;
const ROUNDS: usize = 21;

fn main() {
    // Cargo adds an argument of its own.
    let records = std::env::args().find_map(|argument| argument.parse::<u64>().ok()).unwrap_or(1_000_000);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let slots = records / (TARGETS * STEPS);
    // Ten years, however many rotations that is for each target.
    let step = SignedDuration::from_secs(i64::try_from(10 * 365 * 86_400 / slots.max(1)).unwrap());
    let (store, made) = timed(|| runtime.block_on(fill(dir.path(), slots, step)));
    println!("{} records made in {:.1} s", store.head().seq, made.as_secs_f64());
    questions(&store);
    let reader = Reader::open(dir.path()).unwrap();
    verification(&reader);
    drop(store);
    year(&runtime);
    println!("{:<48} {:>10}", "most memory resident", memory());
}

async fn fill(dir: &Path, slots: u64, step: SignedDuration) -> Store {
    let store = Store::open(dir, [1; 32]).unwrap();
    let policy = Policy::with_defaults("default".into());
    let words = Event::PolicySet { policy: "default".into(), words: policy.to_string() };
    store.record(vec![entry(start(), words)]).await.unwrap();
    let found = (0..TARGETS).flat_map(|number| {
        let description = target(number);
        let seen = Event::KeySeen { target: description.id(), key: key(number, 0), looked_at: None };
        [Event::TargetFound { description, listing: Listing::Eligible }, seen]
    });
    store.record(found.map(|event| entry(start(), event)).collect()).await.unwrap();
    for slot in 1..=slots {
        let at = start() + step * i32::try_from(slot).unwrap();
        store.record((0..TARGETS).flat_map(|number| rotation(number, slot, at)).collect()).await.unwrap();
    }
    store
}

fn rotation(number: u64, slot: u64, at: Timestamp) -> [Entry; 4] {
    let (target, rotation) = (target(number).id(), RotationId { slot, attempt: 1 });
    let (key_before, key_after) = (key(number, slot - 1), key(number, slot));
    let at = |seconds: u64| at + SignedDuration::from_secs(i64::try_from(number + seconds).unwrap());
    let intended = Event::RotationIntended {
        target: target.clone(),
        rotation,
        due_at: at(0),
        key_before: key_before.clone(),
        looked_at: at(0),
    };
    let done = Event::RotationDone {
        target: target.clone(),
        rotation,
        due_at: at(0),
        how: How::Rotated,
        key_before,
        key_after,
        last_seen: at(0),
        looked_at: None,
    };
    [
        entry(at(0), intended),
        entry(at(0), Event::RotationSending { target: target.clone(), rotation, looked_at: None }),
        entry(at(1), Event::RotationAccepted { target, rotation, status: 200 }),
        entry(at(3), done),
    ]
}

fn questions(store: &Store) {
    let name = target(TARGETS / 2).name().to_string();
    let one = RotationFilter { target: Some(name.clone()), ..RotationFilter::default() };
    ask("history of one target, newest 100", || store.rotations(&one, 100).unwrap().rows.len());
    let all = RotationFilter::default();
    ask("history of all, newest 100", || store.rotations(&all, 100).unwrap().rows.len());
    let newest = store.rotations(&all, 1).unwrap().rows.first().map_or(start(), |row| row.began_at);
    let day = RotationFilter { since: Some(newest - SignedDuration::from_hours(24)), ..RotationFilter::default() };
    ask("history of all, the newest day", || store.rotations(&day, u32::MAX).unwrap().rows.len());
    let key = RotationFilter { key: Some(key(7, 1)), ..RotationFilter::default() };
    ask("history by a key's id", || store.rotations(&key, 100).unwrap().rows.len());
    let kind = LedgerFilter { kinds: vec!["rotation_done".to_owned()], ..LedgerFilter::default() };
    ask("records of one kind, newest 100", || store.records(&kind, 100).unwrap().rows.len());
    let about = LedgerFilter { target: Some(name), ..LedgerFilter::default() };
    ask("records about one target, newest 100", || store.records(&about, 100).unwrap().rows.len());
}

fn verification(reader: &Reader) {
    let (mut floor, mut bytes, mut after) = (Duration::ZERO, 0, 0);
    loop {
        let page = reader.records(after, 4096).unwrap();
        let Some(last) = page.last() else { break };
        after = last.seq;
        // The fields' own bytes, their lengths, and what stands before them.
        bytes += page
            .iter()
            .map(|one| {
                84 + one.kind.len() + one.actor.len() + one.target.len() + one.rotation.len() + one.payload.len()
            })
            .sum::<usize>();
        let ((), took) = timed(|| {
            page.iter().for_each(|record| {
                black_box(record.expected_hash());
            })
        });
        floor += took;
    }
    let speed = |took: Duration| {
        format!("{:>9.0} ms {:>8.0} MB/s", took.as_secs_f64() * 1e3, bytes as f64 / 1e6 / took.as_secs_f64())
    };
    println!("{:<48} {}", "SHA-256 over the same bytes", speed(floor));
    let chain = Demands { since: Some(Timestamp::UNIX_EPOCH), ..Demands::default() };
    let go_on = |_, _| std::ops::ControlFlow::Continue(());
    let (verified, took) = timed(|| reader.verify_against(&chain, go_on).unwrap());
    println!("{:<48} {}", format!("verify --since, {} records", verified.records), speed(took));
    let (verified, took) = timed(|| reader.verify(|_, _| {}).unwrap());
    println!("{:<48} {}", format!("verify, {} records and their tables", verified.records), speed(took));
}

/// A year of a thousand targets that are rotated once a month.
fn year(runtime: &tokio::runtime::Runtime) {
    let dir = tempfile::tempdir().unwrap();
    drop(runtime.block_on(fill(dir.path(), 12, SignedDuration::from_hours(30 * 24))));
    let policy = Arc::new(Policy::with_defaults("default".into()));
    let manager = ManagerRules::new(4, policy);
    let rules = Rules { managers: BTreeMap::from([("emea".into(), manager)]), ..Rules::default() };
    let reader = Reader::open(dir.path()).unwrap();
    let span = Span::new("2016-01-01".parse().unwrap(), "2016-12-31".parse().unwrap(), Timestamp::now()).unwrap();
    let (bundle, took) = timed(|| files(&gather(&reader, &[], &rules, span).unwrap()));
    let size: usize = bundle.iter().map(|file| file.bytes.len()).sum();
    println!(
        "{:<48} {:>9.0} ms {:>8.0} MB",
        "evidence of a year of 1,000 targets",
        took.as_secs_f64() * 1e3,
        size as f64 / 1e6
    );
}

/// The median of some rounds, after one that warms up.
fn ask(what: &str, mut question: impl FnMut() -> usize) {
    let rows = question();
    let mut took: Vec<Duration> = (0..ROUNDS).map(|_| timed(&mut question).1).collect();
    took.sort_unstable();
    let median = took.get(ROUNDS / 2).unwrap().as_secs_f64() * 1e3;
    println!("{:<48} {median:>9.2} ms {rows:>8} rows", what);
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let done = work();
    (done, began.elapsed())
}

/// As the kernel counts it.
fn memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown");
    line.trim().to_owned()
}

fn start() -> Timestamp {
    "2016-01-01T00:00:00Z".parse().unwrap()
}

fn entry(at: Timestamp, event: Event) -> Entry {
    Entry { at, actor: Actor::Schedule, event }
}

fn key(number: u64, slot: u64) -> KeyId {
    format!("6f9619ff-8b86-{number:04x}-b42d-{slot:012x}").as_str().into()
}

fn target(number: u64) -> Target {
    Target {
        manager: "emea".into(),
        project_id: "5f00000000000000000000aa".into(),
        project: "billing".to_owned(),
        cluster_id: format!("6a{number:022x}").as_str().into(),
        cluster: format!("cluster-{:03}", number / 4),
        replica_set: format!("shard-{}", number % 4),
        role: Role::Shard,
        mechanism: Mechanism::BackupKey,
    }
}
