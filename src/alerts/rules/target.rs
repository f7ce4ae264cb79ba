//! When an alert about one target fires, and its words.

use jiff::{SignedDuration, Timestamp};

use super::{About, Alert, advice, alert, length};
use crate::domain::{
    AlertKind, AlertSubject, KeyOrigin, Listing, Period, Standing, TargetId, TargetName, TargetRecord, Trouble,
};
use crate::policy::{Policy, Rules, begins_at, due_at, look_every};
use crate::ports::Situation;

/// So many looks at a key may be missed before it counts as unread.
const MISSED_LOOKS: u64 = 4;

/// A look may come this late, whatever the policy: shorter silences are the weather of a network.
const SHORTEST_SILENCE: Period = Period::minutes(1);

/// One failed attempt is weather; from this many on something is wrong.
const FAILED_ATTEMPTS: u32 = 2;

/// A rotation settles itself within the time that it is given; after so many times that, something is in its way.
const TIMES_PENDING: u64 = 2;

/// A key that somebody else changed is told for so long: once everybody on call has had a turn.
const FOREIGN_FOR: Period = Period::days(1);

/// One target, and what bears on it.
pub(super) struct Look<'a> {
    situation: &'a Situation,
    rules: &'a Rules,
    now: Timestamp,
    id: &'a TargetId,
    record: &'a TargetRecord,
    policy: &'a Policy,
    due: Option<Timestamp>,
}

impl<'a> Look<'a> {
    /// None where the configuration names neither its manager nor its project.
    pub(super) fn at(
        situation: &'a Situation,
        rules: &'a Rules,
        id: &'a TargetId,
        record: &'a TargetRecord,
    ) -> Option<Self> {
        let policy = rules.policy_of(&record.target)?;
        Some(Self { situation, rules, now: situation.now, id, record, policy, due: due_at(record, policy) })
    }

    pub(super) fn alerts(&self) -> Vec<Alert> {
        match self.record.standing() {
            Standing::Managed => [
                self.key_too_old(),
                self.key_will_be_too_old(),
                self.rotation_overdue(),
                self.rotation_failing(),
                self.rotation_pending(),
                self.foreign_change(),
                self.quarantined(),
                self.regression(),
                self.observation_stale(),
            ]
            .into_iter()
            .flatten()
            .collect(),
            // A key that was rotated and is not any more grows old unseen, whoever stopped its backup; and after an upgrade of
            // its manager a target may be of a type that nobody here has heard of.
            standing @ (Standing::Refused(_)
            | Standing::Listed(
                Listing::NotEncrypted
                | Listing::NoBackup
                | Listing::BackupNotStarted { .. }
                | Listing::UnknownType { .. },
            )) => self.not_governed(&standing).into_iter().collect(),
            // The configuration takes these out on purpose. What is gone is told in `gone`, for whole projects at once.
            Standing::Listed(Listing::Excluded { .. } | Listing::Eligible) | Standing::Gone => Vec::new(),
        }
    }

    /// Strictly older than the policy allows: a key of exactly 90 days is not too old.
    fn key_too_old(&self) -> Option<Alert> {
        let key = self.record.key.as_ref()?;
        let limit = self.policy.alert_after.after(key.since());
        if self.now <= limit {
            return None;
        }
        let age = length(key.since(), self.now);
        let age = match key.not_before {
            Some(since) => format!("may be {age} old (in use since {since:.0} at the earliest)"),
            None => {
                format!("is at least {age} old (first seen {:.0}; how much older it is, is not known)", key.first_seen)
            }
        };
        let words = format!(
            "{}: its key {age}; policy {:?} allows {}. Next: `rekeyd plan` says what its rotation waits for.",
            self.name(),
            self.policy.name,
            self.policy.alert_after
        );
        Some(self.alert(AlertKind::KeyTooOld, Some(limit), words))
    }

