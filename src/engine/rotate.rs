//! One rotation: look, intend, send, confirm by looking. First try, retry and recovery are this one path.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Engine;
use super::look::{Seen, Slot, refusal};
use crate::domain::{
    Actor, Event, Failure, How, KeyId, Phase, Reason, Rotation, RotationId, Scope, Stage, TargetRecord, Verdict,
};
use crate::policy::{Policy, give_up_after, poll_after, retry_at};
use crate::ports::{JournalError, KeyService};

/// One attempt and what it works with.
pub(super) struct Attempt<'a> {
    pub(super) engine: &'a Engine,
    pub(super) service: &'a dyn KeyService,
    pub(super) policy: &'a Policy,
    /// What was known when it was planned; nothing else touches the target meanwhile.
    pub(super) record: &'a TargetRecord,
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
            Seen::Same => {
                let Some(key) = &self.record.key else { return Ok(()) };
                let intended = Event::RotationIntended {
                    target: self.record.target.id(),
                    rotation,
                    due_at,
                    key_before: key.id.clone(),
                    looked_at,
                };
                self.write(intended).await?;
                let intended_at = self.engine.clock.now();
                let key_before = key.id.clone();
                self.send(Rotation { id: rotation, due_at, key_before, looked_at, intended_at, phase: Phase::Intended })
                    .await
            }
        }
    }

    /// Settles a rotation that an earlier task, or an earlier life of the daemon, left open.
    pub(super) async fn resume(&self, mut rotation: Rotation) -> Result<(), JournalError> {
        match rotation.phase {
            Phase::Intended => match self.key().await? {
                Ok((key, looked_at)) if key == rotation.key_before => {
                    rotation.looked_at = looked_at;
                    self.send(rotation).await
                }
                Ok((key, _)) => self.done(&rotation, How::FoundChanged, key).await,
                Err(Failure { scope: Scope::Manager, .. }) => Ok(()),
                Err(failure) => self.failed(rotation.id, rotation.due_at, Stage::Precheck, failure).await,
            },
            Phase::Sending { since, .. }
            | Phase::Confirming { sent_at: since, .. }
            | Phase::Unconfirmed { sent_at: since } => self.confirm(rotation, How::Recovered, Since::Wall(since)).await,
        }
    }

    async fn send(&self, mut rotation: Rotation) -> Result<(), JournalError> {
        let target = self.record.target.id();
        self.write(Event::RotationSending { target: target.clone(), rotation: rotation.id }).await?;
        let since = self.engine.clock.now();
        let sent = Since::Monotonic(self.engine.clock.monotonic());
        match self.service.rotate(&self.record.target).await {
            Ok(accepted) => {
                let status = accepted.status;
                self.write(Event::RotationAccepted { target, rotation: rotation.id, status }).await?;
                rotation.phase = Phase::Confirming { sent_at: since, since: self.engine.clock.now() };
                self.confirm(rotation, How::Rotated, sent).await
            }
            Err(failure) => match failure.verdict {
                Verdict::Ambiguous => {
                    let lost = Some(failure.clone());
                    self.write(Event::RotationReplyLost { target, rotation: rotation.id, failure }).await?;
                    rotation.phase = Phase::Sending { since, lost };
                    self.confirm(rotation, How::Recovered, sent).await
                }
                Verdict::Transient | Verdict::Permanent | Verdict::NotThisWay => {
                    self.failed(rotation.id, rotation.due_at, Stage::Put, failure).await
                }
            },
        }
    }

    /// Looks until the key differs, or the old key is still there after the time that the policy gives.
    ///
    /// A look that fails tells nothing: the rotation stays open until one succeeds.
    async fn confirm(&self, rotation: Rotation, how: How, sent: Since) -> Result<(), JournalError> {
        let give_up_after = give_up_after(&rotation.phase, self.policy);
        for looks in 0.. {
            self.engine.clock.sleep(poll_after(looks, give_up_after)).await;
            let waited = sent.elapsed(self.engine);
            match self.key().await? {
                Ok((key, _)) if key != rotation.key_before => return self.done(&rotation, how, key).await,
                Ok(_) if waited >= give_up_after => return self.unconfirmed(&rotation, waited).await,
                // The manager is failing: its probes go on, and the plan resumes this when it answers.
                Err(Failure { scope: Scope::Manager, .. }) => return Ok(()),
                Ok(_) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// The key in use now and when it was asked for; a failing manager is recorded.
    async fn key(&self) -> Result<Result<(KeyId, Timestamp), Failure>, JournalError> {
        let asked_at = self.engine.clock.now();
        match self.service.current_key(&self.record.target).await {
            Ok(key) => Ok(Ok((key, asked_at))),
            Err(failure) => {
                if failure.scope == Scope::Manager {
                    self.engine.manager_failed(&self.record.target.manager, &failure).await?;
                }
                Ok(Err(failure))
            }
        }
    }

    async fn done(&self, rotation: &Rotation, how: How, key_after: KeyId) -> Result<(), JournalError> {
        let done = Event::RotationDone {
            target: self.record.target.id(),
            rotation: rotation.id,
            due_at: rotation.due_at,
            how,
            key_before: rotation.key_before.clone(),
            key_after,
            last_seen: rotation.looked_at,
        };
        self.write(done).await?;
        let took = self.engine.clock.now().duration_since(rotation.intended_at);
        self.engine.scribe.observer.rotation_took(took.try_into().unwrap_or_default());
        Ok(())
    }

    async fn unconfirmed(&self, rotation: &Rotation, waited: Duration) -> Result<(), JournalError> {
        let failure = Failure {
            reason: Reason::Unchanged,
            verdict: Verdict::Ambiguous,
            scope: Scope::Target,
            status: None,
            code: None,
            retry_after_s: None,
            detail: format!("a GET still showed the old key {} s after the PUT", waited.as_secs()),
        };
        let target = self.record.target.id();
        let retry_at = retry_at(self.engine.clock.now(), &target, rotation.id, &failure, self.policy);
        let quarantine = self.quarantine(rotation.id, &failure);
        let unconfirmed = Event::RotationUnconfirmed { target, rotation: rotation.id, failure, retry_at };
        self.write_all([unconfirmed].into_iter().chain(quarantine).collect()).await
    }

    async fn failed(
        &self,
        rotation: RotationId,
        due_at: Timestamp,
        stage: Stage,
        failure: Failure,
    ) -> Result<(), JournalError> {
        let target = self.record.target.id();
        let retry_at = retry_at(self.engine.clock.now(), &target, rotation, &failure, self.policy);
        let follow_up = match (failure.verdict, failure.scope) {
            (Verdict::NotThisWay, _) => {
                Some(Event::TargetRefused { target: target.clone(), refusal: refusal(&failure) })
            }
            // The manager's outage holds the target; when it is over, the target goes on by itself.
            (Verdict::Transient | Verdict::Permanent | Verdict::Ambiguous, Scope::Manager) => None,
            (Verdict::Transient | Verdict::Permanent | Verdict::Ambiguous, Scope::Target) => {
                self.quarantine(rotation, &failure)
            }
        };
        if failure.scope == Scope::Manager {
            self.engine.manager_failed(&self.record.target.manager, &failure).await?;
        }
        let failed = Event::RotationFailed { target, rotation, due_at, stage, failure, retry_at };
        self.write_all([failed].into_iter().chain(follow_up).collect()).await
    }

    /// The end of the road, if this failure is it: a refusal for good, or the last attempt of the policy.
    fn quarantine(&self, rotation: RotationId, failure: &Failure) -> Option<Event> {
        let spent = rotation.attempt >= self.policy.max_attempts;
        (spent || failure.verdict == Verdict::Permanent).then(|| Event::TargetQuarantined {
            target: self.record.target.id(),
            attempts: rotation.attempt,
            failure: failure.clone(),
        })
    }

    async fn write(&self, event: Event) -> Result<(), JournalError> {
        self.write_all(vec![event]).await
    }

    async fn write_all(&self, events: Vec<Event>) -> Result<(), JournalError> {
        self.engine.scribe.write(Actor::Schedule, events).await
    }
}

/// Since when a PUT has had time to act.
#[derive(Clone, Copy)]
enum Since {
    /// Sent by this process: no step of the wall clock can shorten the wait.
    Monotonic(Duration),
    /// Sent before the restart: only the wall clock knows.
    Wall(Timestamp),
}

impl Since {
    fn elapsed(self, engine: &Engine) -> Duration {
        match self {
            Self::Monotonic(start) => engine.clock.monotonic().saturating_sub(start),
            Self::Wall(start) => {
                engine.clock.now().duration_since(start).max(SignedDuration::ZERO).try_into().unwrap_or_default()
            }
        }
    }
}
