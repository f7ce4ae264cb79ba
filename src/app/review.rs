//! An access review: who may rotate, asked of the managers now or told from the record. Sends GETs only, writes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::managers::ops_manager;
use super::rehearsal::Unobserved;
use super::{StartError, SystemClock};
use crate::config::Config;
use crate::domain::{ApiKey, Excess, Failure, Fleet, ManagerName, Power, Reach};
use crate::ports::{Access, Clock, RequestObserver};

/// What one manager's lists tell.
pub struct Review {
    /// Which manager.
    pub manager: ManagerName,
    /// Our own API key there, by its public half.
    pub own: Option<String>,
    /// Its API keys, the newest first; those of unknown age last.
    pub keys: Vec<Reviewed>,
    /// The lists that could not be read, and why: the keys that only they name are not known.
    pub unread: BTreeMap<Reach, Failure>,
}

/// One API key.
pub struct Reviewed {
    /// The key.
    pub key: ApiKey,
    /// From where it may come.
    pub access_list: AccessList,
}

/// The addresses from which an API key works.
#[derive(Clone, Debug)]
pub enum AccessList {
    /// Not asked for: the key cannot rotate, or the record was read, which has no access lists.
    NotAsked,
    /// Asked for in vain: any address may do.
    Unreadable(Failure),
    /// As they were listed; empty where any address will do.
    Known(Vec<String>),
}

impl AccessList {
    /// The addresses, where they are known.
    pub fn known(&self) -> Option<&[String]> {
        if let Self::Known(addresses) = self { Some(addresses) } else { None }
    }

    /// Why they are not known although they were asked for.
    pub fn failure(&self) -> Option<&Failure> {
        if let Self::Unreadable(failure) = self { Some(failure) } else { None }
    }
}

impl Reviewed {
    /// In what it goes further than rotating takes.
    pub fn excesses(&self) -> Vec<Excess> {
        self.key.excesses(self.access_list.known())
    }
}

/// Asks every manager, one after another, in the order of the configuration.
pub async fn review(config: &Config) -> Result<Vec<(ManagerName, Result<Review, Failure>)>, StartError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let observer: Arc<dyn RequestObserver> = Arc::new(Unobserved);
    let mut reviews = Vec::new();
    for manager in &config.managers {
        let access = ops_manager(manager, &clock, &observer)?;
        let review = match access.api_keys().await {
            Ok(inventory) => {
                let mut keys = Vec::new();
                let mut global = None;
                for key in inventory.keys {
                    let access_list = access_list(access.as_ref(), &key, &mut global).await;
                    keys.push(Reviewed { key, access_list });
                }
                let own = Some(manager.public_key.clone());
                Ok(reviewed(manager.name.clone(), own, keys, inventory.unread))
            }
            Err(failure) => Err(failure),
        };
        reviews.push((manager.name.clone(), review));
    }
    Ok(reviews)
}

/// What is on record of every manager that a list was asked of.
pub fn recorded(fleet: &Fleet) -> Vec<Review> {
    let asked = fleet.managers.iter().filter(|(_, record)| !record.key_lists.is_empty());
    asked
        .map(|(manager, record)| {
            let keys = fleet.api_keys.iter().filter(|((of, _), _)| of == manager);
            let keys = keys.map(|(_, record)| Reviewed { key: record.key.clone(), access_list: AccessList::NotAsked });
            let unread = record
                .key_lists
                .iter()
                .filter_map(|(list, outage)| outage.as_ref().map(|outage| (list.clone(), outage.failure.clone())));
            let own = record.credential.as_ref().map(|credential| credential.public_key.clone());
            reviewed(manager.clone(), own, keys.collect(), unread.collect())
        })
        .collect()
}

fn reviewed(
    manager: ManagerName,
    own: Option<String>,
    mut keys: Vec<Reviewed>,
    unread: BTreeMap<Reach, Failure>,
) -> Review {
    keys.sort_by_key(|reviewed| std::cmp::Reverse((reviewed.key.id.created_at(), reviewed.key.id.clone())));
    Review { manager, own, keys, unread }
}

/// From where a key may come that reaches a rotation; of others it is not asked. Global keys share one list.
async fn access_list(access: &dyn Access, key: &ApiKey, global: &mut Option<AccessList>) -> AccessList {
    if key.power() == Power::None {
        return AccessList::NotAsked;
    }
    let read = async || access.access_list(key).await.map_or_else(AccessList::Unreadable, AccessList::Known);
    match global {
        _ if !key.lists.contains(&Reach::Global) => read().await,
        Some(known) => known.clone(),
        None => global.insert(read().await).clone(),
    }
}
