//! The one loop: plan, start what the plan says, wait for something to change, plan again.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::discover::{newly_excluded, newly_governed};
use super::listings::Listings;
use super::look::CLOCK_TOLERANCE;
use super::rotate::Attempt;
use super::{Engine, Parts};
use crate::domain::{Actor, Decision, Event, Failure, ManagerName, Rotation, RotationId, TargetId, TargetRecord};
use crate::policy::{Line, passed, plan};
use crate::ports::{Discovery, JournalError};

/// However far off the next due time is, the loop looks around this often. The sweep wakes it far more often, so that a
/// wall clock that leaps is noticed; this is for a sweep that has died.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// How soon a ledger that could not be written is tried again.
const LEDGER_RETRY: Duration = Duration::from_secs(5);
/// A target whose event was impossible is left alone this long: a bug must not become a loop.
const AFTER_CONTRADICTION: Duration = Duration::from_secs(60);
/// Planning takes at most one part in this many of the time while tasks come and go.
const PLANNING_SHARE: u32 = 20;
/// However long a turn took, a ledger that hung among it, the rest after it is not longer.
const LONGEST_REST: Duration = Duration::from_secs(1);

/// What the loop has under way and may lose.
#[derive(Default)]
pub(super) struct Hand {
    tasks: JoinSet<Ended>,
    jobs: HashMap<Id, Job>,
    rotating: BTreeSet<TargetId>,
    pub(super) looking: BTreeSet<TargetId>,
    pub(super) looks_by_manager: BTreeMap<ManagerName, usize>,
    /// When to look for more looks that are due, by the monotonic clock.
    pub(super) look_at: Duration,
    /// Looks that are due and that had no place yet, by manager.
    pub(super) looks_to_come: BTreeMap<ManagerName, VecDeque<TargetId>>,
    /// Targets that the newest plan would have gone on with, had they not been busy.
    awaited: BTreeSet<TargetId>,
    /// Who begins when a rotation ends, until the next plan.
    line: Line,
    /// Whether the newest plan knows of a slot that is due: then windows and freezes that go by are to be told of.
    something_due: bool,
    /// The ledger's newest record when the newest plan was made.
    planned_at: u64,
    /// When a look at a target was last tried.
    pub(super) tried: BTreeMap<TargetId, Timestamp>,
    pub(super) listings: BTreeMap<ManagerName, Listings>,
    /// When a rotation that was sent was first found with no task at work on it, by the monotonic clock.
    found: BTreeMap<TargetId, (RotationId, Duration)>,
    /// Targets that a person wants looked at, until the look begins.
    pub(super) asked: BTreeSet<TargetId>,
    /// What was in force at the last turn.
    parts: Option<Arc<Parts>>,
    /// Both clocks, wall and monotonic, when they were last compared.
    clocks: Option<(Timestamp, Duration)>,
    /// Cancelled when nothing new may begin.
    closing: CancellationToken,
}

#[derive(Clone)]
pub(super) enum Job {
    Rotate(TargetId),
    Look(TargetId, ManagerName),
    List(ManagerName),
}

/// What a task brings back; what it did is in the journal.
pub(super) enum Ended {
    Worked,
    /// It could not record what it had to.
    Unrecorded,
    /// With what was in force when the listing began.
    Listed(Arc<Parts>, Result<Discovery, Failure>),
}

impl Engine {
    /// Works until `closing` is cancelled, then lets what is under way finish for at most `grace` and parks the rest.
    ///
    /// `sweep` wakes the loop. What is parked stays open in the journal and is settled by the next start.
    pub async fn run(self: Arc<Self>, sweep: Arc<Notify>, closing: CancellationToken, grace: Duration) {
        let mut hand = Hand { closing: closing.clone(), ..Hand::default() };
        while !closing.is_cancelled() {
            let started = self.clock.monotonic();
            let ready = self.ledger_works().await
                && self.compare_clocks(&mut hand).await
                && self.take_over(&mut hand).await
                && self.end_holds().await;
            hand.looks_to_come.clear();
            hand.look_at = Duration::MAX;
            hand.line = Line::default();
            let pause = if ready { self.turn(&mut hand).await } else { None };
            self.state.swept(self.clock.as_ref());
            let planned = self.clock.monotonic();
            let rested = planned + LONGEST_REST.min((planned - started) * (PLANNING_SHARE - 1));
            self.work_until(&mut hand, &sweep, planned + pause.unwrap_or(LEDGER_RETRY), rested).await;
        }
        self.close(hand, grace).await;
    }

    /// Tries a ledger that could not be written. No key was looked at meanwhile: when it can be, a round of looks begins.
    async fn ledger_works(&self) -> bool {
        if let Some((since, _)) = self.scribe.unwritable() {
            let parts = self.parts();
            // Before it works, so that at no moment the keys pass for unread.
            parts.managers.keys().for_each(|manager| self.round_begins(&parts, manager, since));
        }
        self.scribe.try_again().await
    }

