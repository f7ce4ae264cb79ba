//! A world in memory for the real planner and engine: virtual time, a far end that keeps the truth, a journal that can be read
//! after a crash. Whole months pass in milliseconds; the same seed gives the same run.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use rekeyd::domain::{
    Entry, Event, Failure, Fleet, KeyId, KeyRecord, Listing, Mechanism, Reason, Role, Scope, Sighting, State, Target,
    TargetId, Verdict,
};
use rekeyd::engine::{Engine, Manager};
use rekeyd::policy::{ManagerRules, Policy, Rules};
use rekeyd::ports::{Accepted, Clock, Discovery, Head, Journal, JournalError, KeyService, Observer};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Virtual time: tokio's paused clock, as a wall clock.
pub(crate) struct VirtualClock {
    start: Timestamp,
    zero: tokio::time::Instant,
}

#[async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.start + SignedDuration::try_from(self.monotonic()).unwrap()
    }

    #[expect(clippy::disallowed_methods, reason = "tokio's clock is paused: this is the virtual time")]
    fn monotonic(&self) -> Duration {
        tokio::time::Instant::now() - self.zero
    }

    #[expect(clippy::disallowed_methods, reason = "tokio's clock is paused: this is the virtual time")]
    async fn sleep(&self, length: Duration) {
        tokio::time::sleep(length).await;
    }
}

/// A small generator with a seed (SplitMix64): chance as a parameter.
#[derive(Clone)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

/// A journal without a disk: the same fold, the same all-or-none.
#[derive(Default)]
pub(crate) struct MemoryJournal {
    inner: Mutex<Ledger>,
}

#[derive(Default)]
struct Ledger {
    fleet: Fleet,
    entries: Vec<Entry>,
    past: BTreeMap<(TargetId, KeyId), KeyRecord>,
    refuse: bool,
}

impl MemoryJournal {
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.inner.lock().unwrap().entries.clone()
    }

    /// From now on nothing can be written, or everything again.
    pub(crate) fn refuse(&self, refuse: bool) {
        self.inner.lock().unwrap().refuse = refuse;
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Event) -> bool) -> usize {
        self.inner.lock().unwrap().entries.iter().filter(|entry| wanted(&entry.event)).count()
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn record(&self, entries: Vec<Entry>) -> Result<(), JournalError> {
        // A commit takes its time, and a crash can fall into it.
        tokio::task::yield_now().await;
        let mut ledger = self.inner.lock().unwrap();
        if ledger.refuse {
            return Err(JournalError::Full("the test took the disk away".to_owned()));
        }
        let mut fleet = ledger.fleet.clone();
        for entry in &entries {
            if let Some(change) = fleet.consequence(entry.at, &entry.event)? {
                fleet.adopt(change);
            }
        }
        for record in ledger.fleet.targets.values().cloned().collect::<Vec<_>>() {
            if let Some(key) = &record.key {
                ledger.past.insert((record.target.id(), key.id.clone()), key.clone());
            }
        }
        ledger.fleet = fleet;
        ledger.entries.extend(entries);
        Ok(())
    }

    async fn seen_again(&self, sightings: Vec<(TargetId, Timestamp)>) -> Result<(), JournalError> {
        let mut ledger = self.inner.lock().unwrap();
        for (target, at) in sightings {
            if let Some(change) = ledger.fleet.seen_again(&target, at) {
                ledger.fleet.adopt(change);
            }
        }
        Ok(())
    }

    async fn past_key(&self, target: &TargetId, key: &KeyId) -> Result<Option<KeyRecord>, JournalError> {
        let ledger = self.inner.lock().unwrap();
        let current = ledger.fleet.targets.get(target).and_then(|record| record.key.as_ref()).map(|key| &key.id);
        Ok(ledger.past.get(&(target.clone(), key.clone())).filter(|past| Some(&past.id) != current).cloned())
    }

    fn fleet(&self) -> Fleet {
        self.inner.lock().unwrap().fleet.clone()
    }

    fn head(&self) -> Head {
        Head { seq: self.inner.lock().unwrap().entries.len() as u64, hash: [0; 32] }
    }
}

/// What the far end does with one PUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Acts and says so.
    Apply,
    /// Acts, and the reply is lost.
    ApplyAndCut,
    /// Acts only after so many seconds, and says yes at once.
    ApplyLater(u64),
    /// The connection breaks before it acts.
    Cut,
    /// Says yes and does nothing.
    Nothing,
    /// Refuses for now, and proves that it did not act.
    Busy,
    /// Refuses for good.
    Refuse,
    /// Acts, and answers 500.
    ApplyAndFail,
}

/// The far end: it keeps the truth.
pub(crate) struct FarEnd {
    clock: Arc<VirtualClock>,
    inner: Mutex<Truth>,
}

