//! Policies over time, and which targets each governed.

use jiff::Timestamp;

use super::cover::{Condition, Rule, Turn};
use super::span::Span;
use crate::domain::{Period, PolicyName};
use crate::policy::Policy;

/// A policy in its words from a moment on.
pub(super) struct PolicyStory {
    pub(super) name: PolicyName,
    pub(super) since: Timestamp,
    /// When it got other words. That a policy was taken out of the configuration is not on record.
    pub(super) until: Option<Timestamp>,
    pub(super) words: String,
    /// How old a key may grow by it, if the words say so.
    pub(super) limit: Option<Period>,
    /// How many targets it governed in the period.
    pub(super) targets: usize,
    pub(super) seq: u64,
}

impl PolicyStory {
    pub(super) fn begin(seq: u64, since: Timestamp, name: &PolicyName, words: &str) -> Self {
        let (name, limit, words) = (name.clone(), Policy::alert_after_in(words), words.to_owned());
        Self { name, since, until: None, words, limit, targets: 0, seq }
    }

    /// Whether it governed a target in the period, in these words. `configured` did while the ledger does not say which one.
    pub(super) fn governed(&self, span: Span, turns: &[Turn], configured: Option<&PolicyName>) -> bool {
        let (since, until) = (self.since.max(span.start()), self.until.unwrap_or(span.end()).min(span.end()));
        let ends = turns.iter().skip(1).map(|next| next.earliest).chain([span.end()]);
        turns.iter().zip(ends).any(|(turn, end)| {
            let policy = match &turn.rule {
                Rule::Told(governance) => governance.as_ref().map(|governance| &governance.policy),
                Rule::Untold => configured,
            };
            let there = turn.condition != Condition::NotThere && turn.earliest.max(since) < end.min(until);
            there && policy == Some(&self.name)
        })
    }
}
