//! What the engine shows of itself: when it last planned, or saw that its plan still holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::Engine;
use crate::domain::{Actor, Event, ManagerName, Period};
use crate::ports::{Clock, Gauge, JournalError, Notebook, Situation};

pub(super) struct State {
    started_at: Timestamp,
    /// By the wall clock, none before the first; and by the monotonic clock, the start before the first.
    swept: Mutex<(Option<Timestamp>, Duration)>,
    sweeps: watch::Sender<u64>,
    /// From when the looks at each manager's keys are counted, since it came back from an outage.
    recovered: Mutex<BTreeMap<ManagerName, Timestamp>>,
    /// The managers that have answered or failed since the start.
    heard_of: watch::Sender<BTreeSet<ManagerName>>,
}

impl State {
    pub(super) fn new(clock: &dyn Clock) -> Self {
        Self {
            started_at: clock.now(),
            swept: Mutex::new((None, clock.monotonic())),
            sweeps: watch::Sender::new(0),
            recovered: Mutex::default(),
            heard_of: watch::Sender::new(BTreeSet::new()),
        }
    }

    /// Since when this process has been there to see.
    pub(super) fn started_at(&self) -> Timestamp {
        self.started_at
    }

    pub(super) fn swept(&self, clock: &dyn Clock) {
        *self.swept.lock().unwrap_or_else(PoisonError::into_inner) = (Some(clock.now()), clock.monotonic());
        self.sweeps.send_modify(|count| *count += 1);
    }

    pub(super) fn sweeps(&self) -> watch::Receiver<u64> {
        self.sweeps.subscribe()
    }

    /// The manager came back at this time from an outage that began at `failed_at`. Its keys are looked at once in `round`: a
    /// round that the outage interrupted goes on, or one that comes and goes would have no end of them.
    pub(super) fn recovered(&self, manager: &ManagerName, failed_at: Timestamp, at: Timestamp, round: Period) {
        let mut recovered = self.recovered.lock().unwrap_or_else(PoisonError::into_inner);
        let former = recovered.get(manager).filter(|former| (**former..round.after(**former)).contains(&failed_at));
        let done = former.map_or(SignedDuration::ZERO, |former| failed_at.duration_since(*former));
        recovered.insert(manager.clone(), at.saturating_sub(done).unwrap_or(at));
    }

    pub(super) fn heard_of(&self, manager: &ManagerName) {
        self.heard_of.send_if_modified(|heard_of| heard_of.insert(manager.clone()));
    }

    /// Returns when all of these have been heard of.
    pub(super) async fn heard_of_all<'a>(&self, managers: impl Iterator<Item = &'a ManagerName> + Clone) {
        let mut heard_of = self.heard_of.subscribe();
        let all = heard_of.wait_for(|heard_of| managers.clone().all(|manager| heard_of.contains(manager)));
        all.await.map(drop).expect("the sender is a part of this");
    }
}

impl Gauge for Engine {
    fn read(&self) -> Situation {
        let (last_sweep, swept) = *self.state.swept.lock().unwrap_or_else(PoisonError::into_inner);
        Situation {
            now: self.clock.now(),
            fleet: self.scribe.fleet(),
            head: self.scribe.head(),
            unwritable: self.scribe.unwritable(),
            started_at: self.state.started_at,
            recovered: self.state.recovered.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            last_sweep,
            since_sweep: self.clock.monotonic().saturating_sub(swept),
            upkeep: None,
        }
    }
}

#[async_trait]
impl Notebook for Engine {
    async fn note(&self, events: Vec<Event>) -> Result<(), JournalError> {
        self.scribe.write(Actor::Daemon, events).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute)
    }

    /// A round of looks that takes a quarter of an hour is counted in the time that the manager was up: what comes and goes every
    /// ten minutes has been up for a round after the third time. After a round that was whole, the next outage begins a new one.
    #[test]
    fn a_round_that_an_outage_interrupts_goes_on() {
        struct Still;
        #[async_trait]
        impl Clock for Still {
            fn now(&self) -> Timestamp {
                at(0)
            }
            fn monotonic(&self) -> Duration {
                Duration::ZERO
            }
            async fn sleep(&self, _: Duration) {}
        }
        let (state, manager) = (State::new(&Still), ManagerName::from("emea"));
        let begins = |failed, back| {
            state.recovered(&manager, at(failed), at(back), Period::minutes(15));
            *state.recovered.lock().unwrap().get(&manager).unwrap()
        };
        assert_eq!(begins(90, 100), at(100));
        assert_eq!(begins(106, 110), at(104), "six minutes of it were over");
        assert_eq!(begins(116, 120), at(108), "and twelve");
        // By 123 the round was whole, and whoever was not read in it has been told of.
        assert_eq!(begins(124, 130), at(130));
        assert_eq!(begins(200, 300), at(300));
        assert_eq!(begins(250, 260), at(260), "the clock was set back");
    }
}
