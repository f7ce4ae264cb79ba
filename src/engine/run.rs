//! The one loop: plan, start what the plan says, wait for something to change, plan again.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::discover::{Unseen, newly_excluded, news};
use super::look::CLOCK_TOLERANCE;
use super::rotate::Attempt;
use super::{Engine, Parts};
use crate::domain::{
    Actor, Decision, Event, Failure, Fleet, ManagerName, RotationId, Standing, TargetId, TargetRecord, Verdict,
};
use crate::policy::{Breaker, looks, passed, plan, probe_after};
use crate::ports::{Discovery, JournalError};

/// However far off the next due time is, the loop looks around this often. The sweep wakes it far more often, so that a
/// wall clock that leaps is noticed; this is for a sweep that has died.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// However much speaks for a listing, the next one is not sooner than this.
const SOON: Duration = Duration::from_secs(30);
/// How soon a ledger that could not be written is tried again.
const LEDGER_RETRY: Duration = Duration::from_secs(5);
/// A target whose event was impossible is left alone this long: a bug must not become a loop.
const AFTER_CONTRADICTION: Duration = Duration::from_secs(60);
/// Planning takes at most one part in this many of the time while tasks come and go.
const PLANNING_SHARE: u32 = 5;
/// However long a turn took, a ledger that hung among it, the rest after it is not longer.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// What the loop has under way and may lose.
#[derive(Default)]
struct Hand {
    tasks: JoinSet<Ended>,
    jobs: HashMap<Id, Job>,
    rotating: BTreeSet<TargetId>,
    looking: BTreeSet<TargetId>,
    looks_by_manager: BTreeMap<ManagerName, usize>,
    /// Looks that the newest plan asks for and that had no place yet, by manager.
    looks_to_come: BTreeMap<ManagerName, VecDeque<TargetId>>,
    /// Targets that the newest plan would have gone on with, had they not been busy.
    awaited: BTreeSet<TargetId>,
    /// The ledger's newest record when the newest plan was made.
    planned_at: u64,
    /// When a look at a target was last tried.
    tried: BTreeMap<TargetId, Timestamp>,
    listings: BTreeMap<ManagerName, Listings>,
    /// When a rotation that was sent was first found with no task at work on it, by the monotonic clock.
    found: BTreeMap<TargetId, (RotationId, Duration)>,
    /// Targets that a person wants looked at, until the look begins.
    asked: BTreeSet<TargetId>,
    /// What was in force at the last turn.
    parts: Option<Arc<Parts>>,
    /// Both clocks, wall and monotonic, when they were last compared.
    clocks: Option<(Timestamp, Duration)>,
    /// Cancelled when nothing new may begin.
    closing: CancellationToken,
}

/// A manager's listings: when the next is due, by the monotonic clock.
#[derive(Default)]
struct Listings {
    due: Duration,
    under_way: bool,
    /// When one last succeeded, by the wall clock and by the monotonic one.
    answered: Option<(Timestamp, Duration)>,
    /// Set from the first sign of an outage until a listing succeeds.
    probing: bool,
    /// Set while a key is read to see whether more than the listing works.
    proving: bool,
    /// Outages and failed probes since the last routine listing that succeeded: a manager that comes and goes is probed
    /// ever more seldom.
    failures: u32,
    unseen: Unseen,
}

#[derive(Clone)]
enum Job {
    Rotate(TargetId),
    Look(TargetId, ManagerName),
    List(ManagerName),
}

/// What a task brings back; what it did is in the journal.
enum Ended {
    Worked,
    /// It could not record what it had to.
    Unrecorded,
    Listed(Result<Discovery, Failure>),
}

impl Engine {
    /// Works until `closing` is cancelled, then lets what is under way finish for at most `grace` and parks the rest.
    ///
    /// `sweep` wakes the loop. What is parked stays open in the journal and is settled by the next start.
    pub async fn run(self: Arc<Self>, sweep: Arc<Notify>, closing: CancellationToken, grace: Duration) {
        let mut hand = Hand { closing: closing.clone(), ..Hand::default() };
        while !closing.is_cancelled() {
            let started = self.clock.monotonic();
            let ready = self.scribe.try_again().await
                && self.compare_clocks(&mut hand).await
                && self.take_over(&mut hand).await
                && self.end_holds().await;
            hand.looks_to_come.clear();
            let pause = if ready { self.turn(&mut hand).await } else { None };
            let pause = pause.unwrap_or(LEDGER_RETRY);
            self.state.swept(self.clock.as_ref());
            let cost = self.clock.monotonic().saturating_sub(started);
            let until = self.clock.monotonic() + pause;
            while !self.is_time_to_plan(&mut hand, &sweep, until, cost).await {}
        }
        self.close(hand, grace).await;
    }

