//! A manager that keeps the truth: every key that a target ever had, why it came, and every PUT with what it did.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use jiff::SignedDuration;
use rekeyd::domain::{
    Actor, Caller, Entry, Event, Failure, Glob, KeyId, Listing, Mechanism, Phase, Reason, Role, RotationId, Scope,
    Sighting, Target, TargetId, Verdict,
};
use rekeyd::ports::{Accepted, Clock, Discovery, Journal, KeyService, Objection};

use super::book::Book;
use super::clock::{Chance, VirtualClock};
use super::fired::Fired;
use super::kill::{Kill, Moment};

/// A request that has no reply by then is given up.
const TIME_OUT: Duration = Duration::from_secs(30);

/// What the far end does with one PUT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Acts and says so.
    Apply,
    /// Acts, and the reply is lost.
    ApplyAndCut,
    /// Acts, and answers 500.
    ApplyAndFail,
    /// Acts, and the reply comes when nobody waits any more.
    ApplyAndStall,
    /// Acts only after so many seconds, and says yes at once.
    ApplyLater(u64),
    /// Acts only after so many seconds, and the reply is lost.
    CutAndApplyLater(u64),
    /// Acts only after so many seconds, and answers 500.
    FailAndApplyLater(u64),
    /// Acts, and again after so many seconds.
    ApplyTwice(u64),
    /// A gateway before it gives up, and it never acts.
    Gateway,
    /// A gateway before it gives up, and it acts after so many seconds.
    GatewayAndApplyLater(u64),
    /// The connection breaks before it acts.
    Cut,
    /// Answers 500 and does nothing.
    Fail,
    /// Says yes and does nothing.
    Nothing,
    /// Refuses for now, proves that it did not act, and may ask to be left alone for so many seconds.
    Busy(Option<u64>),
    /// Refuses for good.
    Refuse,
    /// Refuses our address for this request, in the words in which it is refused for all.
    RefuseAddress,
    /// No connection: nothing is sent.
    Unreachable,
}

/// Why a key came into use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    First,
    /// By the PUT of this number.
    Put(usize),
    Foreign,
    Regression,
}

/// A key coming into use.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    pub(crate) id: KeyId,
    pub(crate) at: Duration,
    pub(crate) cause: Cause,
}

/// A PUT that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) target: TargetId,
    pub(crate) rotation: RotationId,
    pub(crate) arrived: Duration,
    pub(crate) effects: Vec<Duration>,
    /// The answer proved that it did nothing.
    pub(crate) refused: bool,
}

impl Put {
    /// Whether all that it did was later than the settle time.
    pub(crate) fn was_late(&self, settle: Duration) -> bool {
        self.effects.iter().all(|effect| *effect > self.arrived + settle)
    }
}

/// A key shown in a reply that reached its asker.
pub(crate) struct Shown {
    pub(crate) target: TargetId,
    /// Which of the target's keys.
    pub(crate) number: usize,
    pub(crate) at: Duration,
}

/// One manager. What was sent to it arrives, even if the sender dies meanwhile.
pub(crate) struct FarEnd(Arc<Site>);

impl std::ops::Deref for FarEnd {
    type Target = Site;

    fn deref(&self) -> &Site {
        &self.0
    }
}

/// Where the requests arrive.
pub(crate) struct Site {
    clock: Arc<VirtualClock>,
    book: Arc<Book>,
    kill: Arc<Kill>,
    fired: Arc<Fired>,
    /// In which no second PUT for a slot may leave.
    settle: Duration,
    inner: Mutex<Truth>,
}

