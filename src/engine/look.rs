//! Looking at a key, and what a look means. Nothing else is believed.

use jiff::Timestamp;

use super::Engine;
use crate::domain::{
    Actor, Event, Failure, How, KeyChange, KeyId, KeyRecord, Phase, Reason, Refusal, RotationId, Scope, TargetId,
    TargetRecord, Verdict,
};
use crate::ports::{JournalError, KeyService};

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
        let actor = if attempt { Actor::Schedule } else { Actor::Daemon };
        let seen = match service.current_key(&record.target).await {
            Ok(key) => {
                let events = self.meaning_of(record, &key, slot).await?;
                let changed = record.key.as_ref().is_some_and(|known| known.id != key);
                self.scribe.write(actor, events).await?;
                if changed {
                    Seen::Changed
                } else {
                    // The intent of an attempt tells the same.
                    if !attempt {
                        self.scribe.seen_again(record.target.id(), asked_at).await?;
                    }
                    Seen::Same
                }
            }
            Err(failure) => {
                match (failure.verdict, failure.scope) {
                    (Verdict::Transient | Verdict::Permanent | Verdict::Ambiguous, Scope::Manager) => {
                        self.manager_failed(&record.target.manager, &failure).await?;
                    }
                    (Verdict::NotThisWay, _) | (_, Scope::Target) => {
                        self.scribe.write(actor, news_of_failure(record, &failure)).await?;
                    }
                }
                Seen::Nothing(failure)
            }
        };
        Ok((seen, asked_at))
    }

    /// What it means that `key` is in use now.
    async fn meaning_of(
        &self,
        record: &TargetRecord,
        key: &KeyId,
        slot: Option<Slot>,
    ) -> Result<Vec<Event>, JournalError> {
        let target = record.target.id();
        let Some(known) = &record.key else { return Ok(vec![Event::KeySeen { target, key: key.clone() }]) };
        if known.id == *key {
            let mut events = Vec::new();
            if record.refusal.is_some() {
                events.push(Event::TargetReadable { target: target.clone() });
            }
            if record.unread.is_some() {
                events.push(Event::ObservationRecovered { target });
            }
            return Ok(events);
        }
        if let Some(past) = self.scribe.past_key(&target, key).await? {
            return Ok(vec![changed(target, KeyChange::Regression, known, key, past.not_before, past.first_seen)]);
        }
        let answered = |rotation, due_at, how| Event::RotationDone {
            target: target.clone(),
            rotation,
            due_at,
            how,
            key_before: known.id.clone(),
            key_after: key.clone(),
            last_seen: known.last_seen,
        };
        Ok(vec![match (&record.rotation, slot) {
            // A PUT of ours that nothing had confirmed in time: this is what it did.
            (Some(resting), _) if matches!(resting.phase, Phase::Unconfirmed { .. }) => {
                answered(resting.id, resting.due_at, How::Recovered)
            }
            (_, Some(slot)) => answered(slot.rotation, slot.due_at, How::FoundChanged),
            (_, None) => changed(target, KeyChange::Foreign, known, key, Some(known.last_seen), self.clock.now()),
        }])
    }
}

fn changed(
    target: TargetId,
    change: KeyChange,
    known: &KeyRecord,
    after: &KeyId,
    not_before: Option<Timestamp>,
    first_seen: Timestamp,
) -> Event {
    Event::KeyChanged {
        target,
        change,
        before: known.id.clone(),
        after: after.clone(),
        last_seen: known.last_seen,
        not_before,
        first_seen,
    }
}

/// What is news in a target's failed look: a refusal, or the first failure of a run.
fn news_of_failure(record: &TargetRecord, failure: &Failure) -> Vec<Event> {
    let target = record.target.id();
    if failure.verdict == Verdict::NotThisWay {
        let refusal = refusal(failure);
        if record.refusal.as_ref() == Some(&refusal) {
            Vec::new()
        } else {
            vec![Event::TargetRefused { target, refusal }]
        }
    } else if record.unread.is_some() {
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
