//! When a manager is listed, and what its listings say of the manager itself: whether it answers, whether it is to be
//! believed. What they say of targets is in `discover`.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::discover::{Unseen, news};
use super::run::{Ended, Hand, Job, LONGEST_PAUSE};
use super::{Engine, Parts};
use crate::domain::{Actor, Fleet, ManagerName, Period, Standing, Verdict};
use crate::policy::{Breaker, probe_after};

/// However much speaks for a listing, the next one is not sooner than this.
const SOON: Duration = Duration::from_secs(30);

/// A manager's listings: when the next is due, by the monotonic clock.
#[derive(Default)]
pub(super) struct Listings {
    pub(super) due: Duration,
    under_way: bool,
    /// When one last succeeded, by the wall clock and by the monotonic one.
    answered: Option<(Timestamp, Duration)>,
    /// Set from the first sign of an outage until a listing succeeds.
    probing: bool,
    /// Set while a key is read to see whether more than the listing works.
    pub(super) proving: bool,
    /// Outages and failed probes since the last routine listing that succeeded: a manager that comes and goes is probed
    /// ever more seldom.
    failures: u32,
    unseen: Unseen,
}

impl Engine {
    /// Starts the listings that are due. Returns how long until the next one.
    pub(super) fn list(self: &Arc<Self>, hand: &mut Hand, fleet: &Fleet) -> Duration {
        let now = self.clock.monotonic();
        let mut wait = LONGEST_PAUSE;
        for name in self.parts().managers.keys() {
            let outage = fleet.outage_of(name).is_some();
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
                let parts = engine.parts();
                match parts.managers.get(&name) {
                    Some(manager) => Ended::Listed(Arc::clone(&parts), manager.service.discover().await),
                    None => Ended::Worked,
                }
            });
        }
        wait
    }

    pub(super) async fn listed(self: &Arc<Self>, hand: &mut Hand, name: &ManagerName, ended: Ended) {
        let parts = self.parts();
        let Some(manager) = parts.managers.get(name) else { return };
        if let Ended::Listed(began_with, _) = &ended
            && !Arc::ptr_eq(began_with, &parts)
        {
            // It was asked with another login, or for other projects, than are in force by now: it says nothing of these.
            let listings = hand.listings.entry(name.clone()).or_default();
            (listings.under_way, listings.due) = (false, Duration::ZERO);
            return;
        }
        if let Ended::Listed(_, Ok(_)) = &ended
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
            Ended::Listed(_, Ok(discovery)) => {
                let fleet = self.scribe.fleet();
                let events = news(&fleet, &parts.rules, name, &discovery, &mut listings.unseen);
                // Were it not recorded, the next listing would bring the same news.
                let recorded = self.scribe.write(Actor::Daemon, events).await.is_ok();
                self.breakers().entry(name.clone()).or_default().answers();
                listings.answered = Some((self.clock.now(), now));
                if std::mem::take(&mut listings.probing) {
                    let failed_at = fleet.outage_of(name).map_or_else(|| self.clock.now(), |outage| outage.since);
                    self.round_begins(&parts, name, failed_at);
                } else {
                    listings.failures = 0;
                }
                listings.due = now + if recorded { manager.discover_every.as_duration() } else { probe_after(1) };
            }
            Ended::Listed(_, Err(failure)) => {
                listings.fail(now);
                // A ledger that cannot be written is dealt with by the loop.
                let _ = self.manager_failed(name, &failure).await;
            }
            Ended::Worked | Ended::Unrecorded => listings.due = now + probe_after(1),
        }
        self.state.heard_of(name);
    }

    /// Has a round of looks at the manager's keys counted from now on, which could not be looked at since `failed_at`.
    pub(super) fn round_begins(&self, parts: &Parts, manager: &ManagerName, failed_at: Timestamp) {
        let shortest = parts.rules.policies().values().map(|policy| policy.observe_every).min();
        self.state.recovered(manager, failed_at, self.clock.now(), shortest.unwrap_or(Period::minutes(1)));
    }

    /// Whether the manager is called failing for what its keys met, so that a listing alone does not show that it works.
    pub(super) fn is_doubtful(&self, manager: &ManagerName) -> bool {
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
}

/// Whether a target of the manager began to fail after the manager's last listing, in a way that is not its own.
fn in_doubt(fleet: &Fleet, manager: &ManagerName, answered: Timestamp) -> bool {
    fleet.targets.values().filter(|record| record.target.manager == *manager).any(|record| {
        record
            .unread
            .as_ref()
            .is_some_and(|unread| unread.failure.verdict == Verdict::Transient && unread.since > answered)
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
