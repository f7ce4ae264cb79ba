//! A key server is lost: every key is to be rotated now. How many rotations a second, beside what people use instead and
//! beside the floor.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::place::{Daemon, Server};
use crate::report::{Table, median, spread};
use crate::{Wanted, floor, loops, process};

/// The loops are slow: so many rotations show how slow.
const BASH: usize = 30;
const PYTHON: usize = 150;
const THREADS: usize = 16;
/// As many requests at one time as the floor has connections.
const FLOOR: usize = floor::CONNECTIONS;
/// As many as pay. Neither loop has a limit of its own, so this is what they are compared with.
const MANY: usize = 512;

/// Everyone who is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    Rekeyd(usize),
    /// The same with [`MANY`] in flight.
    Many(usize),
    Bash,
    Python,
    PythonThreads,
    Floor(usize),
    Commits(usize),
}

/// One run of one of them.
struct Run {
    rotations: usize,
    took: Duration,
    /// Processor time of who did it, and of the server; of the daemon without the command that waits.
    cpu: Duration,
    server: Duration,
}

impl Run {
    fn rate(&self) -> f64 {
        self.rotations as f64 / self.took.as_secs_f64()
    }
}

type Runs = BTreeMap<(u64, Who), Vec<Run>>;

/// A daemon with its server, ready to rotate, and the same server again for the others: a key that they rotate is not one
/// that the daemon has to.
struct Fleet {
    targets: usize,
    daemon: Daemon,
    server: Server,
    other: Server,
    paths: Arc<Vec<String>>,
    dir: tempfile::TempDir,
}

pub(crate) fn measure(wanted: &Wanted) -> Vec<Table> {
    let fleets: Vec<_> = wanted.targets.iter().map(|targets| Fleet::new(&wanted.binary, *targets, FLOOR)).collect();
    let largest = wanted.targets.iter().copied().max().unwrap();
    let many = Fleet::new(&wanted.binary, largest, MANY);
    let mut runs = Runs::new();
    let mut requests = Vec::new();
    for round in 1..=wanted.rounds {
        for think in &wanted.think {
            for fleet in &fleets {
                fleet.server.think(*think);
                fleet.other.think(*think);
                eprintln!("round {round}, think time {think} ms, {} targets", fleet.targets);
                let mut take = |who, run| runs.entry((*think, who)).or_default().push(run);
                let (run, counted) = fleet.rekeyd();
                requests.push(counted.requests as f64 / fleet.targets as f64);
                take(Who::Rekeyd(fleet.targets), run);
                take(Who::Floor(fleet.targets), fleet.floor());
                take(Who::Commits(fleet.targets), fleet.commits(&counted));
            }
            many.server.think(*think);
            runs.entry((*think, Who::Many(largest))).or_default().push(many.rekeyd().0);
            let fleet = &fleets[0];
            let (server, dir) = (&fleet.other, fleet.dir.path());
            let mut take = |who, run| runs.entry((*think, who)).or_default().push(run);
            let part = |most: usize| &fleet.paths[..most.min(fleet.targets)];
            take(Who::Bash, fleet.timed(part(BASH).len(), || loops::bash(server, dir, part(BASH))));
            take(Who::Python, fleet.timed(part(PYTHON).len(), || loops::python(server, dir, part(PYTHON), 1)));
            let many = part(4 * PYTHON);
            take(Who::PythonThreads, fleet.timed(many.len(), || loops::python(server, dir, many, THREADS)));
        }
    }
    fleets.into_iter().chain([many]).for_each(Fleet::end);
    let mut tables = vec![rates(wanted, &runs), ratios(wanted, &runs)];
    let mut counts = Table::new(["", "median", "goal"]);
    counts.row([
        "requests for each confirmed rotation".to_owned(),
        format!("{:.3}", median(&requests)),
        "≤ 3.05".into(),
    ]);
    tables.push(counts);
    tables
}

/// What the daemon itself counted.
struct Counted {
    requests: u64,
    commits: u64,
    records: u64,
}

