//! What could not be listed, and when: a target that was there then, and at no other time, is in no table. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::blind::by_hand;
use super::span::Span;
use crate::domain::Event;

/// A stretch in which something was not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unlisted {
    /// Whose targets could not be, as a pattern of their names.
    pub(super) name: String,
    pub(super) from: Timestamp,
    pub(super) to: Timestamp,
    pub(super) why: &'static str,
}

/// What was not listed, told from the beginning of the ledger on.
pub(super) struct Listings {
    span: Span,
    /// Since when no daemon runs.
    away: Option<Timestamp>,
    /// The date of the newest record that shows that one ran.
    newest: Timestamp,
    /// What is not listed now, why, and since when.
    open: BTreeMap<(String, &'static str), Timestamp>,
    found: Vec<Unlisted>,
}

const NOT_RUN: &str = "rekeyd did not run";
const NO_ANSWER: &str = "the manager did not answer";
const UNREAD: &str = "the project could not be listed";
const GAP: &str = "a sharded cluster was listed without config servers";

impl Listings {
    /// Nothing is known of the time before the first record.
    pub(super) fn begin(span: Span) -> Self {
        let away = Some(Timestamp::MIN);
        Self { span, away, newest: Timestamp::MIN, open: BTreeMap::new(), found: Vec::new() }
    }

    /// Takes in what happened.
    pub(super) fn hear(&mut self, at: Timestamp, event: &Event) {
        if by_hand(event) {
            return;
        }
        if let Event::DaemonStarted { .. } = event {
            // One that died is not known to have listed anything after its last record.
            self.away.get_or_insert(self.newest);
        }
        if let Some(since) = self.away.take() {
            self.add("*", NOT_RUN, since, at);
        }
        self.newest = at;
        if let Event::DaemonStopped { .. } = event {
            self.away = Some(at);
        } else if let Event::ManagerFailing { manager, .. } = event {
            self.open(format!("{manager}/*"), NO_ANSWER, at);
        } else if let Event::ManagerAnswering { manager } = event {
            self.close(format!("{manager}/*"), NO_ANSWER, at);
        } else if let Event::ProjectUnread { manager, project, .. } = event {
            self.open(format!("{manager}/{project}/*"), UNREAD, at);
        } else if let Event::ProjectRead { manager, project } = event {
            self.close(format!("{manager}/{project}/*"), UNREAD, at);
        } else if let Event::GapFound { manager, gap } = event {
            self.open(format!("{manager}/{}/{}/*", gap.project, gap.cluster), GAP, at);
        } else if let Event::GapClosed { manager, gap } = event {
            self.close(format!("{manager}/{}/{}/*", gap.project, gap.cluster), GAP, at);
        }
    }

    /// What was not listed in the period, in the order of time.
    pub(super) fn end(mut self) -> Vec<Unlisted> {
        let end = self.span.end();
        if let Some(since) = self.away {
            self.add("*", NOT_RUN, since, end);
        }
        for ((name, why), since) in std::mem::take(&mut self.open) {
            self.add(&name, why, since, end);
        }
        self.found.sort_by(|one, other| (one.from, &one.name, one.why).cmp(&(other.from, &other.name, other.why)));
        self.found
    }

    fn open(&mut self, name: String, why: &'static str, at: Timestamp) {
        self.open.entry((name, why)).or_insert(at);
    }

    fn close(&mut self, name: String, why: &'static str, at: Timestamp) {
        let key = (name, why);
        if let Some(since) = self.open.remove(&key) {
            self.add(&key.0, why, since, at);
        }
    }

    /// Notes a stretch, as far as it is of the period.
    fn add(&mut self, name: &str, why: &'static str, from: Timestamp, to: Timestamp) {
        let (from, to) = (from.max(self.span.start()), to.min(self.span.end()));
        if from < to {
            self.found.push(Unlisted { name: name.to_owned(), from, to, why });
        }
    }
}