pub(crate) struct Truth {
    pub(crate) keys: BTreeMap<TargetId, Vec<KeyId>>,
    pub(crate) later: Vec<(Timestamp, TargetId)>,
    pub(crate) puts: u64,
    pub(crate) gets: u64,
    pub(crate) applied: u64,
    pub(crate) down: bool,
    pub(crate) chance: Chance,
    pub(crate) fates: Vec<Fate>,
    targets: Vec<Target>,
}

impl FarEnd {
    pub(crate) fn truth(&self) -> std::sync::MutexGuard<'_, Truth> {
        let mut truth = self.inner.lock().unwrap();
        let now = self.clock.now();
        let (ripe, later) = std::mem::take(&mut truth.later).into_iter().partition(|(at, _)| *at <= now);
        truth.later = later;
        let ripe: Vec<_> = ripe;
        for (_, target) in ripe {
            truth.apply(&target);
        }
        truth
    }

    async fn travel(&self) {
        let milliseconds = 1 + self.inner.lock().unwrap().chance.below(40);
        self.clock.sleep(Duration::from_millis(milliseconds)).await;
    }
}

impl Truth {
    pub(crate) fn apply(&mut self, target: &TargetId) {
        let keys = self.keys.entry(target.clone()).or_default();
        keys.push(KeyId::new(format!("key-{}-{}", target, keys.len())));
        self.applied += 1;
    }

    fn newest(&self, target: &TargetId) -> KeyId {
        self.keys.get(target).and_then(|keys| keys.last()).unwrap().clone()
    }
}

pub(crate) fn failure(reason: Reason, verdict: Verdict, scope: Scope) -> Failure {
    Failure { reason, verdict, scope, status: None, code: None, retry_after_s: None, detail: String::new() }
}

#[async_trait]
impl KeyService for FarEnd {
    async fn discover(&self) -> Result<Discovery, Failure> {
        self.travel().await;
        let truth = self.truth();
        if truth.down {
            return Err(failure(Reason::Unreachable, Verdict::Transient, Scope::Manager));
        }
        let sightings = truth
            .targets
            .iter()
            .map(|target| Sighting { target: target.clone(), listing: Listing::Eligible })
            .collect();
        Ok(Discovery { sightings, ..Discovery::default() })
    }

    async fn current_key(&self, target: &Target) -> Result<KeyId, Failure> {
        self.travel().await;
        let answer = {
            let mut truth = self.truth();
            truth.gets += 1;
            if truth.down {
                Err(failure(Reason::Unreachable, Verdict::Transient, Scope::Manager))
            } else {
                Ok(truth.newest(&target.id()))
            }
        };
        self.travel().await;
        answer
    }

    async fn rotate(&self, target: &Target) -> Result<Accepted, Failure> {
        self.travel().await;
        let now = self.clock.now();
        let answer = {
            let mut truth = self.truth();
            if truth.down {
                Err(failure(Reason::Unreachable, Verdict::Transient, Scope::Manager))
            } else {
                truth.puts += 1;
                let fates = truth.fates.len() as u64;
                let pick = truth.chance.below(fates) as usize;
                let fate = truth.fates[pick];
                let id = target.id();
                match fate {
                    Fate::Apply | Fate::ApplyAndCut | Fate::ApplyAndFail => truth.apply(&id),
                    Fate::ApplyLater(seconds) => {
                        let at = now + SignedDuration::from_secs(i64::try_from(seconds).unwrap());
                        truth.later.push((at, id));
                    }
                    Fate::Cut | Fate::Nothing | Fate::Busy | Fate::Refuse => {}
                }
                match fate {
                    Fate::Apply | Fate::ApplyLater(_) | Fate::Nothing => Ok(Accepted { status: 201 }),
                    Fate::ApplyAndCut | Fate::Cut => Err(failure(Reason::CutOff, Verdict::Ambiguous, Scope::Target)),
                    Fate::ApplyAndFail => Err(failure(Reason::ServerError, Verdict::Ambiguous, Scope::Target)),
                    Fate::Busy => Err(failure(Reason::RateLimited, Verdict::Transient, Scope::Target)),
                    Fate::Refuse => Err(failure(Reason::RoleMissing, Verdict::Permanent, Scope::Target)),
                }
            }
        };
        self.travel().await;
        answer
    }
}

struct Silent;

impl Observer for Silent {
    fn recorded(&self, _: &[Entry]) {}
    fn record_failed(&self, _: &JournalError) {}
    fn rotation_took(&self, _: Duration) {}
}

/// Everything that outlives a crash of the daemon, and the means to start it again.
pub(crate) struct World {
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) journal: Arc<MemoryJournal>,
    pub(crate) far_end: Arc<FarEnd>,
    pub(crate) rules: Arc<Rules>,
}

