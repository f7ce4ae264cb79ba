//! What a listing of a manager means: which targets are new, changed, gone or back.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use crate::domain::{
    Actor, Event, Failure, Fleet, Governance, Listing, ManagerName, ProjectId, Sighting, Target, TargetId,
};
use crate::policy::Rules;
use crate::ports::{Discovery, JournalError};

/// A target is gone when so many listings in a row did not name it: the far end's own discovery lags behind.
const GONE_AFTER: u32 = 3;

/// How many listings in a row have not named a target.
pub(super) type Unseen = BTreeMap<TargetId, u32>;

impl Engine {
    /// Whether the manager is known to fail.
    pub(super) fn is_failing(&self, manager: &ManagerName) -> bool {
        self.scribe.fleet().outage_of(manager).is_some()
    }

    /// Records that a manager fails: once for each outage, and again when its cause is one of another kind, so that nobody waits
    /// for what needs a person.
    pub(super) async fn manager_failed(&self, manager: &ManagerName, failure: &Failure) -> Result<(), JournalError> {
        // Many tasks meet an outage at once; the first one tells.
        let _turn = self.outages.lock().await;
        if self.scribe.fleet().outage_of(manager).is_some_and(|known| !failure.is_news_after(&known.failure)) {
            return Ok(());
        }
        let event = Event::ManagerFailing { manager: manager.clone(), failure: failure.clone() };
        self.scribe.write(Actor::Daemon, vec![event]).await
    }
}

/// The events that follow from a listing.
pub(super) fn news(
    fleet: &Fleet,
    rules: &Rules,
    manager: &ManagerName,
    discovery: &Discovery,
    unseen: &mut Unseen,
) -> Vec<Event> {
    let mut events = Vec::new();
    let known = fleet.managers.get(manager);
    if known.is_some_and(|record| record.outage.is_some()) {
        events.push(Event::ManagerAnswering { manager: manager.clone() });
    }
    let mut listed = BTreeSet::new();
    let listed_projects: BTreeSet<_> = discovery.sightings.iter().map(|sighting| &sighting.target.project_id).collect();
    for sighting in &discovery.sightings {
        let id = sighting.target.id();
        unseen.remove(&id);
        if listed.insert(id.clone()) {
            events.extend(news_of(fleet, rules, &id, sighting));
            let known = fleet.targets.get(&id).and_then(|record| record.governance.as_ref());
            events.extend(governed_anew(known, rules, &sighting.target));
        }
    }
    // That this project's listing does not name something says nothing.
    let is_silent = |project_id: &ProjectId, name: &str| {
        discovery.unread.iter().any(|project| match &project.id {
            Some(id) => id == project_id || project.name == name,
            // The list of projects lacks some: it may be any of which nothing was listed.
            None => !listed_projects.contains(project_id),
        })
    };
    for (id, record) in fleet.targets.iter().filter(|(_, record)| record.target.manager == *manager) {
        let silent = is_silent(&record.target.project_id, &record.target.project);
        if record.gone_since.is_some() || listed.contains(id) || silent {
            continue;
        }
        let listings = unseen.entry(id.clone()).or_default();
        *listings += 1;
        if *listings >= GONE_AFTER {
            events.push(Event::TargetGone { target: id.clone(), listings: *listings });
        }
    }
    let known_unread = known.map(|record| record.unread.clone()).unwrap_or_default();
    for project in &discovery.unread {
        if known_unread.get(&project.name).is_none_or(|known| project.failure.is_news_after(&known.failure)) {
            let (project, failure) = (project.name.clone(), project.failure.clone());
            events.push(Event::ProjectUnread { manager: manager.clone(), project, failure });
        }
    }
    for project in known_unread.into_keys().filter(|known| discovery.unread.iter().all(|unread| unread.name != *known))
    {
        events.push(Event::ProjectRead { manager: manager.clone(), project });
    }
    let gaps: BTreeSet<_> = discovery.gaps.iter().cloned().collect();
    let known_gaps: BTreeSet<_> = known.map(|record| record.gaps.keys().cloned().collect()).unwrap_or_default();
    for gap in gaps.difference(&known_gaps) {
        events.push(Event::GapFound { manager: manager.clone(), gap: gap.clone() });
    }
    for gap in known_gaps.difference(&gaps).filter(|gap| !is_silent(&gap.project_id, &gap.project)) {
        events.push(Event::GapClosed { manager: manager.clone(), gap: gap.clone() });
    }
    events
}