impl Fleet {
    fn new(binary: &Path, targets: usize, in_flight: usize) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(binary, dir.path(), targets);
        let other = Server::start(binary, dir.path(), targets);
        let daemon = Daemon::start(binary, dir.path(), &server, Some(in_flight));
        daemon.wait_for_keys(&server, targets);
        let paths = Arc::new(other.paths());
        let fleet = Self { targets, daemon, server, other, paths, dir };
        // Once to warm up: connections, nonces, pages.
        fleet.daemon.rotate_all();
        fleet
    }

    fn rekeyd(&self) -> (Run, Counted) {
        let commits = || self.daemon.metric("rekeyd_ledger_commit_duration_seconds_count", |n| n) as u64;
        let records = || self.daemon.metric("rekeyd_ledger_head_seq", |n| n) as u64;
        let before = (self.server.count("total"), commits(), records());
        let (daemon, server) = (self.daemon.process.cpu(), self.server.process.cpu());
        let began = Instant::now();
        self.daemon.rotate_all();
        let took = began.elapsed();
        let run = Run {
            rotations: self.targets,
            took,
            cpu: self.daemon.process.cpu() - daemon,
            server: self.server.process.cpu() - server,
        };
        let (requests, commits, records) =
            (self.server.count("total") - before.0, commits() - before.1, records() - before.2);
        assert!(requests >= 3 * self.targets as u64, "each key is looked at, rotated and looked at again");
        (run, Counted { requests, commits, records })
    }

    fn floor(&self) -> Run {
        self.timed(self.targets, || floor::requests(self.other.address, &self.other.key, &self.paths))
    }

    fn commits(&self, counted: &Counted) -> Run {
        eprintln!("  {} records in {} commits", counted.records, counted.commits);
        self.timed(self.targets, || floor::commits(self.dir.path(), counted.records, counted.commits))
    }

    /// Runs something that is done by this process or its children.
    fn timed(&self, rotations: usize, work: impl FnOnce() -> Duration) -> Run {
        let (own, server) = (process::own_cpu(), self.other.process.cpu());
        let took = work();
        Run { rotations, took, cpu: process::own_cpu() - own, server: self.other.process.cpu() - server }
    }

    fn end(self) {
        self.daemon.process.stop();
    }
}

impl Who {
    fn name(self) -> String {
        match self {
            Self::Rekeyd(targets) => format!("(a) `rekeyd rotate --all`, {targets} targets, {FLOOR} in flight"),
            Self::Many(targets) => format!("(a) `rekeyd rotate --all`, {targets} targets, {MANY} in flight"),
            Self::Bash => "(b) bash, `curl --digest`, `sqlite3`".to_owned(),
            Self::Python => "(c) Python, `requests`, `sqlite3`".to_owned(),
            Self::PythonThreads => format!("(c) the same with {THREADS} threads"),
            Self::Floor(targets) => format!("(d) the requests of (a) alone, {targets} targets"),
            Self::Commits(targets) => format!("(d) the commits of (a) alone, {targets} targets"),
        }
    }
}

fn rates(wanted: &Wanted, runs: &Runs) -> Table {
    let mut table = Table::new(["think time", "who", "rotations/s", "spread", "CPU ms a rotation", "server's"]);
    for think in &wanted.think {
        for ((_, who), runs) in runs.range((*think, Who::Rekeyd(0))..=(*think, Who::Commits(usize::MAX))) {
            let of = |figure: &dyn Fn(&Run) -> f64| runs.iter().map(figure).collect::<Vec<_>>();
            let each = |of: fn(&Run) -> Duration| move |run: &Run| of(run).as_secs_f64() * 1e3 / run.rotations as f64;
            let rates = of(&Run::rate);
            table.row([
                format!("{think} ms"),
                who.name(),
                format!("{:.0}", median(&rates)),
                spread(&rates),
                format!("{:.2}", median(&of(&each(|run| run.cpu)))),
                format!("{:.2}", median(&of(&each(|run| run.server)))),
            ]);
        }
    }
    table
}

fn ratios(wanted: &Wanted, runs: &Runs) -> Table {
    let mut table = Table::new(["think time", "ratio", "is", "goal"]);
    let largest = wanted.targets.iter().copied().max().unwrap();
    let smallest = wanted.targets.iter().copied().min().unwrap();
    for think in &wanted.think {
        let rate = |who| runs.get(&(*think, who)).map(|runs| median(&runs.iter().map(Run::rate).collect::<Vec<_>>()));
        let mut row = |what: &str, one: Option<f64>, other: Option<f64>, goal: &str| {
            let Some((one, other)) = one.zip(other) else { return };
            table.row([format!("{think} ms"), what.to_owned(), format!("{:.2}", one / other), goal.to_owned()]);
        };
        let (ours, many) = (rate(Who::Rekeyd(largest)), rate(Who::Many(largest)));
        let best = rate(Who::Python).zip(rate(Who::PythonThreads)).map(|(one, many)| one.max(many));
        let floor = match think {
            0 => "≥ 0.5",
            5 => "≥ 0.8",
            _ => "",
        };
        row(&format!("(a), {MANY} in flight, to bash (b)"), many, rate(Who::Bash), "≥ 50");
        row(&format!("(a), {MANY} in flight, to the better Python (c)"), many, best, "≥ 5");
        row(&format!("(a), {FLOOR} in flight, to its requests alone (d)"), ours, rate(Who::Floor(largest)), floor);
        row("(a) to its commits alone (d)", ours, rate(Who::Commits(largest)), "");
        row(&format!("(a) with {largest} targets to (a) with {smallest}"), ours, rate(Who::Rekeyd(smallest)), "≥ 1");
    }
    table
}
