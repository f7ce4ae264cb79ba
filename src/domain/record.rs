//! What is known of one target, and how each event changes it.

use jiff::{SignedDuration, Timestamp};

use super::event::{Actor, Event, KeyChange, of_no_target};
use super::failure::{Failure, Scope, Trouble};
use super::fleet::Contradiction;
use super::history::KeyOrigin;
use super::ids::KeyId;
use super::order::Request;
use super::rotation::{Phase, Rotation, RotationId, State, Unconfirmed};
use super::target::{Governance, Listing, Refusal, Standing, Target};

/// What is known of one target. There are many thousands, so what few of them have at a time is boxed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRecord {
    /// Its description in the newest listing.
    pub target: Target,
    /// What that listing says about its fitness.
    pub listing: Listing,
    /// When it was first listed.
    pub found_at: Timestamp,
    /// Since when no listing names it.
    pub gone_since: Option<Timestamp>,
    /// What is on record of the policy that governs it.
    pub governance: Option<Governance>,
    /// Why the server will not speak of its key.
    pub refusal: Option<Refusal>,
    /// Its key, once read.
    pub key: Option<KeyRecord>,
    /// When its key went back to an earlier one, until the next rotation.
    pub regressed_at: Option<Timestamp>,
    /// Set while its key cannot be read, with the first failure of the run.
    pub unread: Option<Box<Trouble>>,
    /// The ordinal of the current slot, from 1. A change of the key closes a slot, whoever made it.
    pub slot: u64,
    /// The newest attempt at the current slot; 0 if none was made.
    pub attempt: u32,
    /// So many attempts at the current slot failed by the target's doing and not by its manager's: they count against the
    /// policy's `max_attempts`.
    pub failures: u32,
    /// The rotation that is open.
    pub rotation: Option<Box<Rotation>>,
    /// The newest attempt that was given up unconfirmed, until a later slot is answered: a change that comes late may be
    /// its doing.
    pub unconfirmed: Option<Unconfirmed>,
    /// The newest failure of the current slot, and when the next attempt may be made.
    pub setback: Option<(Box<Failure>, Timestamp)>,
    /// The end of the newest window that the current slot is on record to have missed.
    pub missed_until: Option<Timestamp>,
    /// The end of the newest freeze that the current slot is on record to be held by.
    pub held_until: Option<Timestamp>,
    /// Set when only an operator can let it go on, with the failure that led to it.
    pub quarantine: Option<Box<Trouble>>,
    /// Set while an operator wants the current slot answered now.
    pub request: Option<Box<Request>>,
    /// When a rotation was last done.
    pub last_rotation_at: Option<Timestamp>,
}

/// The key that a target uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its id.
    pub id: KeyId,
    /// The earliest that it may have come into use: when its predecessor was last seen. None if it was there before us.
    pub not_before: Option<Timestamp>,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
    /// How it came into use.
    pub came: KeyOrigin,
}

impl KeyRecord {
    /// From when its age is counted: never later than it came into use, where that is known.
    pub fn since(&self) -> Timestamp {
        self.not_before.unwrap_or(self.first_seen)
    }
}

impl TargetRecord {
    /// A target just listed for the first time.
    pub fn found(at: Timestamp, target: Target, listing: Listing) -> Self {
        Self {
            target,
            listing,
            found_at: at,
            gone_since: None,
            governance: None,
            refusal: None,
            key: None,
            regressed_at: None,
            unread: None,
            slot: 1,
            attempt: 0,
            failures: 0,
            rotation: None,
            unconfirmed: None,
            setback: None,
            missed_until: None,
            held_until: None,
            quarantine: None,
            request: None,
            last_rotation_at: None,
        }
    }

