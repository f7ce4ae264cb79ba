//! What an inventory of API keys tells that is not on record yet.

use crate::domain::{ApiKey, ApiKeyRecord, Event, Fleet, ManagerName, Reach};
use crate::ports::Inventory;

/// The events that follow from an inventory. Of what could not be read nothing is concluded: no key has gone, and none has
/// lost a role, because a list was closed to us, and none has gone of whose lists none was asked for.
pub(super) fn news(fleet: &Fleet, manager: &ManagerName, inventory: &Inventory) -> Vec<Event> {
    let lists = fleet.managers.get(manager).map(|record| &record.key_lists);
    let known = |list: &Reach| lists.and_then(|lists| lists.get(list));
    let mut events = Vec::new();
    for list in inventory.read.iter().filter(|list| known(list) != Some(&None)) {
        events.push(Event::ApiKeysRead { manager: manager.clone(), list: list.clone() });
    }
    for (list, failure) in &inventory.unread {
        let told = known(list).and_then(Option::as_ref).is_some_and(|outage| outage.failure.reason == failure.reason);
        if !told {
            let (list, failure) = (list.clone(), failure.clone());
            events.push(Event::ApiKeysUnread { manager: manager.clone(), list, failure });
        }
    }

    let on_record = || fleet.api_keys.iter().filter(|((of, _), _)| of == manager).map(|(_, record)| record.as_ref());
    let is_first =
        |list: &Reach| known(list) != Some(&None) && !on_record().any(|record| record.key.lists.contains(list));
    let first: Vec<&Reach> =
        inventory.read.iter().chain(inventory.unread.keys()).filter(|list| is_first(list)).collect();
    for key in &inventory.keys {
        let manager = manager.clone();
        let Some(record) = fleet.api_keys.get(&(manager.clone(), key.id.clone())) else {
            let baseline = key.lists.iter().all(|list| first.contains(&list));
            events.push(Event::ApiKeyAdded { manager, key: key.clone(), baseline });
            continue;
        };
        let key = as_known(record, key, inventory);
        if key.grants != record.key.grants {
            events.push(Event::ApiKeyRolesChanged { manager, key, before: record.key.grants.clone() });
        } else if key != record.key {
            events.push(Event::ApiKeyChanged { manager, key });
        }
    }
    for record in on_record() {
        let is_listed = inventory.keys.binary_search_by(|key| key.id.cmp(&record.key.id)).is_ok();
        let lists = &record.key.lists;
        // A list that nobody asked for, since its project was not listed this time, says as little as a closed one.
        let would_name_it = lists.iter().any(|list| inventory.read.contains(list));
        let may_name_it = lists.iter().any(|list| inventory.unread.contains_key(list));
        if !is_listed && would_name_it && !may_name_it {
            events.push(Event::ApiKeyRemoved { manager: manager.clone(), key: record.key.clone() });
        }
    }
    events
}

