//! The first promise, by many lives drawn from a fixed set of seeds, in memory and in the real database. Other seeds are for
//! `cargo run --release --example simulation -- --seeds FROM..TO`.

use crate::world::simulation::{FAULTS, Report, run};

fn run_all(seeds: impl Iterator<Item = u64>) -> Report {
    let mut report = Report::default();
    seeds.for_each(|seed| report.add(run(seed, None)));
    report
}

fn assert_sound(report: &Report) {
    let first = report.violations.first().map_or("", String::as_str);
    assert!(report.violations.is_empty(), "{first}\nto see it again: cargo run --example simulation -- --seeds SEED");
}

/// Never two rotations where one was due, never one unrecorded; and every kind of fault really fired.
#[test]
fn the_promises_hold_for_a_fixed_set_of_seeds() {
    let report = run_all(0..60);
    assert_sound(&report);
    let quiet: Vec<_> = FAULTS.iter().filter(|fault| !report.fired.contains_key(**fault)).collect();
    assert!(quiet.is_empty(), "never fired: {quiet:?}");
}

/// The same with the real database, whose chain and tables are verified at the end.
#[test]
fn the_promises_hold_in_the_real_database() {
    for seed in 0..6 {
        let folder = tempfile::tempdir().unwrap();
        assert_sound(&run(seed, Some(folder.path().to_owned())));
    }
}
