//! When nobody could look at a target's key. That the same key was still in use is on record only by what comes after: a look
//! that found it, or a time, a day at least, in which it could be looked at and nothing else was found. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::domain::{Event, Fleet, Period, PolicyName, Standing, TargetId, TargetRecord};
use crate::policy::Policy;

/// Keys are looked at several times in this time, unless they cannot be, or a policy has them looked at more seldom.
const DAY: SignedDuration = SignedDuration::from_hours(24);

/// A stretch in which a target's key could not be looked at, and after which nothing shows that it was in use all the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unseen {
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    pub(crate) why: &'static str,
}

/// What of each target nobody could see.
#[derive(Default)]
pub(super) struct Blindness {
    /// Whether the daemon had ended in good order.
    stopped: bool,
    /// The date of the newest record that shows that the daemon ran.
    newest: Timestamp,
    /// How far apart looks may be, by the words of each policy.
    distances: BTreeMap<PolicyName, Period>,
    open: BTreeMap<TargetId, Blind>,
    found: BTreeMap<TargetId, Vec<Unseen>>,
}

/// A target that has not been seen since.
struct Blind {
    since: Timestamp,
    why: &'static str,
    /// When it could be looked at again.
    until: Option<Timestamp>,
}

impl Blindness {
    /// Takes in what happened; `fleet` is what is known after it.
    pub(super) fn hear(&mut self, at: Timestamp, event: &Event, fleet: &Fleet) {
        let before = self.newest;
        if !by_hand(event) {
            self.newest = at;
        }
        if let Event::DaemonStarted { .. } = event {
            // One that died is not known to have looked after its last record.
            if !std::mem::replace(&mut self.stopped, true) {
                self.weigh_all(before, fleet, |_| true);
            }
            self.stopped = false;
            self.weigh_all(at, fleet, |_| true);
        } else if let Event::DaemonStopped { .. } = event {
            self.stopped = true;
            self.weigh_all(at, fleet, |_| true);
        } else if let Event::ManagerFailing { manager, .. } | Event::ManagerAnswering { manager } = event {
            self.weigh_all(at, fleet, |record| record.target.manager == *manager);
        } else if let Event::PolicySet { policy, words } = event {
            // By the former distances some have been looked at by now. The others wait anew, by the new ones.
            let patience = self.patience();
            self.open.retain(|_, blind| blind.lasts(at, patience));
            self.open.values_mut().for_each(|blind| blind.until = blind.until.map(|_| at));
            self.distances.extend(Policy::observe_every_in(words).map(|every| (policy.clone(), every)));
        } else if saw(event) || turned(event) {
            let Some((id, record)) = event.target().and_then(|id| fleet.targets.get_key_value(&id)) else { return };
            if saw(event) {
                self.open.remove(id);
            }
            self.weigh(at, id, record, fleet);
        }
    }

    /// What was not seen, up to the end of the period.
    pub(super) fn end(mut self, at: Timestamp) -> BTreeMap<TargetId, Vec<Unseen>> {
        for (id, blind) in std::mem::take(&mut self.open) {
            self.close(at, &id, &blind);
        }
        self.found
    }

    fn weigh_all(&mut self, at: Timestamp, fleet: &Fleet, concerned: impl Fn(&TargetRecord) -> bool) {
        for (id, record) in fleet.targets.iter().filter(|(_, record)| concerned(record)) {
            self.weigh(at, id, record, fleet);
        }
    }

    fn weigh(&mut self, at: Timestamp, id: &TargetId, record: &TargetRecord, fleet: &Fleet) {
        let manager = fleet.managers.get(&record.target.manager);
        let why = if self.stopped {
            Some("rekeyd did not run")
        } else if manager.is_some_and(|manager| manager.outage.is_some()) {
            Some("the manager did not answer")
        } else {
            record.unread.is_some().then_some("its key could not be read")
        };
        let former = self.open.remove(id);
        if record.standing() != Standing::Managed || record.key.is_none() {
            if let Some(blind) = former {
                self.close(at, id, &blind);
            }
            return;
        }
        let patience = self.patience();
        let still = match (former.filter(|blind| blind.lasts(at, patience)), why) {
            (former, None) => former.map(|blind| Blind { until: blind.until.or(Some(at)), ..blind }),
            // What could be looked at for too short a time was not seen.
            (Some(blind), Some(_)) => Some(Blind { until: None, ..blind }),
            (None, Some(why)) => Some(Blind { since: at, why, until: None }),
        };
        if let Some(blind) = still {
            self.open.insert(id.clone(), blind);
        }
    }