    /// Waits for something to happen, until `until` at the latest. False if it changes nothing that a plan could depend on:
    /// most looks find what was there before.
    async fn is_time_to_plan(
        self: &Arc<Self>,
        hand: &mut Hand,
        sweep: &Notify,
        until: Duration,
        cost: Duration,
    ) -> bool {
        let closing = hand.closing.clone();
        tokio::select! {
            // In this order, so that the same run goes the same way.
            biased;
            () = closing.cancelled() => true,
            Some(ended) = hand.tasks.join_next_with_id() => {
                let mut news = self.ended(hand, ended).await;
                if news {
                    // Raced with the end, which must not wait.
                    tokio::select! {
                        biased;
                        () = closing.cancelled() => {}
                        () = self.clock.sleep(LONGEST_REST.min(cost * (PLANNING_SHARE - 1))) => {}
                    }
                }
                while let Some(ended) = hand.tasks.try_join_next_with_id() {
                    news |= self.ended(hand, ended).await;
                }
                news || self.clock.monotonic() >= until
            }
            () = self.orders.woken() => true,
            () = sweep.notified() => true,
            () = self.clock.sleep(until.saturating_sub(self.clock.monotonic())) => true,
        }
    }

    /// Goes over to the managers and rules in force, if they are others than at the last turn: what they exclude is excluded
    /// without waiting for a listing, and every manager is listed anew.
    async fn take_over(&self, hand: &mut Hand) -> bool {
        let parts = self.parts();
        if hand.parts.as_ref().is_some_and(|former| Arc::ptr_eq(former, &parts)) {
            return true;
        }
        let excluded = newly_excluded(&self.scribe.fleet(), &parts.rules);
        if self.scribe.write(Actor::Daemon, excluded).await.is_err() {
            return false;
        }
        hand.listings.retain(|name, _| parts.managers.contains_key(name));
        hand.listings.values_mut().for_each(|listings| listings.due = Duration::ZERO);
        hand.parts = Some(parts);
        true
    }

    /// Records that a pause or a freeze is over when its time has come; the planner knows without.
    async fn end_holds(&self) -> bool {
        let now = self.clock.now();
        let fleet = self.scribe.fleet();
        let over = fleet.pauses.iter().filter(|(_, pause)| pause.until <= now);
        let pauses = over.map(|(scope, _)| Event::PauseEnded { scope: scope.clone(), reason: None, by: None });
        let over = fleet.freezes.iter().filter(|(_, ordered)| !ordered.ended && ordered.freeze.span.end <= now);
        let freezes = over.map(|(name, _)| Event::FreezeEnded { name: name.clone(), reason: None, by: None });
        self.scribe.write(Actor::Daemon, pauses.chain(freezes).collect()).await.is_ok()
    }

    /// Records a step of the wall clock. Times on record from before it are of another measure than those after.
    async fn compare_clocks(&self, hand: &mut Hand) -> bool {
        let (wall, monotonic) = (self.clock.now(), self.clock.monotonic());
        if let Some((wall_then, monotonic_then)) = hand.clocks {
            let passed = SignedDuration::try_from(monotonic.saturating_sub(monotonic_then)).unwrap_or_default();
            let step = wall.duration_since(wall_then).saturating_sub(passed);
            let recorded = step.abs() <= CLOCK_TOLERANCE
                || self.scribe.write(Actor::Daemon, vec![Event::ClockStepped { by_s: step.as_secs() }]).await.is_ok();
            if !recorded {
                return false;
            }
        }
        hand.clocks = Some((wall, monotonic));
        true
    }

