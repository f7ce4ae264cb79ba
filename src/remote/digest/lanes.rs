//! Nonces in use. Each lane holds one nonce and serves one request at a time, so that the request counter of a nonce
//! goes up on the wire in the order in which it was counted, which strict servers insist on. Only a server that gives
//! one nonce to two requests at once makes them share it, and only until the first of them is done.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::challenge::Challenge;

/// Nonces that are remembered, whether still in use or not: more than there can be requests in flight.
const REMEMBERED: usize = 2048;

/// The idle lanes of one login. There are never more lanes than there were requests at one time.
#[derive(Default)]
pub(super) struct Lanes(Mutex<State>);

#[derive(Default)]
struct State {
    /// The warmest on top.
    idle: Vec<Lane>,
    /// The latest nonces, oldest first. A server may hand out one nonce twice, even after the request that first had it
    /// was given up; its counter must go on all the same.
    nonces: VecDeque<(String, Arc<Nonce>)>,
}

/// One nonce for one request at a time.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) challenge: Challenge,
    pub(super) nonce: Arc<Nonce>,
}

/// What must not be told twice of one nonce, whichever lane holds it.
#[derive(Debug)]
pub(super) struct Nonce {
    count: AtomicU32,
    accepted: AtomicBool,
    /// The client's nonce. One for each server nonce, since a session key (`-sess`) is made from the first pair.
    pub(super) client: String,
}

impl Nonce {
    fn new() -> Self {
        Self { count: AtomicU32::new(0), accepted: AtomicBool::new(false), client: client_nonce() }
    }

    /// The next value of `nc`, from 1.
    pub(super) fn next_count(&self) -> u32 {
        self.count.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Whether the server has accepted an answer with this nonce.
    pub(super) fn was_accepted(&self) -> bool {
        self.accepted.load(Ordering::Relaxed)
    }

    pub(super) fn set_accepted(&self) {
        self.accepted.store(true, Ordering::Relaxed);
    }
}

impl Lanes {
    /// Takes the lane that was used last, whose nonce is the most likely to be alive.
    pub(super) fn take(&self) -> Option<Lane> {
        self.lock().idle.pop()
    }

    /// Hands a lane back for the next request, unless another one holds the same nonce. A lane that is dropped instead is
    /// simply gone.
    pub(super) fn give_back(&self, lane: Lane) {
        let mut state = self.lock();
        // One for this lane and one for the memory of nonces.
        if Arc::strong_count(&lane.nonce) <= 2 {
            state.idle.push(lane);
        } else {
            // Before the lock is: the other holder may be next.
            drop(lane);
        }
    }

    /// Forgets every idle lane: the login that they were made for is not accepted any more.
    pub(super) fn clear(&self) {
        self.lock().idle.clear();
    }

    /// A lane for a challenge that just came.
    pub(super) fn open(&self, challenge: Challenge) -> Lane {
        let mut state = self.lock();
        let known = state.nonces.iter().find(|(text, _)| *text == challenge.nonce);
        if let Some(nonce) = known.map(|(_, nonce)| Arc::clone(nonce)) {
            state.idle.retain(|idle| !Arc::ptr_eq(&idle.nonce, &nonce));
            return Lane { nonce, challenge };
        }
        let nonce = Arc::new(Nonce::new());
        if state.nonces.len() == REMEMBERED {
            state.nonces.pop_front();
        }
        state.nonces.push_back((challenge.nonce.clone(), Arc::clone(&nonce)));
        Lane { nonce, challenge }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 128 random bits in hexadecimal.
fn client_nonce() -> String {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).expect("the kernel always has random bytes");
    crate::domain::hex(&bytes)
}