pub(crate) struct Truth {
    pub(crate) targets: Vec<Target>,
    pub(crate) keys: BTreeMap<TargetId, Vec<Came>>,
    pub(crate) puts: Vec<Put>,
    pub(crate) shown: Vec<Shown>,
    pub(crate) gets: u64,
    pub(crate) listings: u64,
    pub(crate) listings_asked: u64,
    pub(crate) applied: u64,
    /// When PUTs already taken in will act.
    later: Vec<(Duration, usize)>,
    /// Until then no connection is made.
    pub(crate) down_until: Duration,
    /// Until then every request is taken in and none answered.
    pub(crate) hangs_until: Duration,
    /// Until then only listings are answered.
    pub(crate) keys_hang_until: Duration,
    /// Until then our address is refused for keys, and lists all the same.
    pub(crate) keys_refused_until: Duration,
    /// Until then our login is refused for everything.
    pub(crate) login_refused_until: Duration,
    /// Until then PUTs are refused for want of a role.
    pub(crate) role_missing_until: Duration,
    /// How long a PUT waits for its turn before it leaves.
    pub(crate) queue: Duration,
    /// While so many PUTs in a thousand wait, an operator pauses their target.
    pub(crate) pauses: u64,
    /// Set when the daemon has been told to stop: from then on no PUT leaves.
    pub(crate) stopping: bool,
    pub(crate) hidden: BTreeSet<TargetId>,
    pub(crate) refusing: BTreeSet<TargetId>,
    pub(crate) broken: BTreeSet<TargetId>,
    /// Whose requests are taken in and never answered.
    pub(crate) dead: BTreeSet<TargetId>,
    /// Whose requests a proxy answers, with a page that speaks of the whole manager.
    pub(crate) blocked: BTreeSet<TargetId>,
    /// How often each key was asked for.
    pub(crate) asked: BTreeMap<TargetId, u64>,
    /// Keys being asked for now, and the most at one moment.
    asking: usize,
    pub(crate) most_asking: usize,
    pub(crate) fates: Vec<Fate>,
    /// So many journeys in a thousand take seconds.
    pub(crate) slow: u64,
    /// So many GETs in a thousand fail or hang.
    pub(crate) bad_gets: u64,
    pub(crate) chance: Chance,
    /// What should never have happened.
    pub(crate) violations: Vec<String>,
    /// Whether the wall clock ever stepped: then what is early is not known.
    pub(crate) clock_stepped: bool,
}

impl FarEnd {
    #[allow(clippy::too_many_arguments, reason = "a world's parts, each once")]
    pub(crate) fn new(
        clock: Arc<VirtualClock>,
        book: Arc<Book>,
        kill: Arc<Kill>,
        fired: Arc<Fired>,
        settle: Duration,
        targets: Vec<Target>,
        chance: Chance,
    ) -> Self {
        let first = |target: &Target| Came {
            id: KeyId::new(format!("{}-0", target.cluster_id)),
            at: Duration::ZERO,
            cause: Cause::First,
        };
        let truth = Truth {
            keys: targets.iter().map(|target| (target.id(), vec![first(target)])).collect(),
            targets,
            puts: Vec::new(),
            shown: Vec::new(),
            gets: 0,
            listings: 0,
            listings_asked: 0,
            applied: 0,
            later: Vec::new(),
            down_until: Duration::ZERO,
            hangs_until: Duration::ZERO,
            keys_hang_until: Duration::ZERO,
            keys_refused_until: Duration::ZERO,
            login_refused_until: Duration::ZERO,
            role_missing_until: Duration::ZERO,
            queue: Duration::ZERO,
            pauses: 0,
            stopping: false,
            hidden: BTreeSet::new(),
            refusing: BTreeSet::new(),
            broken: BTreeSet::new(),
            dead: BTreeSet::new(),
            blocked: BTreeSet::new(),
            asked: BTreeMap::new(),
            asking: 0,
            most_asking: 0,
            fates: vec![Fate::Apply],
            slow: 5,
            bad_gets: 0,
            chance,
            violations: Vec::new(),
            clock_stepped: false,
        };
        Self(Arc::new(Site { clock, book, kill, fired, settle, inner: Mutex::new(truth) }))
    }
}