    /// Plans once, records what went by unused, and starts what the plan says. Returns how long nothing will change by
    /// itself; none if the ledger can not be written.
    async fn turn(self: &Arc<Self>, hand: &mut Hand) -> Option<Duration> {
        let now = self.clock.now();
        // Asked first: what is recorded meanwhile is seen, at worst, twice.
        hand.planned_at = self.scribe.head().seq;
        hand.awaited.clear();
        let fleet = self.scribe.fleet();
        let parts = self.parts();
        let plan = plan(now, &fleet, &parts.rules, &hand.rotating);
        let passed = passed(now, self.state.started_at(), &fleet, &parts.rules, &plan);
        // Meanwhile only targets that are busy can change.
        self.scribe.write(Actor::Schedule, passed).await.ok()?;
        let listing_due = self.list(hand, &fleet);
        for planned in plan.decisions {
            if hand.is_busy(&planned.target) {
                match planned.decision {
                    Decision::Rotate { .. } | Decision::Resume { .. } | Decision::Withdraw { .. } => {
                        hand.awaited.insert(planned.target);
                    }
                    Decision::Wait { .. } | Decision::Quarantined { .. } | Decision::NotManaged { .. } => {}
                }
                continue;
            }
            let Some(record) = fleet.targets.get(&planned.target) else { continue };
            match planned.decision {
                Decision::Rotate { rotation, due_at } => {
                    self.rotate(hand, planned.target, record, Task::Begin(rotation, due_at));
                }
                Decision::Resume { rotation } => {
                    let now = self.clock.monotonic();
                    let sent = record.rotation.as_ref().is_some_and(|open| open.sent_at().is_some());
                    // The settle time of what has not left yet begins when it leaves.
                    let found = if sent { hand.found_at(&planned.target, rotation, now) } else { now };
                    self.rotate(hand, planned.target, record, Task::Resume(found));
                }
                Decision::Withdraw { rotation, why } => {
                    self.rotate(hand, planned.target, record, Task::Withdraw(rotation, why));
                }
                Decision::Wait { .. } | Decision::Quarantined { .. } | Decision::NotManaged { .. } => {}
            }
        }
        let looks = looks(now, &fleet, &parts.rules, &hand.tried);
        hand.asked.extend(self.orders.take_looks());
        for target in hand.asked.iter().cloned().chain(looks.now) {
            if let Some(record) = fleet.targets.get(&target) {
                hand.looks_to_come.entry(record.target.manager.clone()).or_default().push_back(target);
            }
        }
        for manager in parts.managers.keys() {
            self.observe_next(hand, manager);
        }
        let wall = [plan.next_at, looks.next_at].into_iter().flatten().min();
        let until = wall.map_or(LONGEST_PAUSE, |at| {
            at.duration_since(now).max(SignedDuration::ZERO).try_into().unwrap_or(LONGEST_PAUSE)
        });
        Some(until.min(listing_due).min(LONGEST_PAUSE))
    }

    fn rotate(self: &Arc<Self>, hand: &mut Hand, target: TargetId, record: &Arc<TargetRecord>, task: Task) {
        let (engine, record, closing) = (Arc::clone(self), Arc::clone(record), hand.closing.clone());
        hand.rotating.insert(target.clone());
        hand.start(Job::Rotate(target), async move { engine.guard(engine.carry_out(&record, task, &closing)).await });
    }

    async fn carry_out(
        &self,
        record: &TargetRecord,
        task: Task,
        closing: &CancellationToken,
    ) -> Result<(), JournalError> {
        if let Task::Withdraw(rotation, why) = task {
            let target = record.target.id();
            return self.scribe.write(Actor::Daemon, vec![Event::RotationWithdrawn { target, rotation, why }]).await;
        }
        let parts = self.parts();
        let (Some(manager), Some(policy), Some(known)) =
            (parts.managers.get(&record.target.manager), parts.rules.policy_of(&record.target), &record.key)
        else {
            return Ok(());
        };
        let (service, rules) = (manager.service.as_ref(), parts.rules.as_ref());
        let attempt = Attempt { engine: self, service, policy, rules, record, known, closing };
        match (task, &record.rotation) {
            (Task::Begin(rotation, due_at), _) => attempt.begin(rotation, due_at).await,
            (Task::Resume(found), Some(rotation)) => attempt.resume(rotation.clone(), found).await,
            (Task::Resume(_), None) | (Task::Withdraw(..), _) => Ok(()),
        }
    }

    /// Starts the looks that the plan asks for, as far as their manager has places.
    fn observe_next(self: &Arc<Self>, hand: &mut Hand, manager: &ManagerName) {
        let limit = self.parts().managers.get(manager).map_or(0, |manager| manager.max_concurrent);
        let fleet = self.scribe.fleet();
        while hand.looks_by_manager.get(manager).copied().unwrap_or_default() < limit
            && let Some(target) = hand.looks_to_come.get_mut(manager).and_then(VecDeque::pop_front)
        {
            if let Some(record) = fleet.targets.get(&target)
                && !hand.is_busy(&target)
            {
                self.observe(hand, target, record);
            }
        }
    }