fn news_of(fleet: &Fleet, rules: &Rules, id: &TargetId, sighting: &Sighting) -> Option<Event> {
    let description = sighting.target.clone();
    let listing = rules.listing_of(sighting);
    match fleet.targets.get(id) {
        None => Some(Event::TargetFound { description, listing }),
        Some(record) if record.target != description || record.listing != listing => {
            Some(Event::TargetChanged { description, listing })
        }
        Some(record) if record.gone_since.is_some() => Some(Event::TargetReturned { target: id.clone() }),
        Some(_) => None,
    }
}

/// Targets that the configuration leaves out from now on, without waiting for a listing. What is gone stays gone.
pub(super) fn newly_excluded(fleet: &Fleet, rules: &Rules) -> Vec<Event> {
    fleet
        .targets
        .values()
        .filter(|record| record.gone_since.is_none())
        .filter_map(|record| {
            let sighting = Sighting { target: record.target.clone(), listing: record.listing.clone() };
            let listing = rules.listing_of(&sighting);
            (listing != record.listing && matches!(listing, Listing::Excluded { .. }))
                .then(|| Event::TargetChanged { description: record.target.clone(), listing })
        })
        .collect()
}

/// Targets that are on record as governed by another policy, or by other settings of it, than from now on.
pub(super) fn newly_governed(fleet: &Fleet, rules: &Rules) -> Vec<Event> {
    let records = fleet.targets.values();
    records.filter_map(|record| governed_anew(record.governance.as_ref(), rules, &record.target)).collect()
}

