//! Who may come in: the lists of API keys, their access lists, and how the manager greets our own key.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{DATE, HeaderMap};

use super::listing::first_name;
use super::wire::{self, AccessEntry, Identified};
use super::{Error, Group, LONGEST_DISCOVERY, Listed, OpsManager, choose, server_version};
use crate::domain::{ApiKey, ApiKeyId, Failure, Grant, Reach, Reason, Scope};
use crate::ports::{Access, Greeting, Inventory, Operation};
use crate::remote::refusal::Refusal;
use crate::remote::transport::{Call, Reply};
use crate::remote::verdict;

/// Far more than the roles of one key in every project of an organization.
const MOST_GRANTS: usize = 10_000;

impl OpsManager {
    /// Reads one list into the inventory. That the list cannot be read is part of the inventory, unless nothing can.
    async fn read_keys(&self, list: Reach, latest: Duration, into: &mut Keys) -> Result<(), Failure> {
        let path = match &list {
            Reach::Global => vec!["admin", "apiKeys"],
            Reach::Organization(id) => vec!["orgs", id.as_str(), "apiKeys"],
            Reach::Project(id) => vec!["groups", id.as_str(), "apiKeys"],
        };
        match self.list::<wire::ApiKey>(&path, latest).await {
            Ok(Listed { entries, lacking, surplus, .. }) => {
                entries.iter().for_each(|entry| into.add(entry, &list));
                match lacking.or(surplus) {
                    None => into.read.insert(list),
                    Some(failure) => into.unread.insert(list, failure).is_none(),
                };
                Ok(())
            }
            // Some lists are closed to addresses that other resources let in.
            Err(failure) if failure.scope == Scope::Manager && failure.reason != Reason::AddressRefused => Err(failure),
            Err(failure) => {
                into.unread.insert(list, failure);
                Ok(())
            }
        }
    }
}

#[async_trait]
impl Access for OpsManager {
    async fn greet(&self) -> Result<Greeting, Failure> {
        // The root resource: it takes no role, only a login.
        let call = Call::reading(Operation::List, self.url([""]));
        let fail = |error: &Error| verdict::failure(error, Operation::List);
        let Reply { status, headers, body, certificate } = self.session.exchange(&call).await.map_err(|e| fail(&e))?;
        let (server_version, server_time) = (server_version(&headers), date(&headers));
        let reply = Reply { status, headers, body, certificate: None };
        let login = if reply.is_success() {
            match reply.body {
                Ok(body) => {
                    wire::is_object(&body).map_err(|unreadable| fail(&Error::Unreadable { status, unreadable }))
                }
                Err(error) => Err(fail(&error)),
            }
        } else {
            Err(fail(&Error::Refused(Refusal::of(&reply, self.session.clock.now()))))
        };
        Ok(Greeting { login, server_version, server_time, certificate })
    }

    async fn api_keys(&self) -> Result<Inventory, Failure> {
        let latest = self.session.clock.monotonic() + LONGEST_DISCOVERY;
        let mut keys = Keys::default();
        self.read_keys(Reach::Global, latest, &mut keys).await?;
        let groups = self.list::<Group>(&["groups"], latest).await?;
        let organizations: BTreeMap<&str, &str> =
            groups.entries.iter().filter_map(|group| Some((group.id()?, group.organization()?))).collect();
        let (wanted, _) = choose(groups.entries.iter().filter_map(Group::project).collect(), &self.projects);
        let asked: BTreeSet<Reach> = wanted
            .iter()
            .filter_map(|project| organizations.get(project.id.as_str()))
            .map(|organization| Reach::Organization((*organization).into()))
            .chain(wanted.iter().map(|project| Reach::Project(project.id.clone())))
            .collect();
        for list in asked {
            self.read_keys(list, latest, &mut keys).await?;
        }
        let Keys { keys, read, unread } = keys;
        Ok(Inventory { keys: keys.into_values().collect(), read, unread })
    }

    async fn access_list(&self, key: &ApiKey) -> Result<Vec<String>, Failure> {
        let organization = key
            .lists
            .iter()
            .chain(key.grants.iter().map(|grant| &grant.over))
            .find_map(|reach| if let Reach::Organization(id) = reach { Some(id) } else { None });
        let path = match organization {
            Some(id) => vec!["orgs", id.as_str(), "apiKeys", key.id.as_str(), "accessList"],
            None => vec!["admin", "accessList"],
        };
        let latest = self.session.clock.monotonic() + LONGEST_DISCOVERY;
        let listed = self.list::<AccessEntry>(&path, latest).await?;
        // A list that lost its entries would say: from any address.
        listed.lacking.map_or(Ok(()), Err)?;
        Ok(listed.entries.iter().filter_map(|entry| first_name([entry.id()])).collect())
    }
}

/// An inventory while it is made: a key that several lists name is one key.
#[derive(Default)]
struct Keys {
    keys: BTreeMap<ApiKeyId, ApiKey>,
    read: BTreeSet<Reach>,
    unread: BTreeMap<Reach, Failure>,
}

impl Keys {
    fn add(&mut self, entry: &wire::ApiKey, list: &Reach) {
        let Some(id) = entry.id().map(ApiKeyId::from) else { return };
        let known = self.keys.entry(id.clone()).or_insert_with(|| ApiKey {
            id,
            public_key: first_name([entry.public_key.as_deref()]).unwrap_or_default(),
            description: first_name([entry.desc.as_deref()]).unwrap_or_default(),
            grants: BTreeSet::new(),
            lists: BTreeSet::new(),
        });
        known.lists.insert(list.clone());
        for role in entry.roles.iter().flatten() {
            if known.grants.len() < MOST_GRANTS {
                known.grants.insert(grant(role));
            }
        }
    }
}

/// Stands for an id that is none, and would be kept for ever.
const STRANGE: &str = "unreadable";

fn grant(role: &wire::Role) -> Grant {
    let id = |id: &'_ str| wire::usable(Some(id)).unwrap_or(STRANGE).to_owned();
    let over = match (&role.group_id, &role.org_id) {
        (Some(project), _) => Reach::Project(id(project).as_str().into()),
        (None, Some(organization)) => Reach::Organization(id(organization).as_str().into()),
        (None, None) => Reach::Global,
    };
    Grant { role: first_name([role.role_name.as_deref()]).unwrap_or_else(|| "(without a name)".to_owned()), over }
}

/// The server's own time (RFC 9110 §6.6.1), to the second.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(DATE)?.to_str().ok()?.trim();
    rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok()
}