impl Site {
    /// The truth as of now: what was to act by now has acted.
    pub(crate) fn truth(&self) -> MutexGuard<'_, Truth> {
        let mut truth = self.inner.lock().unwrap();
        let now = self.clock.monotonic();
        let (mut ripe, later): (Vec<_>, Vec<_>) = truth.later.drain(..).partition(|(at, _)| *at <= now);
        truth.later = later;
        ripe.sort_unstable();
        for (at, put) in ripe {
            self.act(&mut truth, put, at);
        }
        truth
    }

    /// Somebody else rotates the key.
    pub(crate) fn rotate_behind_our_back(&self, target: &TargetId) {
        let now = self.clock.monotonic();
        self.truth().new_key(target, now, Cause::Foreign);
    }

    /// The key goes back to the first one that the target ever had.
    pub(crate) fn restore(&self, target: &TargetId) {
        let now = self.clock.monotonic();
        let mut truth = self.truth();
        let keys = truth.keys.get_mut(target).unwrap();
        if keys.last().unwrap().id != keys[0].id {
            let id = keys[0].id.clone();
            keys.push(Came { id, at: now, cause: Cause::Regression });
        }
    }

    fn act(&self, truth: &mut Truth, number: usize, at: Duration) {
        let put = truth.puts[number].clone();
        truth.puts[number].effects.push(at);
        truth.applied += 1;
        truth.new_key(&put.target, at, Cause::Put(number));
        // The first promise: of the PUTs for one slot at most one acted within the settle time.
        let one = |other: &&Put| (&other.target, other.rotation.slot) == (&put.target, put.rotation.slot);
        // What others undid since, nobody could know of.
        let undone = |effect: Duration| {
            truth.keys[&put.target].iter().any(|came| came.cause == Cause::Regression && came.at >= effect)
        };
        let punctual = |other: &&Put| {
            other.effects.iter().any(|effect| *effect <= other.arrived + self.settle && !undone(*effect))
        };
        let doubled: Vec<_> =
            truth.puts.iter().filter(one).filter(punctual).map(|put| put.rotation.to_string()).collect();
        if doubled.len() > 1 {
            truth.violations.push(format!("{}: two rotations for one slot: {doubled:?}", put.target));
        }
    }

    async fn travel(&self) {
        let milliseconds = {
            let mut truth = self.inner.lock().unwrap();
            let slow = truth.slow;
            if truth.chance.per_mille(slow) {
                self.fired.count("network: slow");
                truth.chance.below(15_000)
            } else {
                1 + truth.chance.below(40)
            }
        };
        self.clock.sleep(Duration::from_millis(milliseconds)).await;
    }

    /// What meets every request: a manager that is down, or hangs.
    async fn reach(&self, scope: Scope) -> Result<(), Failure> {
        self.travel().await;
        let (down, hangs, refuses) = {
            let truth = self.truth();
            let now = self.clock.monotonic();
            let of_keys = |until| if scope == Scope::Target { until } else { Duration::ZERO };
            let hangs = truth.hangs_until.max(of_keys(truth.keys_hang_until));
            (now < truth.down_until, now < hangs, now < of_keys(truth.keys_refused_until))
        };
        if hangs {
            self.fired.count("manager: hangs");
            self.clock.sleep(TIME_OUT).await;
            return Err(failure(Reason::TimedOut, Verdict::Transient, scope));
        }
        if down {
            self.fired.count("manager: down");
            return Err(failure(Reason::Unreachable, Verdict::Transient, Scope::Manager));
        }
        if self.clock.monotonic() < self.truth().login_refused_until {
            self.fired.count("manager: login refused");
            return Err(failure(Reason::CredentialsRefused, Verdict::Permanent, Scope::Manager));
        }
        if refuses {
            self.fired.count("keys: address refused");
            return Err(failure(Reason::AddressRefused, Verdict::Permanent, Scope::Manager));
        }
        Ok(())
    }

    /// Takes a PUT in, if the record allows it.
    fn take_in(&self, truth: &mut Truth, target: &TargetId) -> usize {
        let now = self.clock.monotonic();
        let record = self.book.fleet().targets.get(target).cloned();
        let rotation = record.and_then(|record| record.rotation.clone());
        let number = truth.puts.len();
        match &rotation {
            Some(rotation) if matches!(rotation.phase, Phase::Sending { .. }) => {
                if truth.puts.iter().any(|put| put.target == *target && put.rotation == rotation.id) {
                    truth.violations.push(format!("{target}: a second PUT for attempt {}", rotation.id));
                }
                let unsettled = truth.puts.iter().any(|put| {
                    let same = (&put.target, put.rotation.slot) == (target, rotation.id.slot);
                    same && !put.refused && put.effects.is_empty() && now < put.arrived + self.settle
                });
                if unsettled {
                    truth.violations.push(format!("{target}: PUT {} before the settle time", rotation.id));
                }
            }
            _ => truth.violations.push(format!("{target}: a PUT without a record: {rotation:?}")),
        }
        let rotation = rotation.map_or(RotationId { slot: 0, attempt: 0 }, |rotation| rotation.id);
        truth.puts.push(Put { target: target.clone(), rotation, arrived: now, effects: Vec::new(), refused: false });
        number
    }
}