fn governed_anew(known: Option<&Governance>, rules: &Rules, target: &Target) -> Option<Event> {
    let governance = rules
        .policy_of(target)
        .map(|policy| Governance { policy: policy.name.clone(), alert_after: policy.alert_after });
    (known != governance.as_ref()).then(|| Event::TargetGoverned { target: target.id(), governance })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::domain::{Glob, Mechanism, Period, PolicyName, ProjectSelector, Role};
    use crate::policy::{ManagerRules, Policy, ProjectRules};

    fn sighting(cluster_id: &str) -> Sighting {
        let target = Target {
            manager: "emea".into(),
            project_id: "5f".into(),
            project: "billing".to_owned(),
            cluster_id: cluster_id.into(),
            cluster: "ledger".to_owned(),
            replica_set: format!("ledger-{cluster_id}"),
            role: Role::Shard,
            mechanism: Mechanism::BackupKey,
        };
        Sighting { target, listing: Listing::Eligible }
    }

    fn apply(fleet: &mut Fleet, events: &[Event]) {
        for event in events {
            let change = fleet.consequence("2026-05-01T00:00:00Z".parse().unwrap(), event).unwrap();
            change.into_iter().for_each(|change| {
                fleet.adopt(change);
            });
        }
    }

    /// One listing without it is no proof that a target was deleted; several are; and it can come back.
    #[test]
    fn a_target_is_gone_after_several_listings_and_can_return() {
        let (mut fleet, rules, manager, mut unseen) =
            (Fleet::default(), Rules::default(), ManagerName::from("emea"), Unseen::new());
        let full = Discovery { sightings: vec![sighting("a"), sighting("b")], ..Discovery::default() };
        let short = Discovery { sightings: vec![sighting("a")], ..Discovery::default() };
        let mut list = |fleet: &mut Fleet, discovery: &Discovery| {
            let events = news(fleet, &rules, &manager, discovery, &mut unseen);
            apply(fleet, &events);
            events
        };
        assert_eq!(list(&mut fleet, &full).len(), 2);
        assert_eq!(list(&mut fleet, &short), []);
        assert_eq!(list(&mut fleet, &full), [], "a return before it was gone starts the count anew");
        assert_eq!(list(&mut fleet, &short), []);
        assert_eq!(list(&mut fleet, &short), []);
        let target = sighting("b").target.id();
        assert_eq!(list(&mut fleet, &short), [Event::TargetGone { target: target.clone(), listings: 3 }]);
        assert_eq!(list(&mut fleet, &short), []);
        assert_eq!(list(&mut fleet, &full), [Event::TargetReturned { target }]);
    }

    /// Which policy governs a target is on record from its first listing on, and again when that changes, or the age that its
    /// key may reach: by the rules in force, without waiting for a listing.
    #[test]
    fn each_change_of_what_governs_a_target_is_told_once() {
        let (mut fleet, manager, mut unseen) = (Fleet::default(), ManagerName::from("emea"), Unseen::new());
        let rules = |name: &str, days| {
            let policy = Policy { alert_after: Period::days(days), ..Policy::with_defaults(PolicyName::from(name)) };
            let managers = [(ManagerName::from("emea"), ManagerRules::new(1, Arc::new(policy)))].into();
            Rules { managers, ..Rules::default() }
        };
        let governed = |name: &str, days| Event::TargetGoverned {
            target: sighting("a").target.id(),
            governance: Some(Governance { policy: name.into(), alert_after: Period::days(days) }),
        };
        let listing = Discovery { sightings: vec![sighting("a")], ..Discovery::default() };
        let events = news(&fleet, &rules("strict", 90), &manager, &listing, &mut unseen);
        assert_eq!((events.len(), events.last()), (2, Some(&governed("strict", 90))));
        apply(&mut fleet, &events);
        assert_eq!(news(&fleet, &rules("strict", 90), &manager, &listing, &mut unseen), []);
        assert_eq!(newly_governed(&fleet, &rules("strict", 90)), []);
        for (name, days) in [("lax", 90), ("lax", 300)] {
            let events = newly_governed(&fleet, &rules(name, days));
            assert_eq!(events, [governed(name, days)]);
            assert_eq!(news(&fleet, &rules(name, days), &manager, &listing, &mut unseen), events, "or by a listing");
            apply(&mut fleet, &events);
        }
        let none = [Event::TargetGoverned { target: sighting("a").target.id(), governance: None }];
        assert_eq!(newly_governed(&fleet, &Rules::default()), none, "no policy governs it any more");
    }

    /// Leaving out what is gone already brings nothing back; and when it does come back, it is left out.
    #[test]
    fn what_is_gone_is_left_out_when_it_returns() {
        let (mut fleet, manager) = (Fleet::default(), ManagerName::from("emea"));
        let full = Discovery { sightings: vec![sighting("a"), sighting("b")], ..Discovery::default() };
        let events = news(&fleet, &Rules::default(), &manager, &full, &mut Unseen::new());
        apply(&mut fleet, &events);
        apply(&mut fleet, &[Event::TargetGone { target: sighting("b").target.id(), listings: 3 }]);
        let mut rules = ManagerRules::new(1, Policy::with_defaults("default".into()).into());
        let (project, exclude) = (ProjectSelector::Name("billing".to_owned()), vec![Glob::new("ledger")]);
        rules.projects.push(ProjectRules { project, policy: None, exclude });
        let rules = Rules { managers: [(manager.clone(), rules)].into(), ..Rules::default() };
        let listing = Listing::Excluded { pattern: "ledger".to_owned() };
        let changed = |id| Event::TargetChanged { description: sighting(id).target, listing: listing.clone() };
        let excluded = newly_excluded(&fleet, &rules);
        assert_eq!(excluded, [changed("a")]);
        apply(&mut fleet, &excluded);
        let governed = newly_governed(&fleet, &rules);
        apply(&mut fleet, &governed);
        assert_eq!(news(&fleet, &rules, &manager, &full, &mut Unseen::new()), [changed("b")]);
    }

    /// An entry without a usable id may be any project of which nothing else was listed.
    #[test]
    fn an_unread_project_of_unknown_id_may_be_any_that_is_missing() {
        let (mut fleet, rules, manager, mut unseen) =
            (Fleet::default(), Rules::default(), ManagerName::from("emea"), Unseen::new());
        let mut elsewhere = sighting("c");
        elsewhere.target.project_id = "60".into();
        let full = Discovery { sightings: vec![sighting("a"), sighting("b"), elsewhere], ..Discovery::default() };
        let events = news(&fleet, &rules, &manager, &full, &mut unseen);
        apply(&mut fleet, &events);
        let failure = Failure {
            reason: crate::domain::Reason::Unreadable,
            verdict: crate::domain::Verdict::Transient,
            scope: crate::domain::Scope::Target,
            status: Some(200),
            code: None,
            retry_after_s: None,
            detail: String::new(),
        };
        let unread = crate::ports::UnreadProject { id: None, name: "(others)".to_owned(), failure };
        let odd = Discovery { sightings: vec![sighting("a")], unread: vec![unread], ..Discovery::default() };
        let gone: Vec<_> = (0..10)
            .flat_map(|_| {
                let events = news(&fleet, &rules, &manager, &odd, &mut unseen);
                apply(&mut fleet, &events);
                events
            })
            .filter(|event| matches!(event, Event::TargetGone { .. }))
            .filter_map(|event| event.target())
            .collect();
        assert_eq!(gone, [sighting("b").target.id()], "its project was listed, and without it");
    }

    /// A gap is closed by a listing of its own project, whatever becomes of the others; and not by one that could not be read.
    #[test]
    fn a_gap_is_closed_by_its_own_project() {
        let (rules, manager) = (Rules::default(), ManagerName::from("emea"));
        let gap = |project_id: &str| crate::domain::Gap {
            project_id: project_id.into(),
            project: format!("project {project_id}"),
            cluster: "led".to_owned(),
        };
        let unread = |id: Option<&str>, name: &str| crate::ports::UnreadProject {
            id: id.map(ProjectId::from),
            name: name.to_owned(),
            failure: crate::domain::sample::failure(crate::domain::Reason::NotFound),
        };
        let found = Discovery { gaps: vec![gap("5f"), gap("60")], ..Discovery::default() };
        let mut fleet = Fleet::default();
        let events = news(&fleet, &rules, &manager, &found, &mut Unseen::new());
        apply(&mut fleet, &events);
        let closed = |unread: Vec<crate::ports::UnreadProject>| {
            let discovery = Discovery { sightings: vec![sighting("a")], unread, ..Discovery::default() };
            let events = news(&fleet, &rules, &manager, &discovery, &mut Unseen::new());
            let closed = events.into_iter().filter_map(|event| {
                if let Event::GapClosed { gap, .. } = event { Some(gap.project_id.to_string()) } else { None }
            });
            closed.collect::<Vec<_>>()
        };
        assert_eq!(closed(vec![]), ["5f", "60"]);
        assert_eq!(closed(vec![unread(Some("61"), "renamed away")]), ["5f", "60"]);
        assert_eq!(closed(vec![unread(Some("60"), "project 60")]), ["5f"]);
        assert_eq!(closed(vec![unread(None, "(others)")]), ["5f"], "of the other project nothing was listed");
    }

    /// What could not be listed is not gone.
    #[test]
    fn an_unread_project_says_nothing_of_its_targets() {
        let (mut fleet, rules, manager, mut unseen) =
            (Fleet::default(), Rules::default(), ManagerName::from("emea"), Unseen::new());
        let full = Discovery { sightings: vec![sighting("a")], ..Discovery::default() };
        let events = news(&fleet, &rules, &manager, &full, &mut unseen);
        apply(&mut fleet, &events);
        let failure = Failure {
            reason: crate::domain::Reason::ServerError,
            verdict: crate::domain::Verdict::Transient,
            scope: crate::domain::Scope::Target,
            status: Some(500),
            code: None,
            retry_after_s: None,
            detail: String::new(),
        };
        let unread = crate::ports::UnreadProject { id: Some("5f".into()), name: "billing".to_owned(), failure };
        let empty = Discovery { unread: vec![unread], ..Discovery::default() };
        let mut list = |fleet: &mut Fleet, discovery: &Discovery| {
            let events = news(fleet, &rules, &manager, discovery, &mut unseen);
            apply(fleet, &events);
            events
        };
        let first = list(&mut fleet, &empty);
        assert!(
            matches!(first.as_slice(), [Event::ProjectUnread { project, .. }] if project == "billing"),
            "{first:?}"
        );
        for _ in 0..10 {
            assert_eq!(list(&mut fleet, &empty), [], "said once, and nothing is gone");
        }
        let again = list(&mut fleet, &full);
        assert_eq!(again, [Event::ProjectRead { manager: "emea".into(), project: "billing".to_owned() }]);
    }
}
