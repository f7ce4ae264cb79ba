//! A life of many daemons, drawn from a seed: faults of every kind, deaths at any moment, and the promises checked after
//! each step. A seed that fails fails again.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use rekeyd::domain::{Actor, Entry, Event, Glob, Period, ProjectSelector, TargetId};
use rekeyd::policy::{Cron, FirstRotation, Policy, ProjectRules, Rhythm, Rules, Spread, Windows};
use rekeyd::ports::{Clock, Journal};
use rekeyd::store::Reader;

use super::{Chance, Fate, Moment, World};

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// The longest that a PUT waits for its turn.
const QUEUE: Duration = Duration::from_secs(30);

/// What came of one seed, or of many.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) seeds: u64,
    pub(crate) simulated: Duration,
    pub(crate) rotations: u64,
    pub(crate) puts: u64,
    pub(crate) records: u64,
    pub(crate) fired: BTreeMap<&'static str, u64>,
    pub(crate) violations: Vec<String>,
    /// The ledger of a single seed.
    #[allow(dead_code, reason = "only the example tells it")]
    pub(crate) story: Vec<Entry>,
}

impl Report {
    pub(crate) fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.simulated += other.simulated;
        self.rotations += other.rotations;
        self.puts += other.puts;
        self.records += other.records;
        for (fault, count) in other.fired {
            *self.fired.entry(fault).or_default() += count;
        }
        self.violations.extend(other.violations);
    }
}

/// Every fault that a set of seeds must have seen.
pub(crate) const FAULTS: [&str; 54] = [
    "GET: gateway gives up",
    "GET: not found",
    "GET: not this way",
    "GET: reply lost",
    "network: slow",
    "PUT: accepted, acts late",
    "PUT: accepted, never acts",
    "PUT: acts after the settle time",
    "PUT: acts twice",
    "PUT: acts, answers 500",
    "PUT: acts, reply beyond the time-out",
    "PUT: acts, reply lost",
    "PUT: address refused",
    "PUT: answers 500, acts late",
    "PUT: answers 500, never acts",
    "PUT: busy",
    "PUT: gateway gives up",
    "PUT: gateway gives up, acts late",
    "PUT: held back in the queue",
    "PUT: in order",
    "PUT: lost",
    "PUT: no connection",
    "PUT: rate limit with Retry-After",
    "PUT: reply lost, acts late",
    "PUT: role withdrawn",
    "clock: set back",
    "clock: set back while down",
    "clock: set forward",
    "clock: set forward while down",
    "configuration: a cluster excluded",
    "configuration: the project left out",
    "key: changed by others",
    "key: restored",
    "keys: address refused",
    "kill: after a GET",
    "kill: after a PUT",
    "kill: after a commit",
    "kill: before a PUT",
    "kill: before a commit",
    "kill: whenever",
    "ledger: commit landed, called failed",
    "ledger: disk full",
    "ledger: disk hangs",
    "ledger: failed commit",
    "ledger: failed read",
    "manager: down",
    "manager: hangs",
    "manager: login refused",
    "operator: paused",
    "operator: re-armed",
    "stop: in good order",
    "target: hidden",
    "target: renamed",
    "target: shown again",
];

/// Runs one seed on a runtime of its own, with the ledger in memory or in a folder. A violation is in the report.
pub(crate) fn run(seed: u64, folder: Option<PathBuf>) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let store = folder.is_some();
        let mut history = History::new(seed, folder.clone());
        let mut outcome = history.live().await;
        let entries = history.world.journal.entries();
        history.world.journal.close().await;
        if let (Ok(()), Some(folder)) = (&outcome, folder) {
            outcome = verify(folder, entries.len() as u64).await;
        }
        let truth = history.world.far_end.truth();
        Report {
            seeds: 1,
            simulated: history.world.clock.monotonic(),
            rotations: truth.applied,
            puts: truth.puts.len() as u64,
            records: entries.len() as u64,
            fired: history.world.fired.counts(),
            violations: outcome.err().map(|violation| again(seed, store, &violation)).into_iter().collect(),
            story: entries,
        }
    })
}

/// A violation, with the line that shows it again.
fn again(seed: u64, store: bool, violation: &str) -> String {
    let store = if store { " --store" } else { "" };
    format!("seed {seed}: {violation}\n  again: cargo run --example simulation -- --story --seeds {seed}{store}")
}