impl World {
    /// So many targets, two to a cluster, each with a first key; must be called within a paused runtime.
    #[expect(clippy::disallowed_methods, reason = "tokio's clock is paused: this is the virtual time")]
    pub(crate) fn new(seed: u64, targets: usize, policy: Policy, max_concurrent: usize, fates: &[Fate]) -> Self {
        let zero = tokio::time::Instant::now();
        let clock = Arc::new(VirtualClock { start: "2026-01-01T00:00:00Z".parse().unwrap(), zero });
        let targets: Vec<Target> = (0..targets)
            .map(|n| Target {
                manager: "emea".into(),
                project_id: "5f".into(),
                project: "billing".to_owned(),
                cluster_id: format!("{n:04}").as_str().into(),
                cluster: format!("cluster-{:04}", n / 2),
                replica_set: format!("rs-{n:04}"),
                role: if n % 2 == 0 { Role::ConfigServer } else { Role::Shard },
                mechanism: Mechanism::BackupKey,
            })
            .collect();
        let mut truth = Truth {
            keys: BTreeMap::new(),
            later: Vec::new(),
            puts: 0,
            gets: 0,
            applied: 0,
            down: false,
            chance: Chance(seed),
            fates: fates.to_vec(),
            targets,
        };
        for target in truth.targets.clone() {
            truth.apply(&target.id());
        }
        truth.applied = 0;
        let far_end = Arc::new(FarEnd { clock: Arc::clone(&clock), inner: Mutex::new(truth) });
        let manager = ManagerRules { max_concurrent, policy: Arc::new(policy), projects: Vec::new() };
        let rules = Arc::new(Rules { managers: BTreeMap::from([("emea".into(), manager)]) });
        Self { clock, journal: Arc::default(), far_end, rules }
    }

    /// Starts a daemon; dropping what this returns is a crash.
    pub(crate) fn start(&self) -> Daemon {
        let manager = Manager {
            service: Arc::clone(&self.far_end) as Arc<dyn KeyService>,
            discover_every: "10m".parse().unwrap(),
            max_concurrent: 8,
        };
        let engine = Arc::new(Engine::new(
            BTreeMap::from([("emea".into(), manager)]),
            Arc::clone(&self.rules),
            Arc::clone(&self.journal) as Arc<dyn Journal>,
            Arc::clone(&self.clock) as Arc<dyn Clock>,
            Arc::new(Silent),
        ));
        let closing = CancellationToken::new();
        let run = tokio::spawn(engine.run(Arc::new(Notify::new()), closing.clone(), Duration::from_secs(25)));
        Daemon { run: Some(run), closing }
    }

    /// Lets virtual time pass.
    pub(crate) async fn pass(&self, length: Duration) {
        self.clock.sleep(length).await;
    }

    /// The promises, as far as a moment can show them: every key that the far end ever had is explained, nothing is recorded that
    /// did not happen, and no slot was answered twice.
    pub(crate) fn check(&self) -> Result<(), String> {
        let truth = self.far_end.truth();
        let mut known: BTreeMap<TargetId, Vec<KeyId>> = BTreeMap::new();
        for entry in self.journal.entries() {
            let (target, key) = match entry.event {
                Event::KeySeen { target, key } => (target, key),
                Event::RotationDone { target, key_after, .. } => (target, key_after),
                Event::KeyChanged { target, .. } => return Err(format!("{target}: a change that is not ours")),
                _ => continue,
            };
            known.entry(target).or_default().push(key);
        }
        for (target, keys) in &truth.keys {
            // Nobody has looked yet.
            let Some(recorded) = known.remove(target) else { continue };
            let settled = self.journal.fleet().targets.get(target).is_none_or(|record| {
                record.rotation.is_none() || record.rotation.as_ref().is_some_and(|r| r.state() == State::Unconfirmed)
            });
            let complete = recorded == *keys;
            // A rotation in hand may have made a key that is not recorded yet.
            let behind = !settled && keys.starts_with(&recorded) && keys.len() == recorded.len() + 1;
            if !complete && !behind {
                return Err(format!("{target}: the far end had {keys:?}, the ledger tells {recorded:?}"));
            }
        }
        Ok(())
    }
}

/// A running daemon.
pub(crate) struct Daemon {
    run: Option<tokio::task::JoinHandle<()>>,
    closing: CancellationToken,
}

impl Daemon {
    /// Ends it in good order.
    pub(crate) async fn stop(mut self) {
        self.closing.cancel();
        if let Some(run) = self.run.take() {
            run.await.unwrap();
        }
    }

    /// Kills it where it stands.
    pub(crate) async fn crash(mut self) {
        if let Some(run) = self.run.take() {
            run.abort();
            let _ = run.await;
        }
    }
}
