//! A target's history as a list of things that happened, each with its reason.

use jiff::Timestamp;

use super::words::{capital, moment};
use crate::alerts;
use crate::domain::{How, KeyId, KeyOrigin, RotationRow, Stage, State};
use crate::ports::Past;

/// So many rotations and keys are shown; `rekeyd history` has them all.
pub(super) const SHOWN: u32 = 50;

/// One thing that happened.
pub(super) struct Item {
    pub(super) at: String,
    /// `good`, `warn` or `bad`.
    pub(super) tone: &'static str,
    pub(super) title: String,
    /// Why, and what follows.
    pub(super) details: Vec<String>,
    /// The key that it is about, or the one before and the one after.
    pub(super) keys: Vec<KeyId>,
}

/// What happened, newest first.
pub(super) fn items(past: &Past) -> Vec<Item> {
    let rotations = past.rotations.iter().map(|row| (row.began_at, of_rotation(row)));
    let keys = past.keys.iter().filter_map(|key| {
        let (tone, title, detail) = match key.came {
            KeyOrigin::FirstSeen => ("good", "Key first seen", "It was there before; how old it was is not known."),
            KeyOrigin::Foreign => (
                "warn",
                "Key changed by another hand",
                "No rotation of this daemon explains it. It counts as the answer to its slot.",
            ),
            KeyOrigin::Regression => ("bad", "An earlier key came back", "It had been replaced before."),
            // Told by the rotation that brought it.
            KeyOrigin::Rotated | KeyOrigin::FoundChanged | KeyOrigin::Recovered => return None,
        };
        let at = if key.came == KeyOrigin::Regression { came_back(past, key.last_seen) } else { key.first_seen };
        let item = Item {
            at: moment(at),
            tone,
            title: title.to_owned(),
            details: vec![detail.to_owned()],
            keys: vec![key.id.clone()],
        };
        Some((at, item))
    });
    let mut items: Vec<_> = rotations.chain(keys).collect();
    items.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    items.into_iter().map(|(_, item)| item).collect()
}

/// When a key came back that is dated by its earlier use: when the one between was replaced.
fn came_back(past: &Past, last_seen: Timestamp) -> Timestamp {
    past.keys.iter().filter_map(|key| key.replaced_at).filter(|at| *at <= last_seen).max().unwrap_or(last_seen)
}

fn of_rotation(row: &RotationRow) -> Item {
    let (tone, title) = match (row.state, row.how) {
        (State::Done, Some(How::FoundChanged)) => ("good", "Found rotated already"),
        (State::Done, Some(How::Recovered)) => ("good", "Rotated; settled by looking"),
        (State::Done, Some(How::Rotated) | None) => ("good", "Rotated"),
        (State::Intended, _) => ("warn", "In hand: about to be sent"),
        (State::Sending, _) => ("warn", "In hand: sent, the outcome is not known yet"),
        (State::Confirming, _) => ("warn", "In hand: accepted, waiting for a GET to show the new key"),
        (State::Failed, _) => ("bad", "Attempt failed"),
        (State::Unconfirmed, _) => ("bad", "Accepted, but the key did not change in time"),
        (State::Withdrawn, _) => ("warn", "Given up before anything was sent"),
    };
    let mut details = Vec::new();
    match (&row.failure, row.stage) {
        (Some(failure), Some(Stage::Precheck)) => {
            details.push(format!("Reading its key, before anything was sent: {failure}."))
        }
        (Some(failure), Some(Stage::Put)) => details.push(format!("Asking for a new key: {failure}.")),
        (Some(failure), None) => details.push(format!("On the way: {failure}.")),
        (None, _) => {}
    }
    details.extend(row.why.as_ref().map(|why| format!("{}.", capital(why))));
    details.extend(row.retry_at.map(|at| format!("The next attempt was not to be before {}.", moment(at))));
    if let (Some(sent), Some(ended), State::Done) = (row.sent_at, row.ended_at, row.state) {
        details.push(format!("Proved by a GET {} after it was sent.", alerts::length(sent, ended)));
    }
    details.push(format!(
        "Slot {}, attempt {}, by {}; due {}.",
        row.id.slot,
        row.id.attempt,
        row.actor,
        moment(row.due_at)
    ));
    Item {
        at: moment(row.began_at),
        tone,
        title: title.to_owned(),
        details,
        keys: row.key_before.iter().chain(&row.key_after).cloned().collect(),
    }
}