impl Truth {
    fn new_key(&mut self, target: &TargetId, at: Duration, cause: Cause) {
        let keys = self.keys.get_mut(target).unwrap();
        let (_, cluster) = target.as_str().rsplit_once('/').unwrap();
        keys.push(Came { id: KeyId::new(format!("{cluster}-{}", keys.len())), at, cause });
    }

    /// The slot that our PUT answered by this, if it was one.
    pub(crate) fn slot_of(&self, cause: Cause) -> Option<u64> {
        match cause {
            Cause::Put(number) => Some(self.puts[number].rotation.slot),
            Cause::First | Cause::Foreign | Cause::Regression => None,
        }
    }

    pub(crate) fn newest(&self, target: &TargetId) -> &Came {
        self.keys[target].last().unwrap()
    }
}

pub(crate) fn failure(reason: Reason, verdict: Verdict, scope: Scope) -> Failure {
    Failure { reason, verdict, scope, status: None, code: None, retry_after_s: None, detail: String::new() }
}

/// So many targets of a manager, two to a cluster.
pub(crate) fn targets(manager: &str, count: usize) -> Vec<Target> {
    (0..count)
        .map(|n| Target {
            manager: manager.into(),
            project_id: "5f".into(),
            project: "billing".to_owned(),
            cluster_id: format!("{n:04}").as_str().into(),
            cluster: format!("cluster-{:04}", n / 2),
            replica_set: format!("rs-{n:04}"),
            role: if n % 2 == 0 { Role::ConfigServer } else { Role::Shard },
            mechanism: Mechanism::BackupKey,
        })
        .collect()
}

#[async_trait]
impl KeyService for FarEnd {
    async fn discover(&self) -> Result<Discovery, Failure> {
        self.truth().listings_asked += 1;
        self.reach(Scope::Manager).await?;
        let mut truth = self.truth();
        truth.listings += 1;
        let shown = truth.targets.iter().filter(|target| !truth.hidden.contains(&target.id())).cloned();
        let sightings = shown.map(|target| Sighting { target, listing: Listing::Eligible }).collect();
        Ok(Discovery { sightings, ..Discovery::default() })
    }

    async fn current_key(&self, target: &Target) -> Result<KeyId, Failure> {
        {
            let mut truth = self.truth();
            *truth.asked.entry(target.id()).or_default() += 1;
            truth.asking += 1;
            truth.most_asking = truth.most_asking.max(truth.asking);
        }
        let key = self.answer(target).await;
        self.truth().asking -= 1;
        key
    }

    async fn rotate(&self, target: &Target, objection: Objection<'_>) -> Result<Accepted, Failure> {
        self.wait_for_a_turn(target).await;
        if let Some(detail) = objection() {
            self.fired.count("PUT: held back in the queue");
            return Err(Failure::new(Reason::Withheld, Verdict::Transient, Scope::Ourselves, detail));
        }
        self.leaves(target);
        self.kill.reached(Moment::BeforePut);
        let (site, id) = (Arc::clone(&self.0), target.id());
        tokio::spawn(async move { site.take_put(&id).await }).await.unwrap()
    }
}