    fn observe(self: &Arc<Self>, hand: &mut Hand, target: TargetId, record: &Arc<TargetRecord>) {
        let manager = record.target.manager.clone();
        *hand.looks_by_manager.entry(manager.clone()).or_default() += 1;
        hand.tried.insert(target.clone(), self.clock.now());
        hand.looking.insert(target.clone());
        hand.asked.remove(&target);
        let (engine, record) = (Arc::clone(self), Arc::clone(record));
        hand.start(Job::Look(target, manager), async move { engine.guard(engine.glance(&record)).await });
    }

    async fn glance(&self, record: &TargetRecord) -> Result<(), JournalError> {
        match self.parts().managers.get(&record.target.manager) {
            Some(manager) => self.look(manager.service.as_ref(), record, None).await.map(drop),
            None => Ok(()),
        }
    }

    /// What the journal refused has been told to the observer; a contradiction is also kept from repeating at once.
    async fn guard(&self, work: impl Future<Output = Result<(), JournalError>>) -> Ended {
        match work.await {
            Ok(()) => Ended::Worked,
            Err(JournalError::Impossible(_)) => {
                self.clock.sleep(AFTER_CONTRADICTION).await;
                Ended::Worked
            }
            Err(_) => Ended::Unrecorded,
        }
    }

    /// Starts the listings that are due. Returns how long until the next one.
    fn list(self: &Arc<Self>, hand: &mut Hand, fleet: &Fleet) -> Duration {
        let now = self.clock.monotonic();
        let mut wait = LONGEST_PAUSE;
        for name in self.parts().managers.keys() {
            let outage = fleet.managers.get(name).is_some_and(|manager| manager.outage.is_some());
            let listings = hand.listings.entry(name.clone()).or_default();
            if listings.under_way {
                continue;
            }
            if outage && !listings.probing {
                // Others than a listing have met the outage: it is for the listings to see its end.
                listings.fail(now);
            } else if let Some((answered, ago)) = listings.answered
                && !outage
                && in_doubt(fleet, name, answered)
            {
                // What a target fails at may be its manager's doing; a listing tells, before many attempts are spent on it.
                listings.due = listings.due.min(ago + SOON);
            }
            if now < listings.due {
                wait = wait.min(listings.due - now);
                continue;
            }
            listings.under_way = true;
            let (engine, name) = (Arc::clone(self), name.clone());
            hand.start(Job::List(name.clone()), async move {
                match engine.parts().managers.get(&name) {
                    Some(manager) => Ended::Listed(manager.service.discover().await),
                    None => Ended::Worked,
                }
            });
        }
        wait
    }

    /// Takes a task's end in. True if the plan may be another one now.
    async fn ended(self: &Arc<Self>, hand: &mut Hand, ended: Result<(Id, Ended), tokio::task::JoinError>) -> bool {
        let (id, ended) = match ended {
            Ok((id, ended)) => (id, ended),
            Err(error) => {
                // The journal holds what it had done; the next plan takes it from there.
                tracing::error!(%error, "a task ended by a panic: this is a bug");
                (error.id(), Ended::Worked)
            }
        };
        match hand.jobs.remove(&id) {
            None => true,
            Some(Job::Rotate(target)) => {
                hand.rotating.remove(&target);
                true
            }
            Some(Job::Look(target, manager)) => {
                hand.looking.remove(&target);
                if let Some(under_way) = hand.looks_by_manager.get_mut(&manager) {
                    *under_way = under_way.saturating_sub(1);
                }
                if let Some(listings) = hand.listings.get_mut(&manager)
                    && listings.proving
                    && !self.is_doubtful(&manager)
                {
                    listings.proving = false;
                    listings.due = self.clock.monotonic();
                    return true;
                }
                let unrecorded = matches!(ended, Ended::Unrecorded);
                if unrecorded {
                    // What it saw is to be seen again as soon as it can be recorded.
                    hand.tried.remove(&target);
                }
                let news = unrecorded || hand.awaited.contains(&target) || self.scribe.head().seq != hand.planned_at;
                if !news {
                    self.observe_next(hand, &manager);
                }
                news
            }
            Some(Job::List(manager)) => {
                self.listed(hand, &manager, ended).await;
                true
            }
        }
    }

