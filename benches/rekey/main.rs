//! Rekeying a fleet and doing nothing, measured beside what people use instead: `cargo bench --bench rekey`.
//!
//! One run takes about twelve minutes and prints two tables in Markdown; `--write` puts them into docs/performance.md. Words
//! after `--` choose: `rotate` or `rest` for one part, and `targets=1000,10000`, `think=0,5,50` (milliseconds), `rounds=3`,
//! `sizes=10,1000,10000,100000`, `quiet=60` (seconds), `records=1000000`, `binary=PATH` for less or other.
//!
//! Everything runs on this machine, the server too, and shares its cores. So the ratios within one run are what counts, and
//! beside them the processor time of each process, which its neighbours do not spoil.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::exit,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a measurement may fail, and prints"
)]
#![allow(clippy::disallowed_methods, reason = "what is measured is real time")]

#[path = "../ledger/fill.rs"]
mod fill;
mod floor;
mod loops;
mod place;
mod process;
mod report;
mod rest;
mod rotate;

use std::path::PathBuf;

/// What is to be measured.
pub(crate) struct Wanted {
    pub(crate) rotate: bool,
    pub(crate) rest: bool,
    pub(crate) targets: Vec<usize>,
    /// In milliseconds.
    pub(crate) think: Vec<u64>,
    pub(crate) rounds: usize,
    pub(crate) sizes: Vec<usize>,
    /// In seconds.
    pub(crate) quiet: u64,
    pub(crate) records: u64,
    pub(crate) binary: PathBuf,
    pub(crate) write: bool,
}

fn main() {
    let wanted = wanted();
    let mut report = report::Report::new();
    if wanted.rotate {
        loops::demand_programs();
        report.add("rotate", rotate::measure(&wanted));
    }
    if wanted.rest {
        report.add("rest", rest::measure(&wanted));
    }
    report.end(wanted.write);
}

fn wanted() -> Wanted {
    let mut wanted = Wanted {
        rotate: true,
        rest: true,
        targets: vec![1_000, 10_000],
        think: vec![0, 5, 50],
        rounds: 3,
        sizes: vec![10, 1_000, 10_000, 100_000],
        quiet: 60,
        records: 1_000_000,
        binary: env!("CARGO_BIN_EXE_rekeyd").into(),
        write: false,
    };
    for argument in std::env::args().skip(1) {
        match argument.split_once('=') {
            Some(("targets", list)) => wanted.targets = numbers(list),
            Some(("think", list)) => wanted.think = numbers(list),
            Some(("rounds", count)) => wanted.rounds = numbers(count)[0],
            Some(("sizes", list)) => wanted.sizes = numbers(list),
            Some(("quiet", seconds)) => wanted.quiet = numbers(seconds)[0],
            Some(("records", count)) => wanted.records = numbers(count)[0],
            Some(("binary", path)) => wanted.binary = path.into(),
            None if argument == "rotate" => wanted.rest = false,
            None if argument == "rest" => wanted.rotate = false,
            None if argument == "--write" => wanted.write = true,
            // Cargo's own.
            None if argument == "--bench" => {}
            Some(_) | None => {
                eprintln!("{argument}: the beginning of benches/rekey/main.rs says what can be asked for");
                std::process::exit(2);
            }
        }
    }
    wanted
}

fn numbers<T: std::str::FromStr<Err: std::fmt::Debug>>(list: &str) -> Vec<T> {
    list.split(',').map(|number| number.replace('_', "").parse().expect("a number")).collect()
}