    /// Takes in what ends, begins what stood in line for it, and looks at keys when it is time to, until it is time to plan:
    /// `until` at the latest, and not before `rested` if something ended that the plan depends on. Most looks find what was
    /// there before, and most rotations only make room for the next.
    async fn work_until(self: &Arc<Self>, hand: &mut Hand, sweep: &Notify, mut until: Duration, rested: Duration) {
        let closing = hand.closing.clone();
        loop {
            let wake = until.min(hand.look_at);
            tokio::select! {
                // In this order, so that the same run goes the same way, and no stream of tasks that end hides an order.
                biased;
                () = closing.cancelled() => return,
                () = self.orders.woken() => return,
                () = sweep.notified() => {
                    self.scribe.note_seen().await;
                    if !self.is_as_planned(hand) {
                        return;
                    }
                    self.state.swept(self.clock.as_ref());
                }
                Some(ended) = hand.tasks.join_next_with_id() => {
                    let mut news = self.ended(hand, ended).await;
                    while let Some(ended) = hand.tasks.try_join_next_with_id() {
                        news |= self.ended(hand, ended).await;
                    }
                    if news {
                        until = until.min(rested);
                    }
                    if hand.looking.is_empty() {
                        self.scribe.note_seen().await;
                    }
                }
                () = self.clock.sleep(wake.saturating_sub(self.clock.monotonic())) => {}
            }
            let now = self.clock.monotonic();
            if now >= until {
                return;
            }
            if now >= hand.look_at {
                self.look_around(hand);
            }
        }
    }

    /// Whether a plan would be the one that was made, as long as no time has come that it named: nothing was due, nothing has
    /// been recorded since, and the clock has not leapt.
    fn is_as_planned(&self, hand: &Hand) -> bool {
        let (wall, monotonic) = (self.clock.now(), self.clock.monotonic());
        !hand.something_due
            && self.scribe.unwritable().is_none()
            && self.scribe.head().seq == hand.planned_at
            && hand.clocks.is_some_and(|then| step(then, (wall, monotonic)).abs() <= CLOCK_TOLERANCE)
    }

    /// Goes over to the managers and rules in force, if they are others than at the last turn: what they exclude is excluded
    /// and which policy governs which target is on record without waiting for a listing, and every manager is listed anew.
    async fn take_over(&self, hand: &mut Hand) -> bool {
        let parts = self.parts();
        if hand.parts.as_ref().is_some_and(|former| Arc::ptr_eq(former, &parts)) {
            return true;
        }
        let fleet = self.scribe.fleet();
        let mut news = newly_excluded(&fleet, &parts.rules);
        news.extend(newly_governed(&fleet, &parts.rules));
        if self.scribe.write(Actor::Daemon, news).await.is_err() {
            return false;
        }
        hand.listings.retain(|name, _| parts.managers.contains_key(name));
        hand.listings.values_mut().for_each(|listings| listings.due = Duration::ZERO);
        hand.parts = Some(parts);
        true
    }

    /// Records that a pause or a freeze is over when its time has come; the planner knows without. Not by a clock that may have
    /// leapt: a pause that is recorded as over does not stand again when the clock is right.
    async fn end_holds(&self) -> bool {
        let now = self.clock.now();
        let fleet = self.scribe.fleet();
        if fleet.doubts_clock(now).is_some() {
            return true;
        }
        let over = fleet.pauses.iter().filter(|(_, pause)| pause.until <= now);
        let pauses = over.map(|(scope, _)| Event::PauseEnded { scope: scope.clone(), reason: None, by: None });
        let over = fleet.freezes.iter().filter(|(_, ordered)| !ordered.ended && ordered.freeze.span.end <= now);
        let freezes = over.map(|(name, _)| Event::FreezeEnded { name: name.clone(), reason: None, by: None });
        self.scribe.write(Actor::Daemon, pauses.chain(freezes).collect()).await.is_ok()
    }

