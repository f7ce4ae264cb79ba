//! What a long history costs: the start of the daemon, the questions of people, verification, and the evidence of a year.
//!
//! `cargo bench --bench ledger -- RECORDS [FOLDER]` makes a ledger of so many records (a million, if nothing is said), with a
//! thousand targets over ten years, and prints a table. It is made in the folder and found there again by the next run;
//! without one it goes away. Ten million records take some minutes to make, and seven gigabytes. The floor of a verification is
//! SHA-256 over the same bytes on one core.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measurement may fail, and prints")]
#![expect(clippy::disallowed_methods, reason = "what is measured is real time")]

#[path = "ledger/fill.rs"]
mod fill;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rekeyd::domain::{LedgerFilter, RotationFilter, Selection};
use rekeyd::evidence::{Span, Wanted, export};
use rekeyd::policy::{ManagerRules, Policy, Rules};
use rekeyd::ports::Archive;
use rekeyd::store::chain::Record;
use rekeyd::store::{DATABASE, Demands, Reader, Store};
use rusqlite::{Connection, OpenFlags};
use sha2::{Digest, Sha256};

const ROUNDS: usize = 21;

fn main() {
    // Cargo adds an argument of its own.
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let records = arguments.next().map_or(1_000_000, |number| number.parse().unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let dir = arguments.next().map_or(scratch.path().join("state"), PathBuf::from);
    let slots = records / (fill::TARGETS * fill::STEPS);
    // Ten years, however many rotations that is for each target.
    let step = SignedDuration::from_secs(i64::try_from(10 * 365 * 86_400 / slots.max(1)).unwrap());
    let made = fill::made(&dir, slots, step);
    println!("{} records, {} MB on disk{made}", newest(&dir), size(&dir));

    // After the first one: that may have to migrate.
    drop(Store::open(&dir, [1; 32]).unwrap());
    forget_memory();
    let (store, took) = timed(|| Store::open(&dir, [1; 32]).unwrap());
    row("start: the ledger is opened", took, "");
    questions(&store);
    drop(store);
    row_of_memory("a daemon, and the questions");

    forget_memory();
    reading(&dir);
    let reader = Reader::open(&dir).unwrap();
    verification(&reader);
    row_of_memory("verify");

    forget_memory();
    let rules = rules();
    evidence(&reader, &rules, "the ledger's last year", "2025-01-01", "2025-12-31");
    row_of_memory("evidence");
    let monthly = scratch.path().join("monthly");
    fill::made(&monthly, 12, SignedDuration::from_hours(30 * 24));
    let reader = Reader::open(&monthly).unwrap();
    evidence(&reader, &rules, "a year of monthly rotations alone", "2016-01-01", "2016-12-31");
}

fn questions(store: &Store) {
    let name = fill::target(fill::TARGETS / 2).name().to_string();
    let about = Selection { target: Some(name), ..Selection::default() };
    let one = RotationFilter { selection: about.clone(), ..RotationFilter::default() };
    ask("history of one target, newest 100", || store.rotations(&one, 100).unwrap().rows.len());
    let all = RotationFilter::default();
    ask("history of all, newest 100", || store.rotations(&all, 100).unwrap().rows.len());
    let newest = store.rotations(&all, 1).unwrap().rows.first().map_or(fill::start(), |row| row.began_at);
    let newest_day = Selection { since: Some(newest - SignedDuration::from_hours(24)), ..Selection::default() };
    let day = RotationFilter { selection: newest_day.clone(), ..RotationFilter::default() };
    ask("history of all, the newest day", || store.rotations(&day, u32::MAX).unwrap().rows.len());
    let key = RotationFilter { key: Some(fill::key(7, 1)), ..RotationFilter::default() };
    ask("history by a key's id", || store.rotations(&key, 100).unwrap().rows.len());
    let kind = LedgerFilter { kinds: vec!["rotation_done".to_owned()], ..LedgerFilter::default() };
    ask("records of one kind, newest 100", || store.records(&kind, 100).unwrap().rows.len());
    let about = LedgerFilter { selection: about, ..LedgerFilter::default() };
    ask("records about one target, newest 100", || store.records(&about, 100).unwrap().rows.len());
    let day = LedgerFilter { selection: newest_day, ..LedgerFilter::default() };
    ask("records of the newest day", || store.records(&day, u32::MAX).unwrap().rows.len());
}

/// What `SQLite` takes to hand out the columns that are hashed: no verification that reads by it is faster on one core.
fn reading(dir: &Path) {
    let conn = Connection::open_with_flags(dir.join(DATABASE), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut statement = conn
        .prepare("SELECT seq, at, kind, actor, target, rotation, payload, prev_hash, hash FROM ledger ORDER BY seq")
        .unwrap();
    let took = on_core(|| {
        let mut rows = statement.query([]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            for column in 0..9 {
                black_box(row.get_ref(column).unwrap());
            }
        }
    });
    row("the same columns read, and nothing done with them", took, "");
}

fn verification(reader: &Reader) {
    let (mut stream, mut single, mut total, mut after) = (Duration::ZERO, Duration::ZERO, 0, 0);
    let (mut bytes, mut lengths) = (Vec::new(), Vec::new());
    loop {
        let page = reader.records(after, 4096).unwrap();
        let Some(last) = page.last() else { break };
        after = last.seq;
        bytes.clear();
        lengths.clear();
        for record in &page {
            let before = bytes.len();
            lay_out(&mut bytes, record);
            lengths.push(bytes.len() - before);
        }
        total += bytes.len();
        stream += on_core(|| {
            black_box(Sha256::digest(&bytes));
        });
        let each = || {
            lengths.iter().fold(bytes.as_slice(), |rest, length| {
                let (one, rest) = rest.split_at(*length);
                black_box(Sha256::digest(one));
                rest
            })
        };
        single += on_core(|| assert!(each().is_empty()));
    }
    let speed = |took: Duration| {
        let ratio = stream.as_secs_f64() / took.as_secs_f64();
        format!("{:>6.0} MB/s, {ratio:.2} of the floor", total as f64 / 1e6 / took.as_secs_f64())
    };
    row("SHA-256 over the same bytes as one stream", stream, &speed(stream));
    row("SHA-256 over each record's bytes", single, &speed(single));
    let chain = Demands { since: Some(Timestamp::UNIX_EPOCH), ..Demands::default() };
    let before = cpu();
    let (verified, took) = timed(|| reader.verify_against(&chain, |_, _| ControlFlow::Continue(())).unwrap());
    let spent = format!("{}; {:.1} s on cores", speed(took), cpu() - before);
    row(&format!("verify --since, {} records", verified.records), took, &spent);
    let before = cpu();
    let (verified, took) = timed(|| reader.verify(|_, _| {}).unwrap());
    assert!(verified.tables);
    let spent = format!("{}; {:.1} s on cores", speed(took), cpu() - before);
    row(&format!("verify, {} records and their tables", verified.records), took, &spent);
}

/// By the specification, and not by the code that is measured.
fn lay_out(bytes: &mut Vec<u8>, record: &Record) {
    bytes.extend_from_slice(b"rekeyd-ledger-v1");
    bytes.extend_from_slice(&record.prev_hash);
    bytes.extend_from_slice(&record.seq.to_be_bytes());
    bytes.extend_from_slice(&record.at.as_microsecond().to_be_bytes());
    for text in [&record.kind, &record.actor, &record.target, &record.rotation, &record.payload] {
        bytes.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
}

fn rules() -> Rules {
    let policy = Arc::new(Policy::with_defaults("default".into()));
    let manager = ManagerRules::new(4, policy);
    Rules { managers: BTreeMap::from([("emea".into(), manager)]), ..Rules::default() }
}

fn evidence(reader: &Reader, rules: &Rules, what: &str, from: &str, to: &str) {
    let dir = tempfile::tempdir().unwrap();
    let span = Span::new(from.parse().unwrap(), to.parse().unwrap(), Timestamp::now()).unwrap();
    for (form, archive) in [("folder", None), ("tar.gz", Some("bundle"))] {
        let path = dir.path().join(form);
        let before = cpu();
        let ((), took) =
            timed(|| export(reader, &[], rules, Wanted { span, path: &path, archive }, |_, _| {}).unwrap());
        row(
            &format!("evidence of {what}, {form}"),
            took,
            &format!("{} MB; {:.1} s on cores", size(&path), cpu() - before),
        );
    }
}

/// The median of some rounds, after one that warms up.
fn ask(what: &str, mut question: impl FnMut() -> usize) {
    let rows = question();
    let mut took: Vec<Duration> = (0..ROUNDS).map(|_| on_core(|| assert_eq!(question(), rows))).collect();
    took.sort_unstable();
    row(what, *took.get(ROUNDS / 2).unwrap(), &format!("{rows:>8} rows, on a core"));
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let done = work();
    (done, began.elapsed())
}

/// How long this thread was on a core: where others want the cores too, the clock on the wall would count them in.
fn on_core(work: impl FnOnce()) -> Duration {
    let so_far = || {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
        Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
    };
    let before = so_far();
    work();
    so_far() - before
}

fn row(what: &str, took: Duration, more: &str) {
    println!("{what:<56} {:>10.2} ms  {more}", took.as_secs_f64() * 1e3);
}

/// The most that was resident since it was last forgotten, as the kernel counts it.
fn row_of_memory(what: &str) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("unknown");
    println!("{:<56} {:>13}", format!("most memory resident: {what}"), line.trim());
}

fn forget_memory() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// Seconds of all threads so far, in user mode and in the kernel's.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let ticks = stat.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

fn newest(dir: &Path) -> u64 {
    Reader::open(dir).unwrap().head().unwrap().seq
}

/// In megabytes.
fn size(path: &Path) -> u64 {
    match std::fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| entry.unwrap().metadata().unwrap().len()).sum::<u64>() / 1_000_000,
        Err(_) => std::fs::metadata(path).unwrap().len() / 1_000_000,
    }
}