    /// The plan itself is too slow. Once the key is too old, that alert takes over.
    fn key_will_be_too_old(&self) -> Option<Alert> {
        let key = self.record.key.as_ref()?;
        let due = self.due?;
        let limit = self.policy.alert_after.after(key.since());
        let begins = begins_at(self.record, self.policy, &self.situation.fleet, self.rules);
        if begins.is_some_and(|begins| begins <= limit) || self.now > limit || self.record.quarantine.is_some() {
            return None;
        }
        let what = match begins {
            _ if due > limit => format!("falls due later, at {due:.0}"),
            Some(begins) => format!("is held until later, {begins:.0}, by its windows or by a freeze"),
            None => "never begins: none of its windows comes".to_owned(),
        };
        let mend = if due > limit {
            format!(
                "make `every` and `spread` of policy {:?} shorter together than its `alert_after`",
                self.policy.name
            )
        } else {
            "`rekeyd plan` says what holds it; end that sooner, or `rekeyd rotate --override` in spite of it".to_owned()
        };
        let words = format!(
            "{}: its key will be too old at {limit:.0} ({} allowed), and its rotation {what}. Next: {mend}.",
            self.name(),
            self.policy.alert_after
        );
        Some(self.alert(AlertKind::KeyWillBeTooOld, None, words))
    }

    fn rotation_overdue(&self) -> Option<Alert> {
        let (due, grace) = (self.due?, grace(self.policy));
        // One in quarantine has an alert of its own.
        if self.now <= later(due, grace) || self.record.quarantine.is_some() {
            return None;
        }
        // Until its first window opens, or its freeze ends, it waits as it should.
        let limit = later(begins_at(self.record, self.policy, &self.situation.fleet, self.rules)?, grace);
        if self.now <= limit {
            return None;
        }
        let words = format!(
            "{}: a rotation fell due at {due:.0}, {} ago, and no new key was seen since. \
             Next: `rekeyd plan` says what it waits for.",
            self.name(),
            length(due, self.now)
        );
        Some(self.alert(AlertKind::RotationOverdue, Some(limit), words))
    }

    fn rotation_failing(&self) -> Option<Alert> {
        let (failure, retry_at) = self.record.setback.as_ref()?;
        if self.record.failures < FAILED_ATTEMPTS || self.record.quarantine.is_some() {
            return None;
        }
        let words = format!(
            "{}: {} of {} attempts to rotate its key failed, at last with: {failure}. \
             The next one is not before {retry_at:.0}. Next: {}.",
            self.name(),
            self.record.failures,
            self.policy.max_attempts,
            advice::against(About::Target, failure.reason)
        );
        Some(self.alert(AlertKind::RotationFailing, None, words))
    }

    /// Begun, and not settled in the time that a rotation is given.
    fn rotation_pending(&self) -> Option<Alert> {
        let rotation = self.record.rotation.as_ref()?;
        let given = self.policy.confirm_within.max(self.policy.settle).max(SHORTEST_SILENCE);
        let limit = later(rotation.intended_at, given.as_secs() * TIMES_PENDING);
        if self.now <= limit {
            return None;
        }
        let words = format!(
            "{}: rotation {} was begun at {:.0}, {} ago, and whether the key changed is still not known. \
             Next: see that its manager answers; the first look that succeeds settles it, and nothing is sent before.",
            self.name(),
            rotation.id,
            rotation.intended_at,
            length(rotation.intended_at, self.now)
        );
        Some(self.alert(AlertKind::RotationPending, Some(limit), words))
    }

    /// A key that came into use while we watched, and answered no slot.
    fn foreign_change(&self) -> Option<Alert> {
        let key = self.record.key.as_ref().filter(|key| key.came == KeyOrigin::Foreign)?;
        if self.now > FOREIGN_FOR.after(key.first_seen) {
            return None;
        }
        let words = format!(
            "{}: somebody else changed its key, seen at {:.0}, {} ago; its age counts from there. \
             Next: ask who else rotates it; `rekeyd history '{}'` has our own rotations.",
            self.name(),
            key.first_seen,
            length(key.first_seen, self.now),
            self.name()
        );
        Some(self.alert(AlertKind::ForeignKeyChange, Some(key.first_seen), words))
    }