    /// Whether it is rotated, and if not, why.
    pub fn standing(&self) -> Standing<'_> {
        if self.gone_since.is_some() {
            Standing::Gone
        } else if self.listing != Listing::Eligible {
            Standing::Listed(&self.listing)
        } else if let Some(refusal) = &self.refusal {
            Standing::Refused(refusal)
        } else {
            Standing::Managed
        }
    }

    /// The attempt that would come next.
    pub fn next_rotation(&self) -> RotationId {
        RotationId { slot: self.slot, attempt: self.attempt + 1 }
    }

    /// Whether an operator wants the current slot answered in spite of pauses, windows and freezes.
    pub fn overrides(&self) -> bool {
        self.request.as_ref().is_some_and(|request| request.overrides)
    }

    /// By whose hand the current slot is answered.
    pub fn mover(&self) -> Actor {
        self.request.as_ref().map_or(Actor::Schedule, |request| Actor::Operator(request.by.uid))
    }

    /// The unconfirmed attempt that a change of the key would belong to: one at the current slot, with none open after it.
    pub fn resting(&self) -> Option<&Unconfirmed> {
        self.unconfirmed.as_ref().filter(|resting| resting.rotation.slot == self.slot && self.rotation.is_none())
    }

    /// What is known after `event`, which must be about this target.
    ///
    /// # Errors
    /// If the event cannot follow from what is known: an arrow that the state machine does not have.
    pub fn after(&self, at: Timestamp, event: &Event) -> Result<Self, Contradiction> {
        let mut next = self.clone();
        next.advance(at, event)?;
        Ok(next)
    }

    /// The same in place. After an error nothing has changed.
    pub(super) fn advance(&mut self, at: Timestamp, event: &Event) -> Result<(), Contradiction> {
        self.check_transition(event)?;
        self.check_key(event)?;
        self.fold(at, event);
        Ok(())
    }

    fn check_transition(&self, event: &Event) -> Result<(), Contradiction> {
        let Some(transition) = event.transition() else { return Ok(()) };
        let refuse = |why: &str| Contradiction(format!("{}: rotation {}: {why}", self.target.id(), transition.id));
        let from = match &self.rotation {
            Some(rotation) if rotation.id == transition.id => Some(rotation.state()),
            Some(rotation) => return Err(refuse(&format!("rotation {} is still open", rotation.id))),
            None if self.resting().is_some_and(|resting| resting.rotation == transition.id) => Some(State::Unconfirmed),
            None if transition.id == self.next_rotation() => None,
            None => return Err(refuse(&format!("the next one would be {}", self.next_rotation()))),
        };
        // A lost reply leaves a rotation sending; a PUT, of which there is one, makes it so.
        let sent_before = matches!(event, Event::RotationSending { .. }) && from == Some(State::Sending);
        if State::permits(from, transition.to) && !sent_before {
            Ok(())
        } else {
            let from = from.map_or("nothing", State::as_str);
            Err(refuse(&format!("no way leads from {from} to {}", transition.to.as_str())))
        }
    }

    /// A key is first seen once, and changes from the one that is known; a change under an open rotation is that
    /// rotation's, unless it leads back to an earlier key; a rotation is done only by another key.
    #[expect(clippy::wildcard_enum_match_arm, reason = "no other event changes a key or waits for a settled rotation")]
    fn check_key(&self, event: &Event) -> Result<(), Contradiction> {
        let known = self.key.as_ref().map(|key| &key.id);
        let settled = self.rotation.is_none();
        let possible = match event {
            Event::KeySeen { .. } => known.is_none(),
            Event::KeyRedated { .. } => known.is_some(),
            Event::KeyChanged { change, before, .. } => {
                known == Some(before) && (settled || *change == KeyChange::Regression)
            }
            Event::RotationDone { key_before, key_after, .. } => key_before != key_after,
            Event::TargetRearmed { .. } => settled,
            _ => true,
        };
        if possible {
            Ok(())
        } else {
            let (kind, _) = event.to_record();
            let rotation = self.rotation.as_ref().map_or("none", |rotation| rotation.state().as_str());
            let key = known.map_or("unknown", KeyId::as_str);
            Err(Contradiction(format!("{}: {kind} with key {key} and rotation {rotation}", self.target.id())))
        }
    }

    fn fold(&mut self, at: Timestamp, event: &Event) {
        match event {
            Event::TargetFound { description, listing } | Event::TargetChanged { description, listing } => {
                self.target = description.clone();
                self.listing = listing.clone();
                self.gone_since = None;
            }
            Event::TargetGone { .. } => self.gone_since = Some(at),
            Event::TargetReturned { .. } => self.gone_since = None,
            Event::TargetGoverned { governance, .. } => self.governance = governance.clone(),
            Event::TargetRefused { refusal, .. } => {
                self.refusal = Some(refusal.clone());
                self.unread = None;
            }
            Event::TargetReadable { .. } => self.refusal = None,
            Event::KeySeen { key, looked_at, .. } => {
                let last_seen = looked_at.unwrap_or(at);
                let came = KeyOrigin::FirstSeen;
                self.use_key(KeyRecord { id: key.clone(), not_before: None, first_seen: at, last_seen, came });
            }
            Event::KeyChanged { change, after, not_before, first_seen, looked_at, .. } => {
                self.use_key(KeyRecord {
                    id: after.clone(),
                    not_before: *not_before,
                    first_seen: *first_seen,
                    last_seen: looked_at.unwrap_or(at),
                    came: (*change).into(),
                });
                self.regressed_at = (*change == KeyChange::Regression).then_some(at);
                // An open rotation goes on: its PUT may still act, and the earlier key is to be replaced all the same.
                if self.rotation.is_none() {
                    self.open_next_slot();
                }
            }
            Event::KeyRedated { not_before, first_seen, .. } => {
                // The clock that dated the key dated the rotation: it made this key still, or was done before it came.
                let latest = if self.key.as_ref().map(|key| key.first_seen) == self.last_rotation_at {
                    *first_seen
                } else {
                    first_seen.saturating_sub(SignedDuration::from_micros(1)).unwrap_or(*first_seen)
                };
                self.last_rotation_at = self.last_rotation_at.map(|done| done.min(latest));
                if let Some(key) = &mut self.key {
                    (key.not_before, key.first_seen, key.last_seen) = (*not_before, *first_seen, at);
                }
            }
            Event::ObservationFailing { failure, .. } => {
                self.unread = Some(Box::new(Trouble { since: at, failure: failure.clone() }));
            }
            Event::ObservationRecovered { .. } => self.unread = None,
            Event::RotationIntended { rotation, due_at, key_before, looked_at, .. } => {
                self.attempt = rotation.attempt;
                self.rotation = Some(Box::new(Rotation {
                    id: *rotation,
                    due_at: *due_at,
                    key_before: key_before.clone(),
                    looked_at: *looked_at,
                    intended_at: at,
                    phase: Phase::Intended,
                }));
                if let Some(key) = &mut self.key {
                    key.last_seen = *looked_at;
                }
            }
            Event::RotationSending { looked_at, .. } => {
                self.set_phase(Phase::Sending { since: at, lost: None });
                if let (Some(looked_at), Some(rotation), Some(key)) = (looked_at, &mut self.rotation, &mut self.key) {
                    (rotation.looked_at, key.last_seen) = (*looked_at, *looked_at);
                }
            }
            Event::RotationReplyLost { failure, .. } => {
                let since = self.sent_at().unwrap_or(at);
                self.set_phase(Phase::Sending { since, lost: Some(failure.clone()) });
            }
            Event::RotationAccepted { .. } => {
                let sent_at = self.sent_at().unwrap_or(at);
                self.set_phase(Phase::Confirming { sent_at, since: at });
            }
            Event::RotationDone { rotation, how, key_after, last_seen, looked_at, .. } => {
                self.use_key(KeyRecord {
                    id: key_after.clone(),
                    not_before: Some(*last_seen),
                    first_seen: at,
                    last_seen: looked_at.unwrap_or(at),
                    came: (*how).into(),
                });
                self.regressed_at = None;
                self.last_rotation_at = Some(at);
                self.quarantine = None;
                // Of several attempts at the slot that were given up, another one may yet act.
                let may_act = |resting: &Unconfirmed| {
                    resting.rotation.slot == rotation.slot && (resting.rotation != *rotation || rotation.attempt > 1)
                };
                self.unconfirmed = self.unconfirmed.take().filter(may_act);
                self.open_next_slot();
            }
            Event::RotationFailed { rotation, failure, retry_at, .. } => {
                self.attempt = rotation.attempt;
                self.failures += u32::from(failure.scope == Scope::Target);
                self.rotation = None;
                self.setback = Some((Box::new(failure.clone()), *retry_at));
            }
            Event::RotationUnconfirmed { rotation, failure, retry_at, .. } => {
                let given_up = self.rotation.take();
                self.unconfirmed =
                    given_up.map(|given_up| Unconfirmed { rotation: *rotation, due_at: given_up.due_at });
                self.failures += 1;
                self.setback = Some((Box::new(failure.clone()), *retry_at));
            }
            Event::RotationWithdrawn { .. } => self.rotation = None,
            // Told of a slot that was answered meanwhile, they are true and change nothing.
            Event::SlotMissed { slot, closed_at, .. } if *slot == self.slot => self.missed_until = Some(*closed_at),
            Event::SlotHeld { slot, until, .. } if *slot == self.slot => self.held_until = Some(*until),
            Event::TargetQuarantined { failure, .. } => {
                self.quarantine = Some(Box::new(Trouble { since: at, failure: failure.clone() }));
            }
            // The slot is still unanswered: what was sent for it may act yet, and one change is all that it wants.
            Event::TargetRearmed { .. } => {
                self.quarantine = None;
                self.setback = None;
                self.failures = 0;
            }
            // Several orders before the slot is answered are one; whichever overrides, counts. Whoever asks for a rotation
            // now will not have it wait for the next retry.
            Event::RotationRequested { reason, by, overrides, .. } => {
                self.setback = None;
                let standing = self.request.as_ref();
                if standing.is_none_or(|standing| *overrides && !standing.overrides) {
                    let request = Request { at, reason: reason.clone(), by: by.clone(), overrides: *overrides };
                    self.request = Some(Box::new(request));
                }
            }
            Event::SlotMissed { .. } | Event::SlotHeld { .. } | of_no_target!() => {}
        }
    }

    fn sent_at(&self) -> Option<Timestamp> {
        self.rotation.as_ref().and_then(|rotation| rotation.sent_at())
    }

    fn set_phase(&mut self, phase: Phase) {
        if let Some(rotation) = &mut self.rotation {
            rotation.phase = phase;
        }
    }

    fn use_key(&mut self, key: KeyRecord) {
        // A predecessor last seen later than this, by a clock that ran ahead, makes no key younger.
        let not_before = key.not_before.map(|since| since.min(key.first_seen));
        self.key = Some(KeyRecord { not_before, ..key });
        self.unread = None;
        self.refusal = None;
    }

    fn open_next_slot(&mut self) {
        self.slot += 1;
        self.attempt = 0;
        self.failures = 0;
        self.rotation = None;
        self.setback = None;
        self.request = None;
        self.missed_until = None;
        self.held_until = None;
    }
}
