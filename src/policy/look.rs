//! Which targets' keys are to be looked at now, apart from any rotation.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::place::place;
use super::rules::Rules;
use crate::domain::{Fleet, Period, Standing, TargetId, TargetRecord};

/// A target that refuses this mechanism, or waits for an operator, is looked at once a day.
const SELDOM: Period = Period::days(1);
/// Looks that fall due within a hundredth of their distance, and within this, are planned together.
const GATHERED: SignedDuration = SignedDuration::from_secs(30);
/// A key that was never read holds its target up: it is asked for again so soon, and then ever less often.
const FIRST_AGAIN: Period = Period::seconds(10);

/// The targets to look at now, and when there will be more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looks {
    /// To look at now, the longest unseen first.
    pub now: Vec<TargetId>,
    /// When the next one is to be looked at.
    pub next_at: Option<Timestamp>,
}

/// Decides which keys to look at. `tried` says when a look was last tried, whatever came of it.
///
/// A target with an unsettled rotation is left to that rotation. Looks keep the distance of the policy's `observe_every`, less
/// the target's own place in a tenth of it: however they begin, they drift apart and not together.
pub fn looks(now: Timestamp, fleet: &Fleet, rules: &Rules, tried: &BTreeMap<TargetId, Timestamp>) -> Looks {
    let mut looks = Looks::default();
    let mut due = Vec::new();
    let mut gathered = GATHERED;
    for (id, record) in &fleet.targets {
        let outage = fleet.outage_of(&record.target.manager).is_some();
        if outage || record.rotation.is_some() {
            continue;
        }
        let tried = tried.get(id).copied();
        let Some(every) = distance(record, rules, tried) else { continue };
        let seen = record.key.as_ref().map(|key| key.last_seen);
        // A clock that was set back must not silence the looks until it has caught up, nor let them follow each other.
        let newest = [seen, tried].into_iter().flatten().filter(|at| *at <= now).max();
        let after = |newest: Timestamp, every: Period, early| {
            every.after(Period::from_secs(early).map_or(newest, |part| part.before(newest)))
        };
        let together = SignedDuration::try_from(every.as_duration() / 100).unwrap_or(GATHERED);
        // Its own place is looked up only where it could matter.
        let soonest = newest.map_or(Timestamp::MIN, |newest| after(newest, every, every.as_secs() / 10));
        if soonest > now && looks.next_at.is_some_and(|next| next <= soonest) {
            gathered = gathered.min(together);
            continue;
        }
        let mut at = newest.map_or(Timestamp::MIN, |newest| after(newest, every, place(id, every.as_secs() / 10)));
        if at <= now {
            due.push((at, id));
            // Looked at now, it is to be looked at again.
            let every = distance(record, rules, Some(now)).unwrap_or(every);
            at = after(now, every, place(id, every.as_secs() / 10));
        }
        gathered = gathered.min(together);
        looks.next_at = Some(looks.next_at.map_or(at, |next| next.min(at)));
    }
    // Were there more to look at than there is time for, none must be left out for ever.
    due.sort();
    looks.next_at = looks.next_at.map(|at| at.max(now.saturating_add(gathered).unwrap_or(at)));
    looks.now = due.into_iter().map(|(_, id)| id.clone()).collect();
    looks
}

/// How far apart the looks at a target's key are at most; none if it is not looked at.
pub fn look_every(record: &TargetRecord, rules: &Rules) -> Option<Period> {
    let every = rules.policy_of(&record.target)?.observe_every;
    match record.standing() {
        Standing::Managed if record.quarantine.is_none() || record.key.is_none() => Some(every),
        Standing::Managed | Standing::Refused(_) => Some(SELDOM.max(every)),
        Standing::Listed(_) | Standing::Gone => None,
    }
}

fn distance(record: &TargetRecord, rules: &Rules, tried: Option<Timestamp>) -> Option<Period> {
    let every = look_every(record, rules)?;
    if record.key.is_some() || record.standing() != Standing::Managed {
        return Some(every);
    }
    let failing = record.unread.as_ref().zip(tried).map(|(unread, tried)| tried.duration_since(unread.since));
    let failing = failing.and_then(|length| Period::from_secs(length.as_secs().try_into().ok()?));
    Some(failing.unwrap_or(FIRST_AGAIN).max(FIRST_AGAIN).min(every))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Event, Listing, Reason, sample};
    use crate::policy::{ManagerRules, Policy};

    /// A target whose very first look fails must not wait for the next round of looks: nothing of it can be due before.
    #[test]
    fn a_key_that_was_never_read_is_asked_for_again_soon_and_then_less_often() {
        let start: Timestamp = "2026-05-01T00:00:00Z".parse().unwrap();
        let description = sample::target();
        let target = description.id();
        let mut fleet = Fleet::default();
        let failure = sample::failure(Reason::ServerError);
        sample::tell(&mut fleet, start, &Event::TargetFound { description, listing: Listing::Eligible });
        sample::tell(&mut fleet, start, &Event::ObservationFailing { target: target.clone(), failure });
        let policy = std::sync::Arc::new(Policy::with_defaults("default".into()));
        let rules =
            Rules { managers: BTreeMap::from([("emea".into(), ManagerRules::new(1, policy))]), ..Rules::default() };
        let after = |seconds| start + SignedDuration::from_secs(seconds);
        // Tried after so many seconds of failing, it waits so long; less a tenth at most, for its place.
        for (tried, wait) in [(0, 10), (10, 10), (60, 60), (86_400, 900)] {
            let tries = BTreeMap::from([(target.clone(), after(tried))]);
            let looks = |at| looks(after(at), &fleet, &rules, &tries).now.len();
            assert_eq!((looks(tried + wait * 9 / 10 - 1), looks(tried + wait)), (0, 1), "{tried} s");
        }
        // What is looked at now is to be looked at again, though nobody says so who comes in between.
        let again = looks(after(0), &fleet, &rules, &BTreeMap::new()).next_at.unwrap();
        assert!((after(9)..=after(10)).contains(&again), "{again}");
    }
}