impl Site {
    async fn answer(&self, target: &Target) -> Result<KeyId, Failure> {
        self.reach(Scope::Target).await?;
        let id = target.id();
        if self.truth().dead.contains(&id) {
            self.clock.sleep(TIME_OUT).await;
            return Err(failure(Reason::TimedOut, Verdict::Transient, Scope::Target));
        }
        if self.truth().blocked.contains(&id) {
            return Err(failure(Reason::Unreadable, Verdict::Transient, Scope::Manager));
        }
        let (key, bad) = {
            let mut truth = self.truth();
            truth.gets += 1;
            let bad = truth.bad_gets;
            let bad = truth.chance.per_mille(bad);
            if truth.hidden.contains(&id) || truth.broken.contains(&id) {
                self.fired.count("GET: not found");
                return Err(failure(Reason::NotFound, Verdict::Permanent, Scope::Target));
            }
            if truth.refusing.contains(&id) {
                self.fired.count("GET: not this way");
                return Err(failure(Reason::NotThisWay, Verdict::NotThisWay, Scope::Target));
            }
            let gateway = bad && truth.chance.per_mille(300);
            if gateway {
                self.fired.count("GET: gateway gives up");
                return Err(failure(Reason::ServerError, Verdict::Transient, Scope::Manager));
            }
            ((truth.keys[&id].len() - 1, truth.newest(&id).id.clone()), bad)
        };
        let (number, key) = key;
        if bad {
            self.fired.count("GET: reply lost");
            self.clock.sleep(TIME_OUT).await;
            return Err(failure(Reason::TimedOut, Verdict::Transient, Scope::Target));
        }
        self.travel().await;
        self.kill.reached(Moment::AfterGet);
        let at = self.clock.monotonic();
        self.inner.lock().unwrap().shown.push(Shown { target: id, number, at });
        Ok(key)
    }

    /// A PUT waits until the manager takes another request, and an operator may pause its target meanwhile.
    async fn wait_for_a_turn(&self, target: &Target) {
        let (queue, paused) = {
            let mut truth = self.truth();
            let pauses = truth.pauses;
            (truth.queue, pauses > 0 && truth.chance.per_mille(pauses))
        };
        if queue.is_zero() {
            return;
        }
        self.clock.sleep(queue / 2).await;
        if paused {
            self.fired.count("operator: paused");
            let (at, by) = (self.clock.now(), Caller { uid: 0, gid: 0, pid: 1, user: None, login: None });
            let (scope, reason) = (target.name().to_string(), "CHG-1".to_owned());
            let event = Event::PauseSet { scope, until: at + SignedDuration::from_hours(1), reason, by };
            // If it is not recorded, nobody was told that it holds.
            let _ = self.book.record(vec![Entry { at, actor: Actor::Operator(0), event }]).await;
        }
        self.clock.sleep(queue / 2).await;
    }

    /// The fourth promise: nothing leaves after a pause that was acknowledged, nor after a stop.
    fn leaves(&self, target: &Target) {
        let (fleet, name) = (self.book.fleet(), target.name());
        let record = fleet.targets.get(&target.id());
        let mut pauses = fleet.standing_pauses(self.clock.now());
        let paused = pauses.any(|(scope, _)| Glob::new(scope).matches(name.as_str()));
        let mut truth = self.truth();
        if truth.stopping || paused && !record.is_some_and(|record| record.overrides()) {
            let stopping = truth.stopping;
            truth.violations.push(format!("{name}: a PUT leaves, paused: {paused}, stopping: {stopping}"));
        }
    }