    async fn listed(self: &Arc<Self>, hand: &mut Hand, name: &ManagerName, ended: Ended) {
        let parts = self.parts();
        let Some(manager) = parts.managers.get(name) else { return };
        if let Ended::Listed(Ok(_)) = &ended
            && self.is_doubtful(name)
            && self.prove(hand, name)
        {
            self.state.heard_of(name);
            return;
        }
        let listings = hand.listings.entry(name.clone()).or_default();
        let now = self.clock.monotonic();
        listings.under_way = false;
        match ended {
            Ended::Listed(Ok(discovery)) => {
                let events = news(&self.scribe.fleet(), &parts.rules, name, &discovery, &mut listings.unseen);
                // Were it not recorded, the next listing would bring the same news.
                let recorded = self.scribe.write(Actor::Daemon, events).await.is_ok();
                self.breakers().entry(name.clone()).or_default().answers();
                listings.answered = Some((self.clock.now(), now));
                if !std::mem::take(&mut listings.probing) {
                    listings.failures = 0;
                }
                listings.due = now + if recorded { manager.discover_every.as_duration() } else { probe_after(1) };
            }
            Ended::Listed(Err(failure)) => {
                listings.fail(now);
                // A ledger that can not be written is dealt with by the loop.
                let _ = self.manager_failed(name, &failure).await;
            }
            Ended::Worked | Ended::Unrecorded => listings.due = now + probe_after(1),
        }
        self.state.heard_of(name);
    }

    /// Whether so many targets failed in a row that a listing alone does not show that the manager works.
    fn is_doubtful(&self, manager: &ManagerName) -> bool {
        self.breakers().get(manager).is_some_and(Breaker::is_open)
    }

    /// Has one key read, another one each time, of a manager whose listing works and whose keys could not be read. Until
    /// one can, this is a failed probe. False if there is none to read.
    fn prove(self: &Arc<Self>, hand: &mut Hand, name: &ManagerName) -> bool {
        let fleet = self.scribe.fleet();
        let readable = fleet.targets.iter().filter(|(id, record)| {
            let ours = record.target.manager == *name && record.standing() == Standing::Managed;
            ours && record.rotation.is_none() && !hand.is_busy(id)
        });
        let Some((id, record)) = readable.min_by_key(|(id, _)| hand.tried.get(*id)) else { return false };
        let listings = hand.listings.entry(name.clone()).or_default();
        listings.under_way = false;
        listings.proving = true;
        listings.fail(self.clock.monotonic());
        self.observe(hand, id.clone(), record);
        true
    }

    /// Lets the tasks finish, then drops what is left: to drop a task is to crash it, which is safe at any point.
    async fn close(&self, mut hand: Hand, grace: Duration) {
        let finish = async { while hand.tasks.join_next().await.is_some() {} };
        tokio::select! {
            biased;
            () = finish => {}
            () = self.clock.sleep(grace) => {}
        }
        hand.tasks.shutdown().await;
        let parked = self.scribe.fleet().targets.values().filter(|record| record.rotation.is_some()).count();
        // If this is not recorded, the next start sees the same as after a crash.
        let _ = self.scribe.write(Actor::Daemon, vec![Event::DaemonStopped { parked: parked as u64 }]).await;
    }
}

/// Whether a target of the manager began to fail after the manager's last listing, in a way that is not its own.
fn in_doubt(fleet: &Fleet, manager: &ManagerName, answered: Timestamp) -> bool {
    fleet.targets.values().filter(|record| record.target.manager == *manager).any(|record| {
        record
            .unread
            .as_ref()
            .is_some_and(|(since, failure)| failure.verdict == Verdict::Transient && *since > answered)
    })
}

impl Listings {
    /// A sign of an outage: the next listing is a probe.
    fn fail(&mut self, now: Duration) {
        self.probing = true;
        self.failures += 1;
        self.due = now + probe_after(self.failures);
    }
}

/// What is to be done with one target.
enum Task {
    Begin(RotationId, Timestamp),
    /// Found open at this time, by the monotonic clock.
    Resume(Duration),
    Withdraw(RotationId, String),
}

impl Hand {
    fn is_busy(&self, target: &TargetId) -> bool {
        self.rotating.contains(target) || self.looking.contains(target)
    }

    /// When this process first found the rotation sent and not settled, which is now at the latest.
    fn found_at(&mut self, target: &TargetId, rotation: RotationId, now: Duration) -> Duration {
        let found = self.found.entry(target.clone()).or_insert((rotation, now));
        if found.0 != rotation {
            *found = (rotation, now);
        }
        found.1
    }

    fn start(&mut self, job: Job, work: impl Future<Output = Ended> + Send + 'static) {
        let id = self.tasks.spawn(work).id();
        self.jobs.insert(id, job);
    }
}
