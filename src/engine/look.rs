//! Looking at a key, and what a look means. Nothing else is believed.

use jiff::{SignedDuration, Timestamp};

use super::Engine;
use crate::domain::{
    Actor, ClockStep, Event, Failure, How, KeyChange, KeyId, KeyRecord, Reason, Refusal, RotationId, Scope, Target,
    TargetId, TargetRecord, Verdict,
};
use crate::ports::{JournalError, KeyService};

/// Steps of the wall clock up to this are the ordinary work of time servers.
pub(super) const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(10);

/// What a look at a target's key showed.
pub(super) enum Seen {
    /// The key that was in use when last looked, or the first ever seen.
    Same,
    /// Another key; what that means has been recorded.
    Changed,
    /// Nothing: the look failed. It has been recorded where it is news.
    Nothing(Failure),
}

/// A slot that a look answers if it finds the key changed.
pub(super) struct Slot {
    pub(super) rotation: RotationId,
    pub(super) due_at: Timestamp,
}

impl Engine {
    /// Looks at the target's key and records what is new. `slot` is the one that an attempt is about to answer.
    pub(super) async fn look(
        &self,
        service: &dyn KeyService,
        record: &TargetRecord,
        slot: Option<Slot>,
    ) -> Result<(Seen, Timestamp), JournalError> {
        // The key was in use no earlier than the question: the honest bound for the age of whatever follows it.
        let asked_at = self.clock.now();
        let attempt = slot.is_some();
        let actor = if attempt { record.mover() } else { Actor::Daemon };
        let seen = match self.read_key(service, &record.target).await {
            Ok(key) => {
                let events = self.meaning_of(record, &key, asked_at, slot).await?;
                let changed = record.key.as_ref().is_some_and(|known| known.id != key);
                self.scribe.write(actor, events).await?;
                if changed {
                    Seen::Changed
                } else {
                    // The intent of an attempt tells the same.
                    if !attempt {
                        self.scribe.seen_again(record.target.id(), asked_at);
                    }
                    Seen::Same
                }
            }
            Err(failure) => {
                match (failure.verdict, failure.scope) {
                    (Verdict::Transient | Verdict::Permanent | Verdict::Ambiguous, Scope::Manager) => {
                        self.manager_failed(&record.target.manager, &failure).await?;
                    }
                    (Verdict::NotThisWay, _) | (_, Scope::Target | Scope::Ourselves) => {
                        self.scribe.write(actor, news_of_failure(record, &failure)).await?;
                    }
                }
                Seen::Nothing(failure)
            }
        };
        Ok((seen, asked_at))
    }

    /// Reads a target's key. A failure comes with the scope that it has in the light of the manager's other targets.
    pub(super) async fn read_key(&self, service: &dyn KeyService, target: &Target) -> Result<KeyId, Failure> {
        let read = service.current_key(target).await;
        let mut breakers = self.breakers();
        let breaker = breakers.entry(target.manager.clone()).or_default();
        match read {
            Ok(key) => {
                breaker.read(&target.id());
                Ok(key)
            }
            Err(failure) => Err(breaker.failed(&target.id(), failure)),
        }
    }

    /// What it means that `key` is in use, as of `asked_at`.
    async fn meaning_of(
        &self,
        record: &TargetRecord,
        key: &KeyId,
        asked_at: Timestamp,
        slot: Option<Slot>,
    ) -> Result<Vec<Event>, JournalError> {
        let target = record.target.id();
        let looked_at = Some(asked_at);
        let Some(known) = &record.key else {
            return Ok(vec![Event::KeySeen { target, key: key.clone(), looked_at }]);
        };
        if known.id == *key {
            let mut events = Vec::new();
            events.extend(redated(&target, known, self.clock.now(), self.scribe.fleet().clock_step));
            if record.refusal.is_some() {
                events.push(Event::TargetReadable { target: target.clone() });
            }
            if record.unread.is_some() {
                events.push(Event::ObservationRecovered { target });
            }
            return Ok(events);
        }
        if let Some(regression) = self.regression(record, key, asked_at).await? {
            return Ok(vec![regression]);
        }
        let answered = |rotation, due_at, how| Event::RotationDone {
            target: target.clone(),
            rotation,
            due_at,
            how,
            key_before: known.id.clone(),
            key_after: key.clone(),
            last_seen: last_use(known, asked_at).unwrap_or(asked_at),
            looked_at,
        };
        Ok(vec![match (record.resting(), slot) {
            // A PUT of ours that nothing had confirmed in time: this is what it did.
            (Some(resting), _) => answered(resting.rotation, resting.due_at, How::Recovered),
            (None, Some(slot)) => answered(slot.rotation, slot.due_at, How::FoundChanged),
            (None, None) => Event::KeyChanged {
                target: target.clone(),
                change: KeyChange::Foreign,
                before: known.id.clone(),
                after: key.clone(),
                last_seen: known.last_seen,
                not_before: last_use(known, asked_at),
                first_seen: self.clock.now(),
                looked_at,
                suspect: record.unconfirmed.as_ref().map(|late| late.rotation),
            },
        }])
    }

