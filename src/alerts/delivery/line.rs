//! Sends to one receiver: counts failures, decides when to try again, and records what was delivered.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::post::{Post, Refused};
use super::{AT_ONCE, Address, Desk, Key, SetupError};
use crate::domain::{AlertKind, AlertSubject, Event, ReceiverName, ReceiverRecord, Saying, Told};
use crate::ports::RequestOutcome;

/// The first try after a failure comes within this, each further one within twice as long.
const FIRST_RETRY: Duration = Duration::from_secs(2);
/// No try waits longer.
const LONGEST_RETRY: Duration = Duration::from_secs(300);
/// How many failures in a row are tolerated before the receiver counts as failing.
const TOLERATED: u32 = 2;

/// A record takes milliseconds; if it takes longer, the disk hangs.
const RECORD_WITHIN: Duration = Duration::from_secs(10);

pub(super) struct Line {
    pub(super) name: ReceiverName,
    pub(super) desk: Desk,
    post: Post,
    /// What the receiver was told, and whether it fails: of this life, on record or not yet.
    pub(super) record: ReceiverRecord,
    /// In a row.
    failures: u32,
    /// By the monotonic clock: after a failure, no try before this.
    pub(super) not_before: Duration,
    /// Something is not on record yet.
    unsettled: bool,
}

impl Line {
    pub(super) fn new(name: ReceiverName, address: &Address, desk: Desk) -> Result<Self, SetupError> {
        let post = Post::new(address)?;
        let known = desk.notebook.read().fleet.receivers.get(&name).cloned();
        let record = known.map(|known| ReceiverRecord::clone(&known)).unwrap_or_default();
        // A receiver that was failing on record fails again with the first failure.
        let failures = if record.failing.is_some() { TOLERATED } else { 0 };
        Ok(Self { name, desk, post, record, failures, not_before: Duration::ZERO, unsettled: false })
    }

    /// Of a life that was cut off the record may lack what was told in it that nothing could be recorded, or was hanging. Of these
    /// alerts the end is told, at worst to who never heard of them: one that is not told is open for ever.
    pub(super) fn suspect(&mut self) {
        if self.desk.cut_off {
            for alert in [AlertKind::LedgerUnwritable, AlertKind::SchedulerStalled] {
                let told = Told { since: self.desk.clock.now(), name: "rekeyd".to_owned() };
                self.record.told.entry((alert, AlertSubject::Daemon)).or_insert(told);
            }
        }
    }

    /// Sends once, and counts what came of it. Whether it was taken.
    pub(super) async fn send(&mut self, body: Option<String>) -> bool {
        let sent = self.post.send(body, &*self.desk.clock).await;
        let now = self.desk.clock.monotonic();
        let outcome = match &sent {
            Ok(status) => RequestOutcome::Status(*status),
            Err(refused) => refused.status.map_or(RequestOutcome::NoReply, RequestOutcome::Status),
        };
        self.desk.observer.delivered(&self.name, outcome);
        match sent {
            Ok(_) => {
                self.failures = 0;
                self.unsettled |= self.record.failing.take().is_some();
                true
            }
            Err(refused) => {
                self.failed(now, refused);
                false
            }
        }
    }

    fn failed(&mut self, now: Duration, refused: Refused) {
        self.failures = self.failures.saturating_add(1);
        let wait = backoff(&self.name, self.failures);
        self.not_before = now + wait.max(refused.retry_after.unwrap_or_default());
        if self.failures > TOLERATED && self.record.failing.is_none() {
            self.record.failing = Some((self.desk.clock.now(), refused.words));
            self.unsettled = true;
        }
    }

    /// Notes that the receiver took this.
    pub(super) fn told(&mut self, firing: &[Saying], resolved: &[Saying]) {
        self.record.hear(firing, resolved);
        self.unsettled |= !(firing.is_empty() && resolved.is_empty());
    }

    /// Records what is not on record: now, or when the ledger can be written again. Nothing waits for it meanwhile.
    pub(super) async fn settle(&mut self) {
        if !self.unsettled {
            return;
        }
        let known = self.desk.notebook.read().fleet.receivers.get(&self.name).cloned();
        let known = known.map(|known| ReceiverRecord::clone(&known)).unwrap_or_default();
        // A disk that hangs must not silence the receiver. What is recorded late after all is no difference the next time.
        self.unsettled = tokio::select! {
            noted = self.desk.notebook.note(unrecorded(&self.name, &known, &self.record)) => noted.is_err(),
            () = self.desk.clock.sleep(RECORD_WITHIN) => true,
        };
    }

