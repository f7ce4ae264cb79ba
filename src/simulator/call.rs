//! One request as it was read: what it asks for, under which number, and what is noted about it.

use hyper::Method;
use hyper::http::request::Parts;
use jiff::Timestamp;

use super::api::{self, Resource};
use super::fault::{FaultKind, Operation, Stage};
use super::reply::{ApiError, Query};
use super::state::Shared;
use super::truth::{Put, PutOutcome};

/// One request, read.
pub(super) struct Call {
    pub(super) number: u64,
    pub(super) received: Timestamp,
    pub(super) method: Method,
    /// `None`: no such resource.
    pub(super) resource: Option<Resource>,
    pub(super) query: Result<Query, ApiError>,
}

impl Call {
    pub(super) fn new(number: u64, received: Timestamp, head: &Parts) -> Self {
        Self {
            number,
            received,
            method: head.method.clone(),
            resource: Resource::of(head.uri.path()),
            query: Query::parse(head.uri.query().unwrap_or_default()),
        }
    }

    pub(super) fn operation(&self) -> Operation {
        match (&self.resource, &self.method) {
            (Some(Resource::EncryptionKey(..)), &Method::PUT) => Operation::Put,
            (Some(Resource::EncryptionKey(..)), _) => Operation::Get,
            _ => Operation::List,
        }
    }

    /// The faults of this stage that strike this request.
    pub(super) fn strike(&self, shared: &Shared, stage: Stage) -> Vec<FaultKind> {
        let mut state = shared.state();
        if state.board.is_empty() {
            return Vec::new();
        }
        let layout = state.world.layout();
        let names = self.resource.as_ref().map(|r| r.names(&layout));
        state.strike(stage, self.operation(), &names.unwrap_or_default())
    }

    /// `project/cluster` of a PUT.
    pub(super) fn cluster(&self, shared: &Shared) -> Option<String> {
        let Some(Resource::EncryptionKey(p, c)) = &self.resource else {
            return None;
        };
        let layout = shared.state().world.layout();
        let (project, entry) = api::find(&layout, p, c).ok()?;
        (self.method == Method::PUT).then(|| format!("{}/{}", project.name, entry.cluster))
    }

    pub(super) fn note(&self, shared: &Shared, outcome: PutOutcome) {
        let Some(Resource::EncryptionKey(p, c)) = &self.resource else {
            return;
        };
        let mut state = shared.state();
        let layout = state.world.layout();
        let name = api::find(&layout, p, c).map(|(_, entry)| entry.name.clone());
        state.world.puts.push(Put {
            request: self.number,
            received: self.received,
            target: c.clone(),
            name: name.unwrap_or_default(),
            outcome,
        });
    }
}