    /// What is to be recorded if `key`, in use at `asked_at` instead of the known one, was in use before. No PUT of ours
    /// does that.
    pub(super) async fn regression(
        &self,
        record: &TargetRecord,
        key: &KeyId,
        asked_at: Timestamp,
    ) -> Result<Option<Event>, JournalError> {
        let target = record.target.id();
        let Some(known) = &record.key else { return Ok(None) };
        let past = self.scribe.past_key(&target, key).await?;
        Ok(past.map(|past| Event::KeyChanged {
            target,
            change: KeyChange::Regression,
            before: known.id.clone(),
            after: key.clone(),
            last_seen: known.last_seen,
            not_before: past.not_before,
            first_seen: past.first_seen,
            looked_at: Some(asked_at),
            suspect: None,
        }))
    }
}

/// The newest moment on record at which the key was in use, as of `now`: whatever follows it is no older. What lies in the
/// future was dated by a clock that ran ahead, and bounds nothing.
pub(super) fn last_use(key: &KeyRecord, now: Timestamp) -> Option<Timestamp> {
    let dates = [Some(key.last_seen), Some(key.first_seen), key.not_before];
    dates.into_iter().flatten().find(|date| !is_ahead(*date, now))
}

fn is_ahead(date: Timestamp, now: Timestamp) -> bool {
    date.duration_since(now) > CLOCK_TOLERANCE
}

/// A key whose dates lie in the future was dated by a clock that has been set back since: it came by now at the latest. The step
/// on record tells by how much that clock was ahead.
fn redated(target: &TargetId, key: &KeyRecord, now: Timestamp, step: Option<ClockStep>) -> Option<Event> {
    let ahead = SignedDuration::from_secs(step.map_or(0, |step| step.by_s).saturating_abs());
    let dated = |date: Timestamp| {
        let meant = if is_ahead(date, now) { date.saturating_sub(ahead).unwrap_or(date) } else { date };
        meant.min(now)
    };
    is_ahead(key.first_seen, now).then(|| Event::KeyRedated {
        target: target.clone(),
        not_before: key.not_before.map(dated),
        first_seen: now,
    })
}

/// What is news in a target's failed look: a refusal, or the first failure of a run, or of its kind.
fn news_of_failure(record: &TargetRecord, failure: &Failure) -> Vec<Event> {
    let target = record.target.id();
    if failure.verdict == Verdict::NotThisWay {
        let refusal = refusal(failure);
        if record.refusal.as_ref() == Some(&refusal) {
            Vec::new()
        } else {
            vec![Event::TargetRefused { target, refusal }]
        }
    } else if record.unread.as_ref().is_some_and(|known| !failure.is_news_after(&known.failure)) {
        Vec::new()
    } else {
        vec![Event::ObservationFailing { target, failure: failure.clone() }]
    }
}

/// The refusal that a "not this way" failure states.
pub(super) fn refusal(failure: &Failure) -> Refusal {
    let code = failure.code.clone().unwrap_or_else(|| failure.reason.as_str().to_owned());
    if failure.reason == Reason::NotEncrypted {
        Refusal::NotEncrypted { code }
    } else {
        Refusal::OtherMechanism { code }
    }
}