    fn close(&mut self, at: Timestamp, id: &TargetId, blind: &Blind) {
        if blind.lasts(at, self.patience()) && at.duration_since(blind.since) > DAY {
            let unseen = Unseen { from: blind.since, to: at, why: blind.why };
            self.found.entry(id.clone()).or_default().push(unseen);
        }
    }

    /// For how long a key could be looked at before it is sure that it was.
    fn patience(&self) -> SignedDuration {
        let longest = self.distances.values().map(|every| every.as_secs()).max().unwrap_or_default();
        DAY.max(SignedDuration::from_secs(2 * i64::try_from(longest).unwrap_or(i64::MAX / 2)))
    }
}

impl Blind {
    /// Whether nothing shows yet that the key was still in use.
    fn lasts(&self, at: Timestamp, patience: SignedDuration) -> bool {
        self.until.is_none_or(|until| at.duration_since(until) <= patience)
    }
}

/// Whether it may have been recorded while no daemon ran: by `rekeyd rearm`, and what it has to record with that.
pub(super) fn by_hand(event: &Event) -> bool {
    matches!(event, Event::TargetRearmed { .. } | Event::CheckpointKeySet { .. })
}

/// Whether the target's key was read.
fn saw(event: &Event) -> bool {
    matches!(
        event,
        Event::KeySeen { .. }
            | Event::KeyChanged { .. }
            | Event::KeyRedated { .. }
            | Event::ObservationRecovered { .. }
            | Event::TargetReadable { .. }
            | Event::RotationIntended { .. }
            | Event::RotationSending { looked_at: Some(_), .. }
            | Event::RotationDone { .. }
    )
}