/// The key as listed now, with what is on record from lists that could not be read this time.
fn as_known(record: &ApiKeyRecord, key: &ApiKey, inventory: &Inventory) -> ApiKey {
    let mut key = key.clone();
    let closed: Vec<&Reach> = record.key.lists.iter().filter(|list| inventory.unread.contains_key(list)).collect();
    if !closed.is_empty() {
        key.lists.extend(closed.into_iter().cloned());
        key.grants.extend(record.key.grants.iter().cloned());
    }
    key
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::Timestamp;

    use super::*;
    use crate::domain::sample::failure;
    use crate::domain::{Grant, Reason};

    fn organization() -> Reach {
        Reach::Organization("o".into())
    }

    fn project() -> Reach {
        Reach::Project("p".into())
    }

    fn key(id: &str, roles: &[&str], lists: &[Reach]) -> ApiKey {
        let grants = roles.iter().map(|role| Grant { role: (*role).to_owned(), over: project() });
        ApiKey {
            id: id.into(),
            public_key: format!("public-{id}"),
            description: "d".to_owned(),
            grants: grants.collect(),
            lists: lists.iter().cloned().collect(),
        }
    }

    fn all(keys: &[ApiKey]) -> Inventory {
        let read = [organization(), project()].into_iter().collect();
        Inventory { keys: keys.to_vec(), read, ..Inventory::default() }
    }

    fn without(keys: &[ApiKey], list: Reach) -> Inventory {
        let mut inventory = all(keys);
        inventory.read.remove(&list);
        inventory.unread.insert(list, failure(Reason::RoleMissing));
        inventory
    }

    /// Takes inventories one after another; the words of what each brought.
    #[derive(Default)]
    struct Story(Fleet);

    impl Story {
        fn tell(&mut self, inventory: &Inventory) -> Vec<String> {
            let manager = ManagerName::from("emea");
            let events = news(&self.0, &manager, inventory);
            for event in &events {
                self.0.fold(Timestamp::UNIX_EPOCH, event).unwrap().unwrap();
            }
            assert_eq!(news(&self.0, &manager, inventory), [], "what is recorded is no news");
            events
                .iter()
                .map(|event| {
                    #[expect(clippy::wildcard_enum_match_arm, reason = "an inventory brings no other event")]
                    match event {
                        Event::ApiKeyAdded { key, baseline: true, .. } => format!("was there: {}", key.id),
                        Event::ApiKeyAdded { key, .. }
                        | Event::ApiKeyRemoved { key, .. }
                        | Event::ApiKeyRolesChanged { key, .. }
                        | Event::ApiKeyChanged { key, .. } => format!("{} {}", event.to_record().0, key.id),
                        Event::ApiKeysRead { list, .. } | Event::ApiKeysUnread { list, .. } => {
                            format!("{} {list}", event.to_record().0)
                        }
                        other => panic!("{other:?}"),
                    }
                })
                .collect()
        }

        fn is_new(&self, id: &str) -> bool {
            self.0.api_keys[&("emea".into(), id.into())].empowered_at.is_some()
        }
    }

    /// The keys that were there before us are recorded and are nobody's news; what comes, goes and changes after is.
    #[test]
    fn who_comes_goes_and_changes_is_told_once() {
        let lists = [organization(), project()];
        let (a, b) = (key("a", &["GROUP_OWNER"], &lists), key("b", &["GROUP_READ_ONLY"], &lists[..1]));
        let mut story = Story::default();
        let first = story.tell(&all(&[a.clone(), b.clone()]));
        assert_eq!(first, ["api_keys_read organization o", "api_keys_read project p", "was there: a", "was there: b"]);
        let c = key("c", &["GROUP_BACKUP_ADMIN"], &lists);
        assert_eq!(story.tell(&all(&[a.clone(), b.clone(), c.clone()])), ["api_key_added c"]);
        assert!(story.is_new("c") && !story.is_new("a"));

        let b_rotates = key("b", &["GROUP_READ_ONLY", "GROUP_BACKUP_ADMIN"], &lists[..1]);
        assert_eq!(story.tell(&all(&[a.clone(), b_rotates.clone(), c.clone()])), ["api_key_roles_changed b"]);
        assert!(story.is_new("b"));
        let renamed = ApiKey { description: "other".to_owned(), ..b_rotates };
        assert_eq!(story.tell(&all(&[a.clone(), renamed, c])), ["api_key_changed b"]);
        assert!(story.is_new("b"), "another description makes no key harmless");
        assert_eq!(story.tell(&all(&[a, b])), ["api_key_roles_changed b", "api_key_removed c"]);
        assert!(!story.is_new("b"));
    }

    /// A list that is closed to us proves nothing about the keys that it named.
    #[test]
    fn a_closed_list_takes_no_key_and_no_role_away() {
        let both = key("a", &["GROUP_OWNER", "GROUP_READ_ONLY"], &[organization(), project()]);
        let only = key("b", &[], &[organization()]);
        let mut story = Story::default();
        story.tell(&all(&[both.clone(), only.clone()]));
        let seen_less = key("a", &["GROUP_READ_ONLY"], &[project()]);
        assert_eq!(
            story.tell(&without(std::slice::from_ref(&seen_less), organization())),
            ["api_keys_unread organization o"]
        );
        assert_eq!(story.tell(&without(&[seen_less], organization())), [""; 0], "said once");
        let after = story.tell(&all(&[both, key("c", &["GROUP_OWNER"], &[organization()])]));
        assert_eq!(after, ["api_keys_read organization o", "api_key_added c", "api_key_removed b"]);
        assert!(story.is_new("c"), "made while the list was closed");
    }

    /// A project that one answer leaves out takes no key with it: it would be somebody's new key when the project is back.
    #[test]
    fn a_list_that_nobody_asked_for_takes_no_key_away() {
        let (a, b) = (key("a", &["GROUP_OWNER"], &[project()]), key("b", &["GROUP_OWNER"], &[organization()]));
        let mut story = Story::default();
        story.tell(&all(&[a.clone(), b.clone()]));
        let mut without_project = all(std::slice::from_ref(&b));
        without_project.read.remove(&project());
        assert_eq!(story.tell(&without_project), [""; 0]);
        assert_eq!(story.tell(&all(&[a, b.clone()])), [""; 0]);
        assert_eq!(story.tell(&all(&[b])), ["api_key_removed a"]);
    }

    /// A list that opens for the first time brings no news, but a key that an older list would have named does.
    #[test]
    fn the_first_reading_of_a_list_is_the_baseline() {
        let mut story = Story::default();
        story.tell(&without(&[], organization()));
        let opened = all(&[key("a", &["GROUP_OWNER"], &[organization()]), key("b", &["GROUP_OWNER"], &[project()])]);
        let told: BTreeSet<String> = story.tell(&opened).into_iter().collect();
        assert!(told.contains("was there: a") && told.contains("api_key_added b"), "{told:?}");
    }
}
