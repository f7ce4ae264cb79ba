//! Runs the seeded simulation for as many seeds as one likes: `cargo run --release --example simulation -- --seeds 0..10000`.
//! With `--store` the ledger is a real database. `--year 1000` holds a year's plan for so many targets against what was done.
//! Exit status 1 if a promise was broken.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    dead_code,
    reason = "it shares its world with the tests"
)]

#[path = "../tests/it/world/mod.rs"]
mod world;

use std::ops::Range;
use std::process::ExitCode;

use clap::Parser;
use world::simulation::{FAULTS, Report, run};

/// Lives of the daemon, drawn from seeds.
#[derive(Parser)]
struct Arguments {
    /// One seed, or FIRST..END.
    #[arg(long, value_parser = seeds, default_value = "0..1000")]
    seeds: Range<u64>,
    /// Keep the ledger in a real database.
    #[arg(long)]
    store: bool,
    /// Tell every seed's ledger.
    #[arg(long)]
    story: bool,
    /// Not seeds, but a year with so many targets in which nothing fails: whether every PUT leaves in the second for which it was
    /// planned.
    #[arg(long, value_name = "TARGETS")]
    year: Option<usize>,
    /// Stop at the first violation.
    #[arg(long)]
    first: bool,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text:?}: {error}"));
    match text.split_once("..") {
        Some((first, end)) => Ok(number(first)?..number(end)?),
        None => number(text).map(|seed| seed..seed + 1),
    }
}

fn year(targets: usize) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    match runtime.block_on(world::year::compare(targets)) {
        Ok(year) => {
            println!(
                "{targets} targets, {} slots planned and sent, the latest {} after its moment",
                year.planned, year.latest
            );
            println!("{} of them waited for a window or a freeze; {} windows missed", year.waited, year.missed);
            year.held.iter().for_each(|(freeze, slots)| println!("{slots} held by freeze {freeze}"));
            ExitCode::SUCCESS
        }
        Err(violation) => {
            println!("{violation}");
            ExitCode::FAILURE
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(targets) = arguments.year {
        return year(targets);
    }
    let mut report = Report::default();
    for seed in arguments.seeds {
        let folder = arguments.store.then(|| tempfile::tempdir().unwrap());
        let one = run(seed, folder.as_ref().map(|folder| folder.path().to_owned()));
        for violation in &one.violations {
            println!("{violation}");
        }
        if arguments.story {
            one.story.iter().for_each(|entry| println!("{} {:?}", entry.at, entry.event));
        }
        report.add(one);
        if arguments.first && !report.violations.is_empty() {
            break;
        }
    }
    let years = report.simulated.as_secs_f64() / (365.25 * 86_400.0);
    println!("{} seeds, {years:.0} simulated years, {} violations", report.seeds, report.violations.len());
    println!("{} PUTs, {} new keys by them, {} records", report.puts, report.rotations, report.records);
    for (fault, count) in &report.fired {
        println!("{count:>9}  {fault}");
    }
    for fault in FAULTS.iter().filter(|fault| !report.fired.contains_key(**fault)) {
        println!("    never  {fault}");
    }
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