    pub(super) fn is_unsettled(&self) -> bool {
        self.unsettled
    }
}

/// The events that lead from what is on record to what is so.
fn unrecorded(name: &ReceiverName, known: &ReceiverRecord, record: &ReceiverRecord) -> Vec<Event> {
    let receiver = || name.clone();
    let sayings = |one: &ReceiverRecord, other: &ReceiverRecord| -> Vec<Saying> {
        let missing = one.told.iter().filter(|(key, _)| !other.told.contains_key(*key));
        let saying = |((alert, subject), told): (&Key, &Told)| Saying {
            alert: *alert,
            subject: subject.clone(),
            since: told.since,
            name: told.name.clone(),
        };
        missing.map(saying).collect()
    };
    let firing = sayings(record, known).into_iter().map(|saying| (true, saying));
    let resolved = sayings(known, record).into_iter().map(|saying| (false, saying));
    let all: Vec<_> = firing.chain(resolved).collect();
    // No record is larger than one request was.
    let delivered = all.chunks(AT_ONCE).map(|part| {
        let of = |fires| part.iter().filter(|(kind, _)| *kind == fires).map(|(_, saying)| saying.clone()).collect();
        Event::AlertsDelivered { receiver: receiver(), firing: of(true), resolved: of(false) }
    });
    let reached = match (&known.failing, &record.failing) {
        (None, Some((_, error))) => Some(Event::ReceiverFailing { receiver: receiver(), error: error.clone() }),
        (Some(_), None) => Some(Event::ReceiverAnswering { receiver: receiver() }),
        (None, None) | (Some(_), Some(_)) => None,
    };
    reached.into_iter().chain(delivered).collect()
}

/// Exponential with full jitter, by hash and not by chance: receivers that fail together are not tried together.
fn backoff(name: &ReceiverName, failures: u32) -> Duration {
    let ceiling = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(LONGEST_RETRY);
    let digest = Sha256::digest(format!("rekeyd-delivery-v1 {name} {failures}"));
    let (first, _) = digest.split_first_chunk::<4>().expect("SHA-256 has 32 bytes");
    ceiling.mul_f64(f64::from(u32::from_be_bytes(*first)) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    /// A dead receiver is asked ever more seldom, and never more seldom than every five minutes.
    #[test]
    fn tries_grow_apart_up_to_a_limit() {
        for name in ["oncall", "archive", "pager"] {
            let waits: Vec<_> = (1..200).map(|failures| backoff(&name.into(), failures)).collect();
            assert!(waits.iter().all(|wait| *wait <= LONGEST_RETRY), "{waits:?}");
            assert!(waits.first().is_some_and(|wait| *wait <= FIRST_RETRY));
            let mean = waits.iter().skip(10).sum::<Duration>() / 189;
            assert!((100..200).contains(&mean.as_secs()), "{mean:?}");
        }
    }

    /// Recording what is not on record leaves nothing to record.
    #[test]
    fn what_is_recorded_is_what_is_so() {
        let told = |name: &str| Told { since: Timestamp::UNIX_EPOCH, name: name.to_owned() };
        let key = |manager: &str| (AlertKind::ManagerFailing, AlertSubject::Manager(manager.into()));
        let known = ReceiverRecord {
            failing: Some((Timestamp::UNIX_EPOCH, "HTTP 500".to_owned())),
            told: [(key("emea"), told("emea")), (key("apac"), told("apac"))].into(),
        };
        let record =
            ReceiverRecord { failing: None, told: [(key("apac"), told("apac")), (key("amer"), told("amer"))].into() };
        let mut fleet = crate::domain::Fleet::default();
        fleet.receivers.insert("oncall".into(), std::sync::Arc::new(known.clone()));
        for event in unrecorded(&"oncall".into(), &known, &record) {
            fleet.fold(Timestamp::UNIX_EPOCH, &event).unwrap().unwrap();
        }
        assert_eq!(**fleet.receivers.get("oncall").unwrap(), record);
        assert_eq!(unrecorded(&"oncall".into(), &record, &record), []);
    }
}