/// Whether the target may have come to be read no more, or to be looked at no more, or again.
fn turned(event: &Event) -> bool {
    matches!(
        event,
        Event::ObservationFailing { .. }
            | Event::TargetChanged { .. }
            | Event::TargetGone { .. }
            | Event::TargetReturned { .. }
            | Event::TargetRefused { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sample::{failure, target};
    use crate::domain::{Listing, Reason, RotationId};

    fn day(number: i64) -> Timestamp {
        "2026-06-01T00:00:00Z".parse::<Timestamp>().unwrap() + DAY * i32::try_from(number).unwrap()
    }

    fn started() -> Event {
        Event::DaemonStarted { version: "1".to_owned(), pid: 1, host: "h".to_owned() }
    }

    fn stopped() -> Event {
        Event::DaemonStopped { parked: 0 }
    }

    fn failing() -> Event {
        Event::ManagerFailing { manager: "emea".into(), failure: failure(Reason::TimedOut) }
    }

    fn answering() -> Event {
        Event::ManagerAnswering { manager: "emea".into() }
    }

    fn unread() -> Event {
        Event::ObservationFailing { target: target().id(), failure: failure(Reason::TimedOut) }
    }

    /// What was not seen of a target whose key was seen on day 0, after these events, in a period that ends with day 30.
    fn unseen(events: Vec<(i64, Event)>) -> Vec<(i64, i64, &'static str)> {
        let found = Event::TargetFound { description: target(), listing: Listing::Eligible };
        let seen = Event::KeySeen { target: target().id(), key: "a".into(), looked_at: None };
        let (mut fleet, mut blindness) = (Fleet::default(), Blindness::default());
        for (on, event) in [(0, started()), (0, found), (0, seen)].into_iter().chain(events) {
            fleet.fold(day(on), &event).unwrap();
            blindness.hear(day(on), &event, &fleet);
        }
        let number = |at: Timestamp| at.duration_since(day(0)).as_hours() / 24;
        let unseen = blindness.end(day(30)).into_values().flatten();
        unseen.map(|one| (number(one.from), number(one.to), one.why)).collect()
    }

    /// Whatever keeps the daemon from looking until the period is over leaves no proof from then on.
    #[test]
    fn what_is_not_seen_to_the_end_is_not_proved() {
        assert_eq!(unseen(vec![(3, stopped())]), [(3, 30, "rekeyd did not run")]);
        assert_eq!(unseen(vec![(3, failing())]), [(3, 30, "the manager did not answer")]);
        assert_eq!(unseen(vec![(3, unread())]), [(3, 30, "its key could not be read")]);
        // One reason after the other, with no look between them.
        let then = vec![(3, stopped()), (20, started()), (20, failing()), (25, answering()), (26, unread())];
        assert_eq!(unseen(then), [(3, 30, "rekeyd did not run")]);
        // A day is not long enough to doubt.
        assert_eq!(unseen(vec![(29, stopped())]), []);
    }

    /// What is seen afterwards, or could have been for more than a day, was in use all the time.
    #[test]
    fn a_look_proves_what_came_before_it() {
        assert_eq!(unseen(vec![(3, stopped()), (20, started())]), []);
        assert_eq!(
            unseen(vec![(3, stopped()), (20, started()), (25, unread())]),
            [(25, 30, "its key could not be read")]
        );
        let recovered = Event::ObservationRecovered { target: target().id() };
        assert_eq!(unseen(vec![(3, unread()), (20, recovered)]), []);
        let (rotation, looked_at) = (RotationId { slot: 1, attempt: 1 }, day(20));
        let (target, key_before) = (target().id(), "a".into());
        let intended = Event::RotationIntended { target, rotation, due_at: day(20), key_before, looked_at };
        assert_eq!(
            unseen(vec![(3, failing()), (20, answering()), (20, intended), (20, stopped())]),
            [(20, 30, "rekeyd did not run")]
        );
    }

    /// One that died is not known to have looked after its last record.
    #[test]
    fn a_crash_is_from_the_last_record_on() {
        assert_eq!(unseen(vec![(20, started()), (20, unread())]), [(0, 30, "rekeyd did not run")]);
        let answered = vec![(9, answering()), (20, started()), (20, unread())];
        assert_eq!(unseen(answered), [(9, 30, "rekeyd did not run")]);
    }

    /// What somebody recorded by hand meanwhile does not show that the daemon ran.
    #[test]
    fn a_record_made_by_hand_proves_no_look() {
        let rearmed = Event::TargetRearmed { target: target().id(), reason: "CHG-1".to_owned(), by: None };
        let key = Event::CheckpointKeySet { key: "k".to_owned() };
        let by_hand = vec![(10, key), (10, rearmed), (20, started()), (20, unread())];
        assert_eq!(unseen(by_hand), [(0, 30, "rekeyd did not run")]);
    }

    /// Where keys are looked at once in ten days, a day in which one could be shows nothing.
    #[test]
    fn what_is_looked_at_seldom_is_not_seen_in_a_day() {
        let every = |days| {
            let policy = Policy { observe_every: Period::days(days), ..Policy::with_defaults("slow".into()) };
            Event::PolicySet { policy: policy.name.clone(), words: policy.to_string() }
        };
        let away = |days, until| vec![(0, every(days)), (2, stopped()), (6, started()), (until, unread())];
        assert_eq!(unseen(away(1, 9)), [(9, 30, "its key could not be read")]);
        assert_eq!(unseen(away(10, 9)), [(2, 30, "rekeyd did not run")]);
        assert_eq!(unseen(away(10, 27)), [(27, 30, "its key could not be read")]);
        // Looked at more often from the 24th on, its key has been for one more day on the 27th, and not on the 24th.
        let faster = |until| vec![(0, every(10)), (8, stopped()), (10, started()), (24, every(1)), (until, unread())];
        assert_eq!(unseen(faster(24)), [(8, 30, "rekeyd did not run")]);
        assert_eq!(unseen(faster(27)), [(27, 30, "its key could not be read")]);
    }

    /// A target that goes unseen is never seen again: the time before is not proved, and there is none after.
    #[test]
    fn a_target_that_goes_unseen_is_not_proved_until_then() {
        let gone = Event::TargetGone { target: target().id(), listings: 3 };
        assert_eq!(unseen(vec![(3, unread()), (20, gone)]), [(3, 20, "its key could not be read")]);
    }
}
