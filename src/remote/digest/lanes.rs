//! Nonces in use. Each lane holds one nonce and serves one request at a time, so that the request counter of a nonce
//! goes up on the wire in the order in which it was counted, which strict servers insist on.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::challenge::Challenge;

/// The idle lanes of one login. There are never more lanes than there were requests at one time.
#[derive(Default)]
pub(super) struct Lanes(Mutex<State>);

#[derive(Default)]
struct State {
    /// The warmest on top.
    idle: Vec<Lane>,
    /// Every nonce that some lane still holds. A server may hand out one nonce twice; its counter must still be one.
    nonces: HashMap<String, Weak<Nonce>>,
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

    /// Hands a lane back for the next request. A lane that is dropped instead is simply gone.
    pub(super) fn give_back(&self, lane: Lane) {
        self.lock().idle.push(lane);
    }

    /// Forgets every idle lane: the login that they were made for is not accepted any more.
    pub(super) fn clear(&self) {
        self.lock().idle.clear();
    }

    /// A lane for a challenge that just came.
    pub(super) fn open(&self, challenge: Challenge) -> Lane {
        let mut state = self.lock();
        state.nonces.retain(|_, nonce| nonce.strong_count() > 0);
        let known = state.nonces.get(&challenge.nonce).and_then(Weak::upgrade);
        let nonce = known.unwrap_or_else(|| {
            let nonce =
                Arc::new(Nonce { count: AtomicU32::new(0), accepted: AtomicBool::new(false), client: client_nonce() });
            state.nonces.insert(challenge.nonce.clone(), Arc::downgrade(&nonce));
            nonce
        });
        Lane { challenge, nonce }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// 128 random bits in hexadecimal.
fn client_nonce() -> String {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).expect("the kernel always has random bytes");
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
