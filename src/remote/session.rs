//! One manager as the rooms above see it: a call goes in, a success or a typed error comes out.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::domain::ManagerName;
use crate::ports::{Clock, Operation, RequestObserver, RequestOutcome};

use super::digest::{Login, Next};
use super::error::Error;
use super::rate::Rate;
use super::refusal::{Document, NO_CURRENT_USER, Refusal, asked_wait};
use super::transport::{Call, Reply, Transport};

/// The connections, the login and the limits of one manager.
pub(super) struct Session {
    pub(super) manager: ManagerName,
    pub(super) transport: Transport,
    pub(super) login: Login,
    pub(super) rate: Rate,
    pub(super) in_flight: Semaphore,
    pub(super) request_timeout: Duration,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Arc<dyn RequestObserver>,
}

impl Session {
    /// Makes one call and returns its reply if that is a success.
    pub(super) async fn call(&self, call: &Call<'_>) -> Result<Reply, Error> {
        let reply = self.exchange(call).await?;
        if reply.is_success() { Ok(reply) } else { Err(Error::Refused(Refusal::of(&reply, self.clock.now()))) }
    }

    /// Makes one call and returns its reply, whatever the status. `request_timeout` runs from the first byte to the
    /// last, challenges included, but not while the call waits for its turn; for that a rotation has the same time again.
    pub(super) async fn exchange(&self, call: &Call<'_>) -> Result<Reply, Error> {
        let asked = self.clock.monotonic();
        let _turn = self.in_flight.acquire().await.expect("this semaphore is never closed");
        self.rate.wait(&*self.clock).await;
        let started = self.clock.monotonic();
        // The settle time of a rotation runs from its record, and is longer than one request may take, not than a queue.
        if call.operation == Operation::RotateKey && started.saturating_sub(asked) > self.request_timeout {
            return Err(Error::NoTurn(self.request_timeout));
        }
        let result = self.authenticated(call, started + self.request_timeout).await;
        let outcome = match &result {
            // What is not sent is no request.
            Err(Error::Withheld(_)) => return result,
            Ok(reply) => RequestOutcome::Status(reply.status),
            Err(Error::NotDigest(_) | Error::Stale) => RequestOutcome::Status(401),
            Err(_) => RequestOutcome::NoReply,
        };
        // A challenge is part of the request that met it: it adds to the time, and is not reported by itself.
        let took = self.clock.monotonic().saturating_sub(started);
        self.observer.requested(&self.manager, call.operation, outcome, took);
        result
    }

    /// Leaves a server that has too much to do alone for as long as it asks: every call waits, whatever it is about. No longer
    /// than one request may take, though: so late the next one asks again. In another reply the same header says when to come
    /// back for what was asked, and holds up nobody else.
    fn heed(&self, reply: &Reply) {
        if matches!(reply.status, 429 | 503)
            && let Some(asked) = asked_wait(&reply.headers, self.clock.now())
        {
            self.rate.hold(self.clock.monotonic(), asked.min(self.request_timeout));
        }
    }

    /// Sends the call, and sends it again for as long as the login finds a reason in a 401.
    async fn authenticated(&self, call: &Call<'_>, deadline: Duration) -> Result<Reply, Error> {
        let mut attempt = self.login.attempt();
        loop {
            let left = deadline.saturating_sub(self.clock.monotonic());
            if left.is_zero() {
                return Err(Error::TimedOut(self.request_timeout));
            }
            // Nothing of it has left, or a 401 has proved that the server did not act.
            if let Some(why) = call.objection.and_then(|objection| objection()) {
                return Err(Error::Withheld(why));
            }
            let authorization = attempt.authorization(&call.method(), &call.uri()).map_err(|_| Error::Unanswerable)?;
            let reply = self.transport.send(call, authorization, left).await?;
            self.heed(&reply);
            if reply.status != 401 || (attempt.stands(&reply.headers) && knows_us(&reply)) {
                attempt.accepted(&reply.headers);
                return Ok(reply);
            }
            match attempt.refused(&reply.headers) {
                Next::Answer => self.rate.count(&*self.clock),
                Next::Refused => return Ok(reply),
                Next::Stale => return Err(Error::Stale),
                Next::NotDigest(_) if knows_us(&reply) => return Ok(reply),
                Next::NotDigest(schemes) => return Err(Error::NotDigest(schemes)),
            }
        }
    }
}

/// Ops Manager says 401 also to a key that it knows but that lacks a role. Only then is there an error code.
fn knows_us(reply: &Reply) -> bool {
    let body = reply.body.as_deref().unwrap_or_default();
    let document = Document::read(reply.status, body);
    document.is_some_and(|document| document.code().is_some_and(|code| code != NO_CURRENT_USER))
}