/// The ledger's chain holds, every table follows from it, and nothing was lost.
async fn verify(folder: PathBuf, records: u64) -> Result<(), String> {
    let work = move || {
        let verified = Reader::open(&folder).unwrap().verify(|_, _| {}).map_err(|error| error.to_string())?;
        let found = verified.records;
        if found < records { Err(format!("{records} records were made, {found} are there")) } else { Ok(()) }
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

struct History {
    world: World,
    chance: Chance,
    targets: Vec<TargetId>,
    rules: Arc<Rules>,
    /// Whether the wall clock steps.
    steps: bool,
    /// The longest time between two events, in seconds.
    longest: u64,
    lives: u64,
}

/// What size of world a seed is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scale {
    /// A handful of targets for weeks or months, with something going wrong all the time.
    Near,
    /// A handful of targets for decades.
    Long,
    /// A thousand targets and more, for months.
    Wide,
}

impl Scale {
    /// Most trouble for the time spent lies near; of the others there are a few: they take long.
    fn of(seed: u64) -> Self {
        match seed % 2000 {
            1999 => Self::Wide,
            other if other % 100 == 99 => Self::Long,
            _ => Self::Near,
        }
    }
}

impl History {
    fn new(seed: u64, folder: Option<PathBuf>) -> Self {
        let mut chance = Chance(seed ^ 0x005E_ED0F_7EA1);
        let scale = Scale::of(seed);
        let days = match scale {
            Scale::Near => chance.pick(&[1, 1, 2, 2, 7, 30]),
            Scale::Long => chance.pick(&[30, 90, 365]),
            Scale::Wide => 30,
        };
        let calendar = match days {
            1 | 2 => "30 2 * * *",
            7 => "30 2 * * SUN",
            _ => "30 2 1 * *",
        };
        let rhythm = if chance.per_mille(300) {
            Rhythm::Cron(Box::new(Cron::new(calendar, TimeZone::get("Europe/Paris").unwrap()).unwrap()))
        } else {
            Period::days(days).into()
        };
        let policy = Policy {
            rhythm,
            spread: chance.pick(&[Spread::Percent(10), Spread::Percent(0), Spread::Fixed(Period::minutes(30))]),
            first_rotation: chance.pick(&[FirstRotation::Now, FirstRotation::Spread]),
            max_attempts: chance.pick(&[1, 3, 8]),
            windows: chance.pick(&[Windows::any(), Windows::any(), nightly()]),
            observe_every: match scale {
                Scale::Near => Period::minutes(30 * days),
                Scale::Long | Scale::Wide => Period::days(7),
            },
            ..Policy::with_defaults("default".into())
        };
        let (count, lives, longest) = match scale {
            Scale::Near => (1 + chance.below(9), 4 + chance.below(16), 2 * u64::from(days) * DAY),
            Scale::Long => (1 + chance.below(5), 20 + chance.below(40), 20 * 365 * DAY),
            Scale::Wide => (1000 + chance.below(1000), 2 + chance.below(3), 60 * DAY),
        };
        let fates = fates(&mut chance);
        let max_concurrent = 1 + chance.below(if scale == Scale::Wide { 16 } else { 3 });
        let world = World::on(folder, chance.next(), count as usize, policy, max_concurrent as usize, &fates);
        {
            let mut truth = world.far_end.truth();
            truth.bad_gets = chance.pick(&[0, 5, 100]);
            (truth.queue, truth.pauses) = (chance.pick(&[Duration::ZERO, QUEUE]), chance.pick(&[0, 50]));
        }
        let failures = chance.pick(&[0, 1, 20]);
        world.journal.fail(failures, Chance(chance.next()));
        let targets = world.far_end.truth().keys.keys().cloned().collect();
        let rules = Arc::clone(&world.rules.lock().unwrap());
        Self { world, chance, targets, rules, steps: seed % 2 == 1, longest, lives }
    }

    async fn live(&mut self) -> Result<(), String> {
        for _ in 0..self.lives {
            self.daemon_life().await?;
            if self.chance.per_mille(400) {
                let length = self.chance.seconds(self.longest);
                self.world.pass(length).await;
            }
            // What only the wall clock could tell is asked for when a rotation is in hand.
            let in_hand = self.world.journal.fleet().targets.values().any(|record| record.rotation.is_some());
            if self.chance.per_mille(if in_hand { 300 } else { 50 }) {
                self.step_clock("clock: set back while down", "clock: set forward while down");
            }
            self.reconfigure();
            if self.chance.per_mille(500) {
                self.end_pauses().await;
            }
            if self.chance.per_mille(300) {
                self.rearm().await;
            }
            self.world.check()?;
        }
        self.calm_down().await
    }

    /// One daemon, from its start to its end.
    async fn daemon_life(&mut self) -> Result<(), String> {
        let world = &self.world;
        world.journal.open().await;
        let order = self.chance.per_mille(600).then(|| {
            let moment = self.chance.pick(&Moment::ALL);
            let often = match moment {
                Moment::AfterGet => 60,
                Moment::BeforeCommit | Moment::AfterCommit => 16,
                Moment::BeforePut | Moment::AfterPut => 3,
            };
            (moment, self.chance.below(often))
        });
        world.kill.order(order);
        let daemon = world.start();
        let mut killed = false;
        for _ in 0..1 + self.chance.below(4) {
            let length = self.chance.seconds(self.longest);
            killed = tokio::select! {
                biased;
                () = self.world.kill.bell.notified() => true,
                () = self.world.pass(length) => false,
            };
            if killed {
                break;
            }
            self.world.check()?;
            self.meddle();
        }
        self.world.kill.order(None);
        if let (true, Some((moment, _))) = (killed, order) {
            let length = Duration::from_millis(self.chance.below(60));
            if self.chance.per_mille(500) {
                self.world.pass(length).await;
            }
            self.world.fired.count(moment.fault());
            daemon.crash().await;
        } else if self.chance.per_mille(200) {
            self.world.fired.count("stop: in good order");
            self.world.far_end.truth().stopping = true;
            daemon.stop().await;
            self.world.far_end.truth().stopping = false;
        } else {
            self.world.fired.count("kill: whenever");
            daemon.crash().await;
        }
        self.world.journal.interrupted();
        self.world.check()?;
        self.world.journal.close().await;
        Ok(())
    }

    /// One change of the world behind the daemon's back.
    fn meddle(&mut self) {
        let target = self.chance.pick(&self.targets);
        let far_end = &self.world.far_end;
        let fired = |fault| self.world.fired.count(fault);
        match self.chance.below(18) {
            0 => {
                fired("key: changed by others");
                far_end.rotate_behind_our_back(&target);
            }
            1 => {
                fired("key: restored");
                far_end.restore(&target);
            }
            2 => {
                let (now, mut truth) = (self.world.clock.monotonic(), far_end.truth());
                truth.down_until = now + self.chance.seconds(21 * DAY);
                // It may come back without our key.
                truth.login_refused_until = truth.down_until + self.chance.seconds(DAY);
            }
            3 => far_end.truth().hangs_until = self.world.clock.monotonic() + self.chance.seconds(2 * DAY),
            4 => far_end.truth().role_missing_until = self.world.clock.monotonic() + self.chance.seconds(21 * DAY),
            5 | 6 if !renames(&target) => {
                let mut truth = far_end.truth();
                let hidden = truth.hidden.pop_first();
                let shown = hidden.is_some();
                if !shown {
                    truth.hidden.insert(target);
                }
                fired(if shown { "target: shown again" } else { "target: hidden" });
            }
            7 => {
                let mut truth = far_end.truth();
                if !truth.refusing.remove(&target) {
                    truth.refusing.insert(target);
                }
            }
            8 => {
                let mut truth = far_end.truth();
                if !truth.broken.remove(&target) {
                    truth.broken.insert(target);
                }
            }
            9 if renames(&target) => {
                fired("target: renamed");
                let mark = self.chance.below(1000);
                let mut truth = far_end.truth();
                let cluster = truth.targets.iter().find(|one| one.id() == target).unwrap().cluster.clone();
                for member in truth.targets.iter_mut().filter(|one| one.cluster == cluster) {
                    member.cluster = format!("{}-{mark}", &member.cluster[..12]);
                }
            }
            10 => self.world.journal.fill_the_disk(self.chance.seconds(2 * HOUR)),
            11 if self.chance.per_mille(300) => self.step_clock("clock: set back", "clock: set forward"),
            12 => {
                let until = self.world.clock.monotonic() + self.chance.seconds(2 * DAY);
                let mut truth = far_end.truth();
                let place =
                    if self.chance.per_mille(500) { &mut truth.keys_hang_until } else { &mut truth.keys_refused_until };
                *place = until;
            }
            13 => {
                let mut truth = far_end.truth();
                if !truth.blocked.remove(&target) {
                    truth.blocked.insert(target);
                }
            }
            _ => {
                let mut truth = far_end.truth();
                truth.blocked.clear();
                truth.hidden.clear();
                truth.refusing.clear();
                truth.broken.clear();
                truth.fates = fates(&mut self.chance);
            }
        }
    }

    fn step_clock(&mut self, back: &'static str, forward: &'static str) {
        // With a clock that can be trusted more can be checked: half of the seeds have one.
        if !self.steps {
            return;
        }
        let length = SignedDuration::try_from(self.chance.seconds(60 * DAY)).unwrap();
        self.world.far_end.truth().clock_stepped = true;
        if self.chance.per_mille(500) {
            self.world.fired.count(back);
            self.world.clock.step(-length);
        } else {
            self.world.fired.count(forward);
            self.world.clock.step(length);
        }
    }

    /// What the next daemon reads from its configuration.
    fn reconfigure(&mut self) {
        let mut rules = Rules::clone(&self.rules);
        let manager = rules.managers.values_mut().next().unwrap();
        let project = |project: &str, exclude| ProjectRules {
            project: ProjectSelector::Name(project.to_owned()),
            policy: None,
            exclude,
        };
        match self.chance.below(10) {
            0 => {
                self.world.fired.count("configuration: a cluster excluded");
                manager.projects = vec![project("billing", vec![Glob::new("cluster-0000*")])];
            }
            1 => {
                self.world.fired.count("configuration: the project left out");
                manager.projects = vec![project("another", Vec::new())];
            }
            _ => {}
        }
        *self.world.rules.lock().unwrap() = Arc::new(rules);
    }

    /// An operator lets every target that waits for one go on.
    async fn rearm(&self) {
        self.world.journal.open().await;
        let at = self.world.clock.now();
        for (target, record) in self.world.journal.fleet().targets.clone() {
            if record.quarantine.is_some() && record.rotation.is_none() {
                self.world.fired.count("operator: re-armed");
                let event = Event::TargetRearmed { target, reason: "CHG-1".to_owned(), by: None };
                let _ = self.world.journal.record(vec![Entry { at, actor: Actor::Operator(0), event }]).await;
            }
        }
        self.world.journal.close().await;
    }

    /// An operator ends every pause.
    async fn end_pauses(&self) {
        self.world.journal.open().await;
        let at = self.world.clock.now();
        for scope in self.world.journal.fleet().pauses.clone().into_keys() {
            let event = Event::PauseEnded { scope, reason: None, by: None };
            let _ = self.world.journal.record(vec![Entry { at, actor: Actor::Operator(0), event }]).await;
        }
        self.world.journal.close().await;
    }

    /// All is well from now on: within days nothing is left open, overdue or unexplained.
    async fn calm_down(&mut self) -> Result<(), String> {
        {
            let mut truth = self.world.far_end.truth();
            truth.bad_gets = 0;
            (truth.down_until, truth.hangs_until, truth.role_missing_until) = Default::default();
            (truth.keys_hang_until, truth.keys_refused_until, truth.login_refused_until) = Default::default();
            truth.pauses = 0;
            truth.blocked.clear();
            truth.hidden.clear();
            truth.refusing.clear();
            truth.broken.clear();
            truth.fates = vec![Fate::Apply];
        }
        self.world.journal.fill_the_disk(Duration::ZERO);
        self.world.journal.fail(0, Chance(self.chance.next()));
        *self.world.rules.lock().unwrap() = Arc::clone(&self.rules);
        self.end_pauses().await;
        for _ in 0..2 {
            self.rearm().await;
            self.world.journal.open().await;
            let daemon = self.world.start();
            // Long enough for every key to be looked at, wherever its look has its place.
            self.world.pass(3 * Duration::from_secs(DAY).max(self.world.policy.observe_every.as_duration())).await;
            self.world.check()?;
            daemon.stop().await;
            self.world.journal.interrupted();
        }
        self.world.check_calm()
    }
}

/// Clusters either get new names or have members that hide: of a hidden one the new name is not known, nor that it still
/// belongs with the others.
fn renames(target: &TargetId) -> bool {
    target.as_str().ends_with(['0', '1', '4', '5', '8'])
}

/// Four hours in each night.
fn nightly() -> Windows {
    Windows::new(TimeZone::UTC, vec!["01:00-05:00".parse().unwrap()])
}

/// What PUTs may meet for a while: mostly good, mostly bad, or anything.
fn fates(chance: &mut Chance) -> Vec<Fate> {
    let soon = 1 + chance.below(590);
    let too_late = 601 + chance.below(3 * HOUR);
    let bad = [
        Fate::ApplyAndCut,
        Fate::ApplyAndFail,
        Fate::ApplyAndStall,
        Fate::Gateway,
        Fate::GatewayAndApplyLater(soon),
        Fate::ApplyLater(soon),
        Fate::CutAndApplyLater(soon),
        Fate::FailAndApplyLater(soon),
        Fate::ApplyLater(too_late),
        Fate::CutAndApplyLater(too_late),
        Fate::ApplyTwice(soon),
        Fate::Cut,
        Fate::Fail,
        Fate::Nothing,
        Fate::Busy(None),
        Fate::Busy(Some(soon)),
        Fate::RefuseAddress,
        Fate::Unreachable,
    ];
    let good = chance.below(6) as usize;
    let mut fates = vec![Fate::Apply; good];
    for _ in 0..1 + chance.below(6) {
        fates.push(chance.pick(&bad));
    }
    fates
}
