//! One request from its arrival to its end: login, obstacles, the deed, the reply.
//!
//! The order is that of a real server behind a real network, and each step is a place where something can go wrong.

use std::sync::Arc;

use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode};

use super::call::Call;
use super::clock;
use super::control;
use super::fault::{FaultKind, Operation, Stage};
use super::login::log_in;
use super::payload::{self, Payload};
use super::reply::{Content, Query, Reply};
use super::respond::{page, respond, respond_with, unexpected};
use super::state::Shared;
use super::truth::PutOutcome;

/// The connection is to be dropped, without another byte.
#[derive(Debug, thiserror::Error)]
#[error("the simulator drops this connection")]
pub(super) struct Dropped;

type Answer = Result<Response<Payload>, Dropped>;

/// Deals with one request. An error makes hyper close the connection without a reply.
pub(super) async fn exchange(shared: Arc<Shared>, request: Request<Incoming>) -> Answer {
    if let Some(path) = request.uri().path().strip_prefix(control::BASE) {
        let path = path.to_owned();
        let method = request.method().clone();
        let body = payload::read(request.into_body()).await.ok_or(Dropped)?;
        return Ok(control::answer(&shared, &method, &path, &body));
    }
    let received = clock::now();
    let (number, _in_hand) = shared.arrive();
    let (head, body) = request.into_parts();
    let call = Call::new(number, received, &head);
    if shared.state().down || !call.strike(&shared, Stage::Arrival).is_empty() {
        return Err(Dropped);
    }
    if let Some(challenge) = log_in(&shared, &call, &head) {
        return Ok(challenge);
    }
    let body = payload::read(body).await.ok_or(Dropped)?;
    let _put_in_hand = call.cluster(&shared).map(|name| shared.put_in_hand(name));
    let query = call.query.as_ref().copied().unwrap_or_default();
    let before = call.strike(&shared, Stage::Before);
    let call = Arc::new(call);
    let slow = before.iter().any(|kind| matches!(kind, FaultKind::Slow(_)));
    let deed = {
        let (shared, call) = (Arc::clone(&shared), Arc::clone(&call));
        async move { call.carry_out(&shared, &before, &body).await }
    };
    let end = if slow {
        // A server does not notice that its caller has given up: what was asked is done, only later.
        let stop = shared.stop.clone();
        let task = tokio::spawn(async move { stop.run_until_cancelled(deed).await });
        task.await.ok().flatten().ok_or(Dropped)?
    } else {
        deed.await
    };
    match end {
        End::Reply(reply) => call.deliver(&shared, &query, reply).await,
        End::Page(status) => Ok(page(status)),
        End::Drop => Err(Dropped),
        End::Hang => std::future::pending().await,
    }
}

/// How the deed ended.
pub(super) enum End {
    Reply(Reply),
    /// A page of HTML from something in between.
    Page(StatusCode),
    Drop,
    Hang,
}

impl Call {
    /// Everything between the login and the reply.
    async fn carry_out(&self, shared: &Shared, before: &[FaultKind], body: &[u8]) -> End {
        for kind in before {
            if let Some(end) = self.obstruct(shared, *kind).await {
                if self.operation() == Operation::Put {
                    let fault = kind.name().to_owned();
                    self.note(shared, PutOutcome::NotDone { fault });
                }
                return end;
            }
        }
        End::Reply(self.act(shared, body).unwrap_or_else(Reply::from))
    }

    /// Sends the reply, or what a fault makes of it. The first fault that strikes is the only one that can.
    async fn deliver(&self, shared: &Shared, query: &Query, mut reply: Reply) -> Answer {
        let fault = self.strike(shared, Stage::After).into_iter().next();
        match fault {
            Some(FaultKind::HangAfter) => std::future::pending().await,
            Some(FaultKind::CutAfter) => Err(Dropped),
            Some(FaultKind::GatewayPage) => Ok(page(StatusCode::BAD_GATEWAY)),
            Some(FaultKind::ErrorAfter) => Ok(respond(shared, query, &unexpected())),
            Some(FaultKind::CutBody) => {
                let bytes = Bytes::from(reply.bytes(query));
                if bytes.is_empty() {
                    return Err(Dropped);
                }
                let payload = Payload::broken(&bytes);
                Ok(respond_with(shared, &reply, payload))
            }
            Some(FaultKind::Malformed) => {
                let mut bytes = reply.bytes(query);
                bytes.truncate(bytes.len() / 2);
                bytes.extend_from_slice(b"\xff");
                Ok(respond_with(shared, &reply, Payload::whole(bytes)))
            }
            Some(FaultKind::HugeBody) => {
                let payload = Payload::Padding { left: 256 << 20 };
                Ok(respond_with(shared, &reply, payload))
            }
            Some(FaultKind::NoKey) => {
                if let Content::Document(serde_json::Value::Object(fields)) = &mut reply.content {
                    fields.remove("encryptionKeyUUID");
                }
                Ok(respond(shared, query, &reply))
            }
            Some(_) | None => Ok(respond(shared, query, &reply)),
        }
    }
}
