//! One rotation: look, intend, send, confirm by looking. First try, retry and recovery are this one path.

use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::look::{Seen, Slot, last_use, refusal};
use crate::domain::{
    Event, Failure, How, KeyId, KeyRecord, Phase, Reason, Rotation, RotationId, Scope, Stage, TargetRecord, Verdict,
};
use crate::policy::{Policy, give_up_after, objection, poll_after, retry_at};
use crate::ports::{JournalError, KeyService};

/// One attempt and what it works with.
pub(super) struct Attempt<'a> {
    pub(super) engine: &'a Engine,
    pub(super) service: &'a dyn KeyService,
    pub(super) policy: &'a Policy,
    /// What was known when it was planned; nothing else touches the target meanwhile.
    pub(super) record: &'a TargetRecord,
    /// The key that was in use when last looked.
    pub(super) known: &'a KeyRecord,
    /// Cancelled when the daemon ends: from then on nothing is begun and nothing is sent.
    pub(super) closing: &'a CancellationToken,
}

impl Attempt<'_> {
    /// Answers a slot: begins by looking, and sends only if the key is still the known one.
    pub(super) async fn begin(&self, rotation: RotationId, due_at: Timestamp) -> Result<(), JournalError> {
        let (seen, looked_at) = self.engine.look(self.service, self.record, Some(Slot { rotation, due_at })).await?;
        match seen {
            Seen::Changed => Ok(()),
            // The manager is failing, or refuses the target: recorded, and no fault of this attempt.
            Seen::Nothing(Failure { scope: Scope::Manager, .. } | Failure { verdict: Verdict::NotThisWay, .. }) => {
                Ok(())
            }
            Seen::Nothing(failure) => self.failed(rotation, due_at, Stage::Precheck, failure).await,
            // The clock was set back since the plan: done before its date, the slot would fall due again.
            Seen::Same if self.engine.clock.now() < due_at && self.record.request.is_none() => Ok(()),
            // The look took so long that something else is so by now: the next plan says what it waits for.
            Seen::Same if self.objection().is_some() => Ok(()),
            Seen::Same => {
                let intended = Event::RotationIntended {
                    target: self.record.target.id(),
                    rotation,
                    due_at,
                    key_before: self.known.id.clone(),
                    looked_at,
                };
                self.write(intended).await?;
                let intended_at = self.engine.clock.now();
                let key_before = self.known.id.clone();
                let phase = Phase::Intended;
                self.send(Rotation { id: rotation, due_at, key_before, looked_at, intended_at, phase }, None).await
            }
        }
    }

    /// Settles a rotation that an earlier task, or an earlier life of the daemon, left open. `found` is when this process
    /// found it, by the monotonic clock.
    ///
    /// The settle time starts anew then: how long ago the PUT left, only the wall clock could tell, and that may have leapt.
    pub(super) async fn resume(&self, mut rotation: Rotation, found: Duration) -> Result<(), JournalError> {
        match rotation.phase {
            Phase::Intended => match self.key().await? {
                Ok((key, looked_at)) if key == self.known.id => {
                    rotation.looked_at = looked_at;
                    self.send(rotation, Some(looked_at)).await
                }
                Ok((key, looked_at)) => {
                    // An earlier attempt at the slot that was given up may have acted since.
                    let ours =
                        self.record.unconfirmed.as_ref().is_some_and(|late| late.rotation.slot == rotation.id.slot);
                    let how = if ours { How::Recovered } else { How::FoundChanged };
                    self.changed(&rotation, how, key, looked_at).await
                }
                Err(Failure { scope: Scope::Manager, .. }) => Ok(()),
                Err(failure) => self.failed(rotation.id, rotation.due_at, Stage::Precheck, failure).await,
            },
            Phase::Sending { .. } | Phase::Confirming { .. } => self.confirm(rotation, How::Recovered, found, 0).await,
        }
    }

    /// Why no PUT may leave now, by what is in force and known by now, and not when the attempt was planned.
    fn objection(&self) -> Option<String> {
        if self.closing.is_cancelled() {
            return Some("the daemon is being stopped".to_owned());
        }
        let (now, fleet, parts) = (self.engine.clock.now(), self.engine.scribe.fleet(), self.engine.parts());
        objection(now, &self.record.target.id(), &fleet, &parts.rules)
    }

    /// `looked_again` is when the key was read after the intent, if it was. If the PUT may not leave any more nothing is sent,
    /// and the next plan withdraws the intent.
    async fn send(&self, mut rotation: Rotation, looked_again: Option<Timestamp>) -> Result<(), JournalError> {
        if self.objection().is_some() {
            return Ok(());
        }
        let target = self.record.target.id();
        let sending = Event::RotationSending { target: target.clone(), rotation: rotation.id, looked_at: looked_again };
        self.write(sending).await?;
        let since = self.engine.clock.now();
        // A disk may have hung for as long as it liked, and the request may have to wait for its turn.
        let reply = self.service.rotate(&self.record.target, &|| self.objection()).await;
        // Counted from the reply and not from the request: the request may have had to wait before it left.
        let replied = self.engine.clock.monotonic();
        match reply {
            Ok(accepted) => {
                let accepted = Event::RotationAccepted { target, rotation: rotation.id, status: accepted.status };
                rotation.phase = Phase::Confirming { sent_at: since, since: self.engine.clock.now() };
                // The look does not wait for the record, but what it finds is recorded after it.
                let (recorded, looked) = tokio::join!(self.write(accepted), self.key());
                recorded?;
                match looked? {
                    Ok((key, looked_at)) if key != self.known.id => {
                        self.changed(&rotation, How::Rotated, key, looked_at).await
                    }
                    Ok(_) | Err(_) => self.confirm(rotation, How::Rotated, replied, 1).await,
                }
            }
            Err(failure) => match failure.verdict {
                Verdict::Ambiguous => {
                    let lost = Some(failure.clone());
                    self.write(Event::RotationReplyLost { target, rotation: rotation.id, failure }).await?;
                    rotation.phase = Phase::Sending { since, lost };
                    self.confirm(rotation, How::Recovered, replied, 0).await
                }
                // Its key was just read with the same login, from the same address: what is refused is this request.
                Verdict::Permanent => self.failed(rotation.id, rotation.due_at, Stage::Put, failure.of_target()).await,
                Verdict::Transient | Verdict::NotThisWay => {
                    self.failed(rotation.id, rotation.due_at, Stage::Put, failure).await
                }
            },
        }
    }

    /// Looks until the key differs, or the time that the policy gives has passed since `replied` by the monotonic clock.
    ///
    /// A look that fails tells nothing; if the last one does, the attempt ends unconfirmed all the same. That is safe: the
    /// next attempt sends nothing before a look has succeeded.
    /// `looks` were made already.
    async fn confirm(&self, rotation: Rotation, how: How, replied: Duration, looks: u32) -> Result<(), JournalError> {
        let give_up_after = give_up_after(&rotation.phase, self.policy);
        for looks in looks.. {
            self.engine.clock.sleep(poll_after(looks, give_up_after)).await;
            // Others have found the manager failing: the plan resumes this when it answers.
            if self.engine.is_failing(&self.record.target.manager) {
                return Ok(());
            }
            let waited = self.engine.clock.monotonic().saturating_sub(replied);
            let failure = match self.key().await? {
                Ok((key, looked_at)) if key != self.known.id => {
                    return self.changed(&rotation, how, key, looked_at).await;
                }
                // The manager is failing: its probes go on, and the plan resumes this when it answers.
                Err(Failure { scope: Scope::Manager, .. }) => return Ok(()),
                Ok(_) => unchanged(waited),
                Err(failure) => failure,
            };
            if waited >= give_up_after {
                return self.unconfirmed(&rotation, failure).await;
            }
        }
        Ok(())
    }

    /// Another key is in use: the rotation's doing, unless it is an earlier one. Then the rotation goes on with the next plan.
    async fn changed(
        &self,
        rotation: &Rotation,
        how: How,
        key: KeyId,
        looked_at: Timestamp,
    ) -> Result<(), JournalError> {
        match self.engine.regression(self.record, &key, looked_at).await? {
            Some(regression) => self.write(regression).await,
            None => self.done(rotation, how, key, looked_at).await,
        }
    }

    /// The key in use now and when it was asked for; a failing manager is recorded.
    async fn key(&self) -> Result<Result<(KeyId, Timestamp), Failure>, JournalError> {
        let asked_at = self.engine.clock.now();
        match self.engine.read_key(self.service, &self.record.target).await {
            Ok(key) => Ok(Ok((key, asked_at))),
            Err(failure) => {
                if failure.scope == Scope::Manager {
                    self.engine.manager_failed(&self.record.target.manager, &failure).await?;
                }
                Ok(Err(failure))
            }
        }
    }

    async fn done(
        &self,
        rotation: &Rotation,
        how: How,
        key_after: KeyId,
        looked_at: Timestamp,
    ) -> Result<(), JournalError> {
        // What we sent and saw confirmed followed on that look by minutes, whatever the clock has done since. Of the rest nobody
        // knows when it came.
        let last_seen = match how {
            How::Rotated => rotation.looked_at,
            How::Recovered | How::FoundChanged => {
                let key = KeyRecord { last_seen: rotation.looked_at, ..self.known.clone() };
                last_use(&key, looked_at).unwrap_or(looked_at)
            }
        };
        let done = Event::RotationDone {
            target: self.record.target.id(),
            rotation: rotation.id,
            due_at: rotation.due_at,
            how,
            key_before: self.known.id.clone(),
            key_after,
            last_seen,
            looked_at: Some(looked_at),
        };
        self.write(done).await?;
        let took = self.engine.clock.now().duration_since(rotation.intended_at);
        self.engine.scribe.observer.rotation_took(took.try_into().unwrap_or_default());
        Ok(())
    }

    async fn unconfirmed(&self, rotation: &Rotation, failure: Failure) -> Result<(), JournalError> {
        let target = self.record.target.id();
        let retry_at = self.retry_at(rotation.id, &failure);
        let end = self.end_of_the_road(rotation.id, &failure);
        let unconfirmed = Event::RotationUnconfirmed { target, rotation: rotation.id, failure, retry_at };
        self.write_all([unconfirmed].into_iter().chain(end).collect()).await
    }

    async fn failed(
        &self,
        rotation: RotationId,
        due_at: Timestamp,
        stage: Stage,
        failure: Failure,
    ) -> Result<(), JournalError> {
        if failure.scope == Scope::Manager {
            self.engine.manager_failed(&self.record.target.manager, &failure).await?;
        }
        let target = self.record.target.id();
        let retry_at = self.retry_at(rotation, &failure);
        let end = self.end_of_the_road(rotation, &failure);
        let failed = Event::RotationFailed { target, rotation, due_at, stage, failure, retry_at };
        self.write_all([failed].into_iter().chain(end).collect()).await
    }

    fn retry_at(&self, rotation: RotationId, failure: &Failure) -> Timestamp {
        let (now, target) = (self.engine.clock.now(), self.record.target.id());
        retry_at(now, &target, rotation, self.record.failures, failure, self.policy)
    }

    /// What else this failure means for the target: it is not governed this way, or an operator is needed, because the
    /// failure is for good or the attempts of the policy are spent.
    ///
    /// A manager's outage holds its targets without spending their attempts; when it is over, they go on by themselves.
    fn end_of_the_road(&self, rotation: RotationId, failure: &Failure) -> Option<Event> {
        let target = self.record.target.id();
        let spent = self.record.failures + 1 >= self.policy.max_attempts;
        match (failure.verdict, failure.scope) {
            (Verdict::NotThisWay, _) => Some(Event::TargetRefused { target, refusal: refusal(failure) }),
            (Verdict::Permanent, Scope::Target) => {
                Some(Event::TargetQuarantined { target, attempts: rotation.attempt, failure: failure.clone() })
            }
            (Verdict::Transient | Verdict::Ambiguous, Scope::Target) if spent => {
                Some(Event::TargetQuarantined { target, attempts: rotation.attempt, failure: failure.clone() })
            }
            (
                Verdict::Transient | Verdict::Permanent | Verdict::Ambiguous,
                Scope::Manager | Scope::Ourselves | Scope::Target,
            ) => None,
        }
    }

    async fn write(&self, event: Event) -> Result<(), JournalError> {
        self.write_all(vec![event]).await
    }

    async fn write_all(&self, events: Vec<Event>) -> Result<(), JournalError> {
        self.engine.scribe.write(self.record.mover(), events).await
    }
}

/// What it comes to that the old key is still in use so long after the PUT.
fn unchanged(waited: Duration) -> Failure {
    Failure {
        reason: Reason::Unchanged,
        verdict: Verdict::Ambiguous,
        scope: Scope::Target,
        status: None,
        code: None,
        retry_after_s: None,
        detail: format!("a GET still showed the old key {} s after the PUT", waited.as_secs()),
    }
}
