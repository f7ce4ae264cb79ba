//! A quiet day: what the daemon costs by being there, by the size of its fleet and of its history.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rekeyd::policy::{ManagerRules, Policy, Rules, looks, passed, plan};
use rekeyd::ports::Journal;
use rekeyd::store::Store;

use crate::place::{Daemon, Server, get};
use crate::report::{Table, median};
use crate::{Wanted, fill};

const TIMES: usize = 5;

/// A daemon as it ships, that knows every key.
struct Quiet {
    targets: usize,
    server: Server,
    daemon: Daemon,
    /// The first start, which lists everything for the first time.
    first: Duration,
    again: Duration,
    dir: tempfile::TempDir,
}

pub(crate) fn measure(wanted: &Wanted) -> Vec<Table> {
    let quiet: Vec<_> = wanted.sizes.iter().map(|targets| Quiet::new(&wanted.binary, *targets)).collect();
    // The check of the ledger that a start begins is done by then, and the page cache has been written back.
    std::thread::sleep(Duration::from_secs(10));
    eprintln!("all of them quiet for {} s", wanted.quiet);
    let before: Vec<_> = quiet.iter().map(|one| one.daemon.process.cpu()).collect();
    let began = Instant::now();
    std::thread::sleep(Duration::from_secs(wanted.quiet));
    let cpu: Vec<_> = quiet.iter().zip(before).map(|(one, before)| one.daemon.process.cpu() - before).collect();
    let took = began.elapsed();
    let mut table = Table::new([
        "targets",
        "CPU s an hour",
        "of one core",
        "memory",
        "kB a target",
        "first READY",
        "READY again",
        "a sweep",
        "a scrape",
    ]);
    let smallest = quiet[0].daemon.process.memory();
    for (one, cpu) in quiet.into_iter().zip(cpu) {
        let share = cpu.as_secs_f64() / took.as_secs_f64();
        let memory = one.daemon.process.memory();
        let each = memory.saturating_sub(smallest) as f64 / one.targets as f64;
        let scrape = median(&(0..TIMES).map(|_| timed(|| drop(get(one.daemon.http, "/metrics")))).collect::<Vec<_>>());
        let (targets, first, again) = (one.targets, one.first, one.again);
        let sweep = one.sweep();
        table.row([
            targets.to_string(),
            format!("{:.1}", share * 3600.0),
            format!("{:.2} %", share * 100.0),
            format!("{:.0} MB", memory as f64 / 1024.0),
            format!("{each:.2}"),
            format!("{:.0} ms", first.as_secs_f64() * 1e3),
            format!("{:.0} ms", again.as_secs_f64() * 1e3),
            format!("{:.1} ms", sweep * 1e3),
            format!("{:.1} ms", scrape * 1e3),
        ]);
    }
    eprintln!("{}", table.markdown());
    vec![table, others(wanted)]
}

impl Quiet {
    fn new(binary: &Path, targets: usize) -> Self {
        eprintln!("a daemon with {targets} targets");
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(binary, dir.path(), targets);
        // With the limits lifted it reads the keys for the first time in seconds, and not in hours.
        let daemon = Daemon::start(binary, dir.path(), &server, Some(64));
        daemon.wait_for_keys(&server, targets);
        let first = daemon.ready;
        daemon.process.stop();
        let daemon = Daemon::start(binary, dir.path(), &server, Some(64));
        let again = daemon.ready;
        daemon.process.stop();
        let daemon = Daemon::start(binary, dir.path(), &server, None);
        Self { targets, server, daemon, first, again, dir }
    }

    /// What the loop does each time: plan, see what went by, see which keys to look at. In seconds.
    fn sweep(self) -> f64 {
        self.daemon.process.stop();
        drop(self.server);
        let store = Store::open(&self.dir.path().join("state"), [1; 32]).unwrap();
        let (fleet, now) = (store.fleet(), Timestamp::now());
        let manager = ManagerRules::new(4, Arc::new(Policy::with_defaults("default".into())));
        let rules = Rules { managers: BTreeMap::from([("emea".into(), manager)]), ..Rules::default() };
        let sweep = || {
            let plan = plan(now, &fleet, &rules, &BTreeSet::new());
            std::hint::black_box((
                passed(now, now, &fleet, &rules, &plan),
                looks(now, &fleet, &rules, &BTreeMap::new()),
            ));
        };
        median(&(0..TIMES).map(|_| timed(sweep)).collect::<Vec<_>>())
    }
}

/// A long history, and the binary.
fn others(wanted: &Wanted) -> Table {
    let mut table = Table::new(["", "is", "goal"]);
    let dir = tempfile::tempdir().unwrap();
    let server = Server::start(&wanted.binary, dir.path(), 10);
    let state = dir.path().join("state");
    let (slots, step) = (wanted.records / (fill::TARGETS * fill::STEPS), SignedDuration::from_hours(6));
    fill::made(&state, slots, step);
    let starts = (0..TIMES).map(|_| {
        let daemon = Daemon::start(&wanted.binary, dir.path(), &server, Some(64));
        let ready = daemon.ready.as_secs_f64() * 1e3;
        daemon.process.stop();
        ready
    });
    let starts: Vec<_> = starts.collect();
    table.row([
        format!("READY with {} records", wanted.records),
        format!("{:.0} ms", median(&starts)),
        "< 200 ms".into(),
    ]);
    let size = std::fs::metadata(&wanted.binary).unwrap().len();
    table.row(["the binary, stripped".into(), format!("{:.1} MB", size as f64 / 1e6), "< 20 MB".into()]);
    table
}

/// In seconds.
fn timed(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64()
}