    async fn take_put(&self, target: &TargetId) -> Result<Accepted, Failure> {
        self.reach(Scope::Target).await.map_err(|failure| match failure.reason {
            Reason::TimedOut => Failure { verdict: Verdict::Ambiguous, ..failure },
            _ => failure,
        })?;
        let fate = self.decide(target);
        self.fired.count(self.name(fate));
        self.kill.reached(Moment::AfterPut);
        self.travel().await;
        match fate {
            Fate::Apply | Fate::ApplyLater(_) | Fate::ApplyTwice(_) | Fate::Nothing => Ok(Accepted { status: 201 }),
            Fate::Gateway | Fate::GatewayAndApplyLater(_) => {
                Err(failure(Reason::ServerError, Verdict::Ambiguous, Scope::Manager))
            }
            Fate::ApplyAndCut | Fate::CutAndApplyLater(_) | Fate::Cut => {
                Err(failure(Reason::CutOff, Verdict::Ambiguous, Scope::Target))
            }
            Fate::ApplyAndFail | Fate::FailAndApplyLater(_) | Fate::Fail => {
                Err(failure(Reason::ServerError, Verdict::Ambiguous, Scope::Target))
            }
            Fate::ApplyAndStall => {
                self.clock.sleep(TIME_OUT).await;
                Err(failure(Reason::TimedOut, Verdict::Ambiguous, Scope::Target))
            }
            Fate::Busy(retry_after_s) => {
                Err(Failure { retry_after_s, ..failure(Reason::RateLimited, Verdict::Transient, Scope::Target) })
            }
            Fate::Refuse => Err(failure(Reason::RoleMissing, Verdict::Permanent, Scope::Target)),
            Fate::RefuseAddress => Err(failure(Reason::AddressRefused, Verdict::Permanent, Scope::Manager)),
            Fate::Unreachable => Err(failure(Reason::Unreachable, Verdict::Transient, Scope::Manager)),
        }
    }

    /// Draws a PUT's fate and lets it do what it does now.
    fn decide(&self, target: &TargetId) -> Fate {
        let mut truth = self.truth();
        let number = self.take_in(&mut truth, target);
        let now = self.clock.monotonic();
        let fates = truth.fates.clone();
        let fate = if now < truth.role_missing_until { Fate::Refuse } else { truth.chance.pick(&fates) };
        match fate {
            Fate::Apply | Fate::ApplyAndCut | Fate::ApplyAndFail | Fate::ApplyAndStall => {
                self.act(&mut truth, number, now);
            }
            Fate::ApplyTwice(seconds) => {
                self.act(&mut truth, number, now);
                truth.later.push((now + Duration::from_secs(seconds), number));
            }
            Fate::ApplyLater(seconds)
            | Fate::GatewayAndApplyLater(seconds)
            | Fate::CutAndApplyLater(seconds)
            | Fate::FailAndApplyLater(seconds) => {
                truth.later.push((now + Duration::from_secs(seconds), number));
            }
            Fate::Busy(_) | Fate::Refuse | Fate::RefuseAddress | Fate::Unreachable => truth.puts[number].refused = true,
            Fate::Gateway | Fate::Cut | Fate::Fail | Fate::Nothing => {}
        }
        fate
    }

    fn name(&self, fate: Fate) -> &'static str {
        match fate {
            Fate::Apply => "PUT: in order",
            Fate::ApplyAndCut => "PUT: acts, reply lost",
            Fate::ApplyAndFail => "PUT: acts, answers 500",
            Fate::ApplyAndStall => "PUT: acts, reply beyond the time-out",
            Fate::ApplyTwice(_) => "PUT: acts twice",
            Fate::ApplyLater(seconds)
            | Fate::GatewayAndApplyLater(seconds)
            | Fate::CutAndApplyLater(seconds)
            | Fate::FailAndApplyLater(seconds)
                if seconds > self.settle.as_secs() =>
            {
                "PUT: acts after the settle time"
            }
            Fate::ApplyLater(_) => "PUT: accepted, acts late",
            Fate::CutAndApplyLater(_) => "PUT: reply lost, acts late",
            Fate::FailAndApplyLater(_) => "PUT: answers 500, acts late",
            Fate::Gateway => "PUT: gateway gives up",
            Fate::GatewayAndApplyLater(_) => "PUT: gateway gives up, acts late",
            Fate::Cut => "PUT: lost",
            Fate::Fail => "PUT: answers 500, never acts",
            Fate::Nothing => "PUT: accepted, never acts",
            Fate::Busy(None) => "PUT: busy",
            Fate::Busy(Some(_)) => "PUT: rate limit with Retry-After",
            Fate::Refuse => "PUT: role withdrawn",
            Fate::RefuseAddress => "PUT: address refused",
            Fate::Unreachable => "PUT: no connection",
        }
    }
}
