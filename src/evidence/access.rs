//! Who could rotate: the API keys that were listed when the period began, what changed, and those that are listed at its end.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::domain::{ApiKey, ApiKeyRecord, Entry, Event, Failure, Fleet, ManagerName, Power, Reach};

pub(super) const COLUMNS: &[&str] = &[
    "at",
    "is",
    "manager",
    "public_key",
    "id",
    "description",
    "power",
    "roles",
    "roles_before",
    "excess",
    "lists",
    "own",
    "created_at",
    "first_seen",
    "failure",
    "ledger_seq",
];

/// The API keys of all managers over a period, as rows, in the order of time.
#[derive(Default)]
pub(super) struct Access {
    /// When the period began.
    start: Timestamp,
    rows: Vec<Value>,
    /// The keys that can rotate at the end.
    pub(super) holders: Vec<Holder>,
    /// What happened to those that can rotate, or came to it.
    pub(super) news: Vec<News>,
    /// The lists that were ever asked for.
    pub(super) lists: BTreeSet<(ManagerName, Reach)>,
    /// When a list was not read: of who was on it then nothing is known.
    pub(super) closed: Vec<Closed>,
}

/// A list of API keys that was not read for a part of the period.
pub(super) struct Closed {
    pub(super) manager: ManagerName,
    pub(super) list: Reach,
    pub(super) from: Timestamp,
    /// None: at the end it still was not.
    pub(super) to: Option<Timestamp>,
}

/// A key that can rotate, at the end of the period.
pub(super) struct Holder {
    pub(super) manager: ManagerName,
    pub(super) record: Arc<ApiKeyRecord>,
    /// Whether it is the one that the manager is asked with.
    pub(super) own: bool,
}

/// A change of who can rotate.
pub(super) struct News {
    pub(super) at: Timestamp,
    pub(super) what: &'static str,
    pub(super) manager: ManagerName,
    pub(super) key: ApiKey,
}

impl Access {
    /// What was listed before the period.
    pub(super) fn begin(&mut self, fleet: &Fleet, at: Timestamp) {
        self.start = at;
        self.rows.extend(state(fleet, "at_start", at));
        for (manager, record) in &fleet.managers {
            for (list, outage) in &record.key_lists {
                self.lists.insert((manager.clone(), list.clone()));
                if let Some(outage) = outage {
                    self.rows.push(of_list("list_closed", manager, list, Some(&outage.failure), at, None));
                    self.close(manager, list, at);
                }
            }
        }
    }

    /// What happened in the period, if it is about API keys.
    pub(super) fn see(&mut self, seq: u64, entry: &Entry) {
        let (what, manager, key, before) = if let Event::ApiKeyAdded { manager, key, baseline } = &entry.event {
            (if *baseline { "listed_first" } else { "added" }, manager, key, None)
        } else if let Event::ApiKeyRemoved { manager, key } = &entry.event {
            ("removed", manager, key, None)
        } else if let Event::ApiKeyRolesChanged { manager, key, before } = &entry.event {
            ("roles_changed", manager, key, Some(before))
        } else if let Event::ApiKeyChanged { manager, key } = &entry.event {
            ("changed", manager, key, None)
        } else {
            return self.see_list(seq, entry);
        };
        let about = json!({ "at": entry.at, "ledger_seq": seq, "roles_before": before });
        self.rows.push(of_key(what, manager, key, about));
        let could = before.map_or(Power::None, crate::domain::power);
        if what != "changed" && (key.reaches_rotation() || could >= Power::Grants) {
            self.news.push(News { at: entry.at, what, manager: manager.clone(), key: key.clone() });
        }
    }

    fn see_list(&mut self, seq: u64, entry: &Entry) {
        let (what, manager, list, failure) = if let Event::ApiKeysRead { manager, list } = &entry.event {
            ("list_read", manager, list, None)
        } else if let Event::ApiKeysUnread { manager, list, failure } = &entry.event {
            ("list_closed", manager, list, Some(failure))
        } else {
            return;
        };
        self.rows.push(of_list(what, manager, list, failure, entry.at, Some(seq)));
        // One that is asked for the first time was not read before either.
        let is_new = self.lists.insert((manager.clone(), list.clone()));
        if is_new || failure.is_some() {
            self.close(manager, list, if is_new { self.start } else { entry.at });
        }
        if failure.is_none() {
            let known = self.closed.iter_mut().rfind(|one| one.manager == *manager && one.list == *list);
            known.into_iter().for_each(|one| one.to = one.to.or(Some(entry.at)));
        }
    }

    /// Notes that the list is not read from now on, unless that is noted.
    fn close(&mut self, manager: &ManagerName, list: &Reach, from: Timestamp) {
        if !self.closed.iter().any(|one| one.manager == *manager && one.list == *list && one.to.is_none()) {
            self.closed.push(Closed { manager: manager.clone(), list: list.clone(), from, to: None });
        }
    }

    /// What is listed at the end of the period.
    pub(super) fn end(&mut self, fleet: &Fleet, at: Timestamp) {
        self.rows.extend(state(fleet, "at_end", at));
        for ((manager, _), record) in fleet.api_keys.iter().filter(|(_, record)| record.key.reaches_rotation()) {
            let (manager, own) = (manager.clone(), is_own(fleet, manager, &record.key));
            self.holders.push(Holder { manager, record: Arc::clone(record), own });
        }
    }

    pub(super) fn rows(&self) -> impl Iterator<Item = Value> {
        self.rows.iter().cloned()
    }
}

fn state(fleet: &Fleet, is: &'static str, at: Timestamp) -> impl Iterator<Item = Value> {
    fleet.api_keys.iter().map(move |((manager, _), record)| {
        let ApiKeyRecord { key, first_seen, .. } = record.as_ref();
        let about = json!({ "at": at, "own": is_own(fleet, manager, key), "first_seen": first_seen });
        of_key(is, manager, key, about)
    })
}

fn is_own(fleet: &Fleet, manager: &ManagerName, key: &ApiKey) -> bool {
    let credential = fleet.managers.get(manager).and_then(|record| record.credential.as_ref());
    credential.is_some_and(|credential| credential.public_key == key.public_key)
}

/// A list of API keys as a row: that it was read, or not. Without a record of its own it was closed before the period.
fn of_list(
    is: &str,
    manager: &ManagerName,
    list: &Reach,
    failure: Option<&Failure>,
    at: Timestamp,
    seq: Option<u64>,
) -> Value {
    json!({ "at": at, "is": is, "manager": manager, "lists": [list], "failure": failure, "ledger_seq": seq })
}

/// A key as a row, with what else is to be told of it.
fn of_key(is: &str, manager: &ManagerName, key: &ApiKey, about: Value) -> Value {
    let mut row = json!({
        "is": is,
        "manager": manager,
        "public_key": key.public_key,
        "id": key.id,
        "description": key.description,
        "power": key.power().as_str(),
        "roles": key.grants,
        "excess": key.excesses(None).iter().map(|excess| excess.as_str()).collect::<Vec<_>>(),
        "lists": key.lists,
        "created_at": key.id.created_at(),
    });
    if let (Value::Object(row), Value::Object(about)) = (&mut row, about) {
        row.extend(about);
    }
    row
}