    fn quarantined(&self) -> Option<Alert> {
        let quarantine = self.record.quarantine.as_ref()?;
        let words = format!(
            "{}: not rotated any more since {:.0}, for {}: {}. Next: {}; then `rekeyd rearm '{}' --reason WHY`.",
            self.name(),
            quarantine.since,
            length(quarantine.since, self.now),
            quarantine.failure,
            advice::against(About::Target, quarantine.failure.reason),
            self.name()
        );
        Some(self.alert(AlertKind::TargetQuarantined, Some(quarantine.since), words))
    }

    fn regression(&self) -> Option<Alert> {
        let since = self.record.regressed_at?;
        let words = format!(
            "{}: since {since:.0}, {} ago, it uses a key that had been replaced before. \
             Next: find out who or what restored it; `rekeyd plan '{}'` says when it is rotated again.",
            self.name(),
            length(since, self.now),
            self.name()
        );
        Some(self.alert(AlertKind::KeyRegression, Some(since), words))
    }

    fn not_governed(&self, standing: &Standing<'_>) -> Option<Alert> {
        let key = self.record.key.as_ref()?;
        let words = format!(
            "{}: it had a key, last seen {:.0}, and now {standing}. It is not rotated. \
             Next: find out who changed this in the manager; if it is meant, exclude the cluster in the configuration.",
            self.name(),
            key.last_seen
        );
        Some(self.alert(AlertKind::TargetNotGoverned, None, words))
    }

    /// A silent manager has an alert of its own, and so has a rotation that is looked after in place of its target. A daemon
    /// that just started has a round of looks to make, and so has one whose manager just came back, or whose clock was set ahead: it
    /// says nothing new before that, but what it had said it does not take back. While the ledger cannot be written, nobody knows
    /// which keys were read.
    fn observation_stale(&self) -> Option<Alert> {
        let (fleet, manager) = (&self.situation.fleet, &self.record.target.manager);
        let told = fleet.alerts.contains_key(&(AlertKind::ObservationStale, AlertSubject::Target(self.id.clone())));
        if fleet.outage_of(manager).is_some() && !told || self.record.rotation.is_some() {
            return None;
        }
        let every = look_every(self.record, self.rules)?;
        let seen = self.record.key.as_ref().map(|key| key.last_seen);
        let silence = (every.as_secs() * MISSED_LOOKS).max(SHORTEST_SILENCE.as_secs());
        let mut limit = later(seen.unwrap_or(self.record.found_at), silence);
        if self.now <= limit {
            return None;
        }
        if !told {
            if self.situation.unwritable.is_some() {
                return None;
            }
            let recovered = self.situation.recovered.get(manager).copied();
            let set_ahead = fleet.clock_step.filter(|step| step.by_s > 0).map(|step| step.at);
            let begun = [recovered, set_ahead].into_iter().flatten();
            let round_from = begun.fold(self.situation.started_at, Timestamp::max);
            limit = limit.max(every.max(SHORTEST_SILENCE).after(round_from));
            if self.now <= limit {
                return None;
            }
        }
        let silence = match seen {
            Some(seen) => format!("its key was last read at {seen:.0}, {} ago", length(seen, self.now)),
            None => format!("its key was never read since it was found at {:.0}", self.record.found_at),
        };
        let (cause, next) = match self.record.unread.as_deref() {
            Some(Trouble { since, failure }) => {
                (format!(", failing since {since:.0}: {failure}"), advice::against(About::Target, failure.reason))
            }
            None => (String::new(), "look into the daemon's log; `/healthz` says whether its scheduler runs"),
        };
        let words = format!("{}: {silence}{cause}. Next: {next}.", self.name());
        Some(self.alert(AlertKind::ObservationStale, Some(limit), words))
    }

    fn name(&self) -> TargetName {
        self.record.target.name()
    }

    fn alert(&self, kind: AlertKind, since: Option<Timestamp>, words: String) -> Alert {
        alert(kind, AlertSubject::Target(self.id.clone()), self.name().to_string(), since, words)
    }
}

/// How long a slot may stay unanswered, in seconds: a tenth of the interval, and never less than one rotation may take.
fn grace(policy: &Policy) -> u64 {
    (policy.rhythm.shortest().as_secs() / 10).max(policy.confirm_within.as_secs())
}

fn later(start: Timestamp, seconds: u64) -> Timestamp {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    start.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}
