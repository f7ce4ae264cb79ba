//! What the simulator's connections share: one state behind one lock, never held across an await.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use hyper::StatusCode;
use hyper::header::HeaderValue;
use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::access::AccessSpec;
use super::board::Board;
use super::clock;
use super::fault::{FaultKind, Operation, Stage};
use super::gate::Gate;
use super::spec::PutReply;
use super::truth::{RequestCounts, Truth};
use super::world::World;

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    pub(super) settings: Settings,
    pub(super) stop: CancellationToken,
}

/// What does not change while the simulator runs.
#[derive(Debug)]
pub(super) struct Settings {
    /// What links begin with.
    pub(super) url: String,
    pub(super) page_cap: usize,
    pub(super) put_reply: PutReply,
    pub(super) disabled_status: StatusCode,
    /// `X-MongoDB-Service-Version`.
    pub(super) service_version: HeaderValue,
    pub(super) seed: u64,
    /// Who logs in.
    pub(super) public_key: String,
    /// What its clock is ahead by, as the `Date` of its replies shows.
    pub(super) clock_ahead: SignedDuration,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) world: World,
    pub(super) gate: Gate,
    pub(super) board: Board,
    pub(super) access: Arc<AccessSpec>,
    pub(super) counts: RequestCounts,
    /// Every API request is dropped.
    pub(super) down: bool,
    /// Every login is refused, as if the key had been deleted.
    pub(super) wrong_password: bool,
    in_hand: Peak,
    puts_in_hand: HashMap<String, Peak>,
}

/// How many there are, and the most there ever were.
#[derive(Debug, Default)]
struct Peak {
    now: u32,
    most: u32,
}

impl Peak {
    fn enter(&mut self) {
        self.now += 1;
        self.most = self.most.max(self.now);
    }
}

impl State {
    pub(super) fn new(world: World, gate: Gate, board: Board, access: AccessSpec) -> Self {
        Self {
            world,
            gate,
            board,
            access: Arc::new(access),
            counts: RequestCounts::default(),
            down: false,
            wrong_password: false,
            in_hand: Peak::default(),
            puts_in_hand: HashMap::new(),
        }
    }

    /// The faults that strike, counted.
    pub(super) fn strike(&mut self, stage: Stage, operation: Operation, names: &[&str]) -> Vec<FaultKind> {
        let kinds = self.board.strike(stage, operation, names);
        for kind in &kinds {
            *self.counts.faults.entry(kind.name().into()).or_default() += 1;
        }
        kinds
    }
}

impl Shared {
    pub(super) fn new(state: State, settings: Settings) -> Self {
        Self { state: Mutex::new(state), settings, stop: CancellationToken::new() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds this lock")
    }

    /// Counts a request as in hand until the guard is dropped, and gives it its number.
    pub(super) fn arrive(self: &Arc<Self>) -> (u64, InHand) {
        let mut state = self.state();
        state.counts.total += 1;
        state.in_hand.enter();
        let guard = InHand { shared: Arc::clone(self), cluster: None };
        (state.counts.total, guard)
    }

    /// Counts a PUT for a member of `cluster` as in hand until the guard is dropped.
    pub(super) fn put_in_hand(self: &Arc<Self>, cluster: String) -> InHand {
        let mut state = self.state();
        state.puts_in_hand.entry(cluster.clone()).or_default().enter();
        InHand { shared: Arc::clone(self), cluster: Some(cluster) }
    }

    pub(super) fn truth(&self) -> Truth {
        let mut state = self.state();
        let peaks = state.puts_in_hand.iter();
        let max_concurrent_puts = peaks.map(|(name, peak)| (name.clone(), peak.most));
        Truth {
            max_concurrent_puts: max_concurrent_puts.collect(),
            changes: state.world.changes(),
            puts: state.world.puts.clone(),
            targets: state.world.targets(clock::now()),
            requests: state.counts.clone(),
            max_concurrent_requests: state.in_hand.most,
        }
    }
}

/// Something in hand; dropped when it is answered, or when the client has gone.
#[derive(Debug)]
pub(super) struct InHand {
    shared: Arc<Shared>,
    /// Of a PUT; of the request as a whole when absent.
    cluster: Option<String>,
}

impl Drop for InHand {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let peak = match &self.cluster {
            None => Some(&mut state.in_hand),
            Some(cluster) => state.puts_in_hand.get_mut(cluster),
        };
        if let Some(peak) = peak {
            peak.now -= 1;
        }
    }
}