    /// Records a step of the wall clock. Times on record from before it are of another measure than those after.
    async fn compare_clocks(&self, hand: &mut Hand) -> bool {
        let (wall, monotonic) = (self.clock.now(), self.clock.monotonic());
        if let Some(then) = hand.clocks {
            let step = step(then, (wall, monotonic));
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
    /// itself; none if the ledger cannot be written.
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
        hand.something_due = plan.decisions.iter().any(|planned| match planned.decision {
            Decision::Quarantined { .. } | Decision::NotManaged { .. } => false,
            Decision::Wait { due_at, .. } => due_at.is_some_and(|due_at| due_at <= now),
            Decision::Rotate { .. } | Decision::Resume { .. } | Decision::Withdraw { .. } => true,
        });
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
        hand.line = plan.line;
        self.look_around(hand);
        // That a hold is over is recorded when its time has come, and the clock can be gone by.
        let doubted = fleet.doubts_clock(now).map(|(until, _)| until);
        let pauses = fleet.pauses.values().map(|pause| pause.until);
        let freezes = fleet.freezes.values().filter(|ordered| !ordered.ended).map(|ordered| ordered.freeze.span.end);
        let over = pauses.chain(freezes).map(|end| doubted.map_or(end, |until| until.max(end)));
        let until = plan.next_at.into_iter().chain(over).min().map_or(LONGEST_PAUSE, |at| wait(now, at));
        Some(until.min(listing_due).min(LONGEST_PAUSE))
    }

    /// Gives the place that a rotation has left to who stands in line for it. False if only a plan can tell what is next:
    /// nobody stands there, or the rotation was not simply answered.
    fn pass_on(self: &Arc<Self>, hand: &mut Hand, answered: &TargetId) -> bool {
        let (now, fleet, parts) = (self.clock.now(), self.scribe.fleet(), self.parts());
        // Rules that were not taken over have not excluded yet what they exclude.
        if !hand.parts.as_ref().is_some_and(|known| Arc::ptr_eq(known, &parts)) {
            return false;
        }
        let Some(record) = fleet.targets.get(answered) else { return false };
        if record.rotation.is_some() || record.setback.is_some() || record.quarantine.is_some() {
            return false;
        }
        hand.line.leave(record);
        let mut begun = false;
        while let Some((target, record, rotation, due_at)) =
            hand.line.next(now, &fleet, &parts.rules, &record.target.manager)
        {
            if hand.looking.contains(&target) {
                // It keeps its turn, which only a plan can do.
                return false;
            }
            begun = true;
            self.rotate(hand, target, record, Task::Begin(rotation, due_at));
        }
        begun
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
        let service = manager.service.as_ref();
        let attempt = Attempt { engine: self, service, policy, record, known, closing };
        match (task, &record.rotation) {
            (Task::Begin(rotation, due_at), _) => attempt.begin(rotation, due_at).await,
            (Task::Resume(found), Some(rotation)) => attempt.resume(Rotation::clone(rotation), found).await,
            (Task::Resume(_), None) | (Task::Withdraw(..), _) => Ok(()),
        }
    }

    /// What the journal refused has been told to the observer; a contradiction is also kept from repeating at once.
    pub(super) async fn guard(&self, work: impl Future<Output = Result<(), JournalError>>) -> Ended {
        match work.await {
            Ok(()) => Ended::Worked,
            Err(JournalError::Impossible(_)) => {
                self.clock.sleep(AFTER_CONTRADICTION).await;
                Ended::Worked
            }
            Err(_) => Ended::Unrecorded,
        }
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
                let begun = matches!(ended, Ended::Worked) && self.pass_on(hand, &target);
                if !begun {
                    hand.line = Line::default();
                }
                !begun
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
                self.observe_next(hand, &manager);
                let wanted = hand.awaited.contains(&target) || hand.asked.contains(&target);
                unrecorded || wanted || self.scribe.head().seq != hand.planned_at
            }
            Some(Job::List(manager)) => {
                self.listed(hand, &manager, ended).await;
                true
            }
        }
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
        self.scribe.note_seen().await;
        let parked = self.scribe.fleet().targets.values().filter(|record| record.rotation.is_some()).count();
        // If this is not recorded, the next start sees the same as after a crash.
        let _ = self.scribe.write(Actor::Daemon, vec![Event::DaemonStopped { parked: parked as u64 }]).await;
    }
}

/// How long it is from `now` to `at`, as far as anyone waits.
pub(super) fn wait(now: Timestamp, at: Timestamp) -> Duration {
    at.duration_since(now).max(SignedDuration::ZERO).try_into().unwrap_or(LONGEST_PAUSE)
}

/// By how much the wall clock has stepped between two readings of both clocks, the wall clock's first.
fn step(then: (Timestamp, Duration), now: (Timestamp, Duration)) -> SignedDuration {
    let passed = SignedDuration::try_from(now.1.saturating_sub(then.1)).unwrap_or_default();
    now.0.duration_since(then.0).saturating_sub(passed)
}

/// What is to be done with one target.
enum Task {
    Begin(RotationId, Timestamp),
    /// Found open at this time, by the monotonic clock.
    Resume(Duration),
    Withdraw(RotationId, String),
}

impl Hand {
    pub(super) fn is_busy(&self, target: &TargetId) -> bool {
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

    pub(super) fn start(&mut self, job: Job, work: impl Future<Output = Ended> + Send + 'static) {
        let id = self.tasks.spawn(work).id();
        self.jobs.insert(id, job);
    }
}
