//! The machine's clock moved by hours and weeks under the real daemon, with libfaketime: nothing early, nothing twice, nothing
//! silent, and no rush.

use std::process::Command;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use rekeyd::domain::Event;
use rekeyd::simulator::{FleetSpec, Simulator, SimulatorSpec, Truth};

use super::accounts::{agree, all_settled, ledger, verified};
use super::site::{Running, Site, Wanted, finish, until};

const TARGETS: usize = 60;
const MAX_CONCURRENT: usize = 4;
const REQUESTS_PER_SECOND: u32 = 20;
/// Of a quarter of an hour, less a little.
const HOUR_IN_STEPS: usize = 5;
/// More than two sweeps.
const A_WHILE: Duration = Duration::from_secs(12);

/// A wall clock that is as far from the true one as a file says. The clock that only runs is left alone.
struct WallClock<'a> {
    site: &'a Site,
    library: String,
}

impl<'a> WallClock<'a> {
    fn of(site: &'a Site) -> Self {
        let told = Command::new("faketime").args(["-m", "-f", "+0", "sh", "-c", "echo $LD_PRELOAD"]).output();
        let told = told.expect("this test needs faketime: install faketime");
        let clock = Self { site, library: String::from_utf8(told.stdout).unwrap().trim().to_owned() };
        clock.set(SignedDuration::ZERO);
        clock
    }

    /// Puts the clock so far from the true time.
    fn set(&self, ahead: SignedDuration) {
        let (new, file) = (self.site.path().join("ahead.new"), self.site.path().join("ahead"));
        std::fs::write(&new, format!("{:+}", ahead.as_secs())).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.site.command(arguments);
        command.env("LD_PRELOAD", &self.library);
        command.env("FAKETIME_TIMESTAMP_FILE", self.site.path().join("ahead"));
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
        command
    }
}

/// The steps on record, in seconds.
fn steps(site: &Site) -> Vec<i64> {
    let records = ledger(site);
    let steps = records.iter().filter_map(|record| match record.event().unwrap() {
        Event::ClockStepped { by_s } => Some(by_s),
        _ => None,
    });
    steps.collect()
}

/// Steps the clock and waits until that is on record.
fn step(clock: &WallClock<'_>, from: SignedDuration, to: SignedDuration) {
    let before = steps(clock.site).len();
    let began = Instant::now();
    clock.set(to);
    until("the step is on record", || (steps(clock.site).len() > before).then_some(())).unwrap();
    assert!(began.elapsed() < Duration::from_secs(60), "noticed only after {:?}", began.elapsed());
    let (found, wanted) = (steps(clock.site)[before], (to - from).as_secs());
    assert!((found - wanted).abs() <= 2, "a step of {wanted} s is recorded as one of {found} s");
}

/// No age of a key is negative, by the daemon's clock: neither in the metrics nor in `status`.
async fn no_negative_age(clock: &WallClock<'_>, daemon: &Running, ahead: SignedDuration) {
    let future = async || {
        let (_, text) = daemon.get("/metrics").await;
        let now = (Timestamp::now() + ahead).as_second() as f64 + 1.0;
        let ages = ["rekeyd_key_created_", "rekeyd_key_first_seen_", "rekeyd_last_observation_"];
        let dates = text.lines().filter(|line| ages.iter().any(|name| line.starts_with(name)));
        dates.filter(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() > now).count()
    };
    let began = Instant::now();
    while future().await > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "{} dates lie in the future", future().await);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let status = finish(clock.command(&["status"]));
    let negative = status
        .out
        .split_whitespace()
        .any(|word| word.strip_prefix('-').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit())));
    assert!(!negative, "{}", status.out);
}

/// For a while nothing is sent.
fn nobody_rotates(simulator: &Simulator) {
    let (began, puts) = (Instant::now(), simulator.truth().puts.len());
    while began.elapsed() < A_WHILE {
        assert_eq!(simulator.truth().puts.len(), puts, "rotated for the clock's sake");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn rotated(truth: &Truth) -> usize {
    truth.rotations().count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_steps_rotates_nothing_early_or_twice_and_makes_no_rush() {
    let spec = SimulatorSpec { fleet: FleetSpec::uniform(TARGETS), ..SimulatorSpec::default() };
    let simulator = Simulator::start(spec).await.unwrap();
    let site = Site::new(&Wanted {
        max_concurrent: MAX_CONCURRENT,
        requests_per_second: REQUESTS_PER_SECOND,
        policy: "observe_every = \"10s\"\nalert_after = \"400d\"",
        ..Wanted::of(&simulator)
    });
    let clock = WallClock::of(&site);
    let daemon = Running::listening(clock.command(&["run"]));
    all_settled(&site, &simulator);
    let hours = SignedDuration::from_hours;
    let mut ahead = hours(0);
    // Hours in both directions, weeks back: nothing is due.
    for to in [hours(6), hours(-6), hours(-24 * 20), hours(0)] {
        step(&clock, ahead, to);
        ahead = to;
        nobody_rotates(&simulator);
        no_negative_age(&clock, &daemon, ahead).await;
    }
    assert_eq!(rotated(&simulator.truth()), TARGETS);

    // Forty days on everything would be due, but nobody goes by such a clock for an hour.
    let to = hours(24 * 40);
    step(&clock, ahead, to);
    ahead = to;
    nobody_rotates(&simulator);
    // The hour passes by steps that are too small to be doubted. Then one after another, and no faster than allowed.
    for _ in 0..HOUR_IN_STEPS {
        let to = ahead + SignedDuration::from_mins(14);
        step(&clock, ahead, to);
        ahead = to;
    }
    let mut samples = Vec::new();
    until("every key has changed again", || {
        let truth = simulator.truth();
        samples.push((Instant::now(), truth.requests.total));
        (rotated(&truth) >= 2 * TARGETS).then_some(())
    })
    .unwrap();
    // The challenge of each login's first request counts here, and not in the limit.
    let limit = |seconds: f64| 1.5 * f64::from(REQUESTS_PER_SECOND) * (seconds + 1.0) + 10.0;
    for (n, (began, before)) in samples.iter().enumerate() {
        for (ended, after) in samples.iter().skip(n + 1).step_by(10) {
            let (length, requests) = ((*ended - *began).as_secs_f64(), (after - before) as f64);
            assert!(requests <= limit(length), "{requests} requests in {length} s");
        }
    }
    let most = simulator.truth().max_concurrent_requests;
    assert!(most <= MAX_CONCURRENT as u32, "{most} requests at once");
    nobody_rotates(&simulator);

    // Back, and forth by less than the interval: the new keys are taken for no older than they are.
    for to in [hours(0), hours(24 * 20)] {
        step(&clock, ahead, to);
        ahead = to;
        nobody_rotates(&simulator);
        no_negative_age(&clock, &daemon, ahead).await;
    }
    let log = daemon.stop();
    assert_eq!(rotated(&simulator.truth()), 2 * TARGETS);
    assert_eq!(agree(&site, &simulator.truth()), 2 * TARGETS);
    assert_eq!(steps(&site).len(), 7 + HOUR_IN_STEPS);
    assert_eq!(log.matches("the wall clock stepped by").count(), 7 + HOUR_IN_STEPS, "{log}");
    assert!(log.lines().filter(|line| line.contains("the wall clock stepped")).all(|line| line.contains("WARN")));
    verified(&site);
}
