//! One request from its arrival to its end: login, faults, the deed, the reply.
//!
//! The order is that of a real server behind a real network, and each step is a place where something can go wrong:
//! arrival, login, before the deed, the deed, after the deed.

use std::sync::Arc;

use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;

use super::api::{self, Resource, View};
use super::clock;
use super::control;
use super::fault::{FaultKind, Operation, Stage};
use super::gate::Login;
use super::payload::{self, Payload};
use super::reply::{ApiError, Content, Query, Reply};
use super::spec::PutReply;
use super::state::Shared;
use super::truth::{Put, PutOutcome};

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
    let query = match &call.query {
        Ok(query) => *query,
        Err(error) => {
            let error = error.clone();
            return Ok(respond(&shared, &Query::default(), &error.into()));
        }
    };
    let before = call.strike(&shared, Stage::Before);
    let call = Arc::new(call);
    let deed = {
        let (shared, call, before) = (Arc::clone(&shared), Arc::clone(&call), before.clone());
        async move { call.carry_out(&shared, &before, &body).await }
    };
    let slow = before.iter().any(|k| matches!(k, FaultKind::Slow(_)));
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
enum End {
    Reply(Reply),
    /// A page of HTML from something in between.
    Page(StatusCode),
    Drop,
    Hang,
}

/// One request, read.
struct Call {
    number: u64,
    received: Timestamp,
    method: Method,
    /// `None`: no such resource.
    resource: Option<Resource>,
    query: Result<Query, ApiError>,
}

impl Call {
    fn new(number: u64, received: Timestamp, head: &Parts) -> Self {
        Self {
            number,
            received,
            method: head.method.clone(),
            resource: Resource::of(head.uri.path()),
            query: Query::parse(head.uri.query().unwrap_or_default()),
        }
    }

    fn operation(&self) -> Operation {
        match (&self.resource, &self.method) {
            (Some(Resource::EncryptionKey(..)), &Method::PUT) => Operation::Put,
            (Some(Resource::EncryptionKey(..)), _) => Operation::Get,
            _ => Operation::List,
        }
    }

    fn strike(&self, shared: &Shared, stage: Stage) -> Vec<FaultKind> {
        let mut state = shared.state();
        let layout = state.world.layout();
        let names = self.resource.as_ref().map(|r| r.names(&layout));
        state.strike(stage, self.operation(), &names.unwrap_or_default())
    }

    /// `project/cluster` of a PUT.
    fn cluster(&self, shared: &Shared) -> Option<String> {
        let Some(Resource::EncryptionKey(p, c)) = &self.resource else {
            return None;
        };
        let layout = shared.state().world.layout();
        let (project, entry) = api::find(&layout, p, c).ok()?;
        (self.method == Method::PUT).then(|| format!("{}/{}", project.name, entry.cluster))
    }

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

    /// A fault before the deed. `None`: the deed is done all the same.
    async fn obstruct(&self, shared: &Shared, kind: FaultKind) -> Option<End> {
        let refuse = |status, code, detail: &str, parameters: &[&str]| {
            let error = ApiError::new(status, code, detail).with(parameters);
            Some(End::Reply(error.into()))
        };
        let (project, cluster) = match &self.resource {
            Some(Resource::EncryptionKey(p, c)) => (p.as_str(), c.as_str()),
            _ => ("", ""),
        };
        match kind {
            FaultKind::Slow(delay) => {
                clock::sleep(delay).await;
                None
            }
            FaultKind::Foreign => {
                let now = clock::now();
                shared.state().world.rotate_foreign(cluster, now);
                None
            }
            FaultKind::Regression => {
                shared.state().world.regress(cluster, clock::now());
                None
            }
            FaultKind::Hang => Some(End::Hang),
            FaultKind::CutBefore => Some(End::Drop),
            FaultKind::ErrorBefore => Some(End::Reply(unexpected())),
            FaultKind::UnavailablePage => Some(End::Page(StatusCode::SERVICE_UNAVAILABLE)),
            FaultKind::Unavailable => refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "SERVICE_UNAVAILABLE",
                "Ops Manager is being upgraded.",
                &[],
            ),
            FaultKind::RateLimited { retry_after } => {
                let error = ApiError::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "RATE_LIMITED",
                    "Resource is limited to 100 requests every 1 minutes.",
                );
                Some(End::Reply(Reply {
                    retry_after,
                    ..error.into()
                }))
            }
            FaultKind::WrongRole => refuse(
                StatusCode::UNAUTHORIZED,
                "USER_UNAUTHORIZED",
                "The current user is not authorized to perform the operation.",
                &[],
            ),
            FaultKind::AddressRefused => refuse(
                StatusCode::FORBIDDEN,
                "IP_ADDRESS_NOT_ON_ACCESS_LIST",
                "IP address 203.0.113.9 is not allowed to access this resource.",
                &["203.0.113.9"],
            ),
            FaultKind::Vanished => Some(End::Reply(api::no_cluster(project, cluster).into())),
            FaultKind::Conflict => refuse(
                StatusCode::CONFLICT,
                "CANNOT_GET_BACKUP_CONFIG_INVALID_STATE",
                "The backup configuration cannot be read in its current state.",
                &[cluster],
            ),
            FaultKind::Refuse
            | FaultKind::StaleNonce
            | FaultKind::NeverChanges
            | FaultKind::HangAfter
            | FaultKind::CutAfter
            | FaultKind::CutBody
            | FaultKind::ErrorAfter
            | FaultKind::Malformed
            | FaultKind::GatewayPage
            | FaultKind::HugeBody
            | FaultKind::NoKey => None,
        }
    }

    /// The deed itself, without a fault.
    fn act(&self, shared: &Shared, body: &[u8]) -> Result<Reply, ApiError> {
        let resource = self.resource.as_ref().ok_or_else(|| {
            let detail = "Cannot find resource.";
            ApiError::new(StatusCode::NOT_FOUND, "RESOURCE_NOT_FOUND", detail)
        })?;
        let layout = shared.state().world.layout();
        let settings = &shared.settings;
        let view = View {
            layout: &layout,
            query: self.query.as_ref().map_err(Clone::clone)?,
            url: &settings.url,
            page_cap: settings.page_cap,
            now: self.received,
        };
        match (resource, self.method.as_str()) {
            (Resource::EncryptionKey(p, c), "GET") => self.show_key(shared, &view, p, c),
            (Resource::EncryptionKey(p, c), "PUT") => self.rotate(shared, &view, p, c, body),
            (_, "GET") => view.show(resource),
            _ => {
                let detail = "The method is not allowed for this resource.";
                let status = StatusCode::METHOD_NOT_ALLOWED;
                Err(ApiError::new(status, "METHOD_NOT_ALLOWED", detail))
            }
        }
    }

    fn show_key(
        &self,
        shared: &Shared,
        view: &View<'_>,
        p: &str,
        c: &str,
    ) -> Result<Reply, ApiError> {
        let (_, entry) = api::find(view.layout, p, c)?;
        if let Some(refusal) = api::key_refusal(entry, false, shared.settings.disabled_status) {
            return Err(refusal);
        }
        let key = shared.state().world.poll(c, clock::now());
        let key = key.filter(|_| entry.backup.encryption_enabled);
        Ok(Reply::ok(view.key(p, c, key.as_deref())))
    }

    fn rotate(
        &self,
        shared: &Shared,
        view: &View<'_>,
        p: &str,
        c: &str,
        body: &[u8],
    ) -> Result<Reply, ApiError> {
        let allowed = api::find(view.layout, p, c).and_then(|(_, entry)| {
            let refusal = api::key_refusal(entry, true, shared.settings.disabled_status);
            refusal.map_or(Ok(()), Err)
        });
        if let Err(error) = allowed.and_then(|()| check_body(body)) {
            let code = error.code.unwrap_or_default().to_owned();
            self.note(shared, PutOutcome::Refused { code });
            return Err(error);
        }
        let keep = self.strike(shared, Stage::Act);
        let outcome = if keep.contains(&FaultKind::NeverChanges) {
            PutOutcome::Kept
        } else {
            let world = &mut shared.state().world;
            match world.rotate(c, self.number, clock::now()) {
                Some(key) => PutOutcome::Changed { key },
                None => PutOutcome::Kept,
            }
        };
        self.note(shared, outcome);
        let content = match shared.settings.put_reply {
            PutReply::EmptyObject => Content::Document(serde_json::json!({})),
            PutReply::Nothing => Content::Nothing,
        };
        Ok(Reply::new(StatusCode::CREATED, content))
    }

    fn note(&self, shared: &Shared, outcome: PutOutcome) {
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

/// `None`: come in. Otherwise the 401.
fn log_in(shared: &Shared, call: &Call, head: &Parts) -> Option<Response<Payload>> {
    let authorization = head.headers.get(header::AUTHORIZATION);
    // What is not text is not an answer to our challenge either.
    let authorization = authorization.map(|value| value.to_str().unwrap_or_default());
    let uri = head.uri.path_and_query().map_or("/", |uri| uri.as_str());
    let stale_fault = authorization.is_some() && !call.strike(shared, Stage::Login).is_empty();

    let mut state = shared.state();
    let now = call.received;
    let verdict = state
        .gate
        .judge(head.method.as_str(), uri, authorization, now);
    let verdict = match verdict {
        Login::Missing => Login::Missing,
        _ if state.wrong_password => Login::Bad,
        Login::Accepted if stale_fault => Login::Stale,
        verdict => verdict,
    };
    let counts = &mut state.counts;
    let counter = match verdict {
        Login::Accepted => match call.operation() {
            Operation::Get => &mut counts.key_gets,
            Operation::Put => &mut counts.key_puts,
            Operation::List => &mut counts.lists,
        },
        Login::Missing => &mut counts.unauthenticated,
        Login::Stale => &mut counts.stale,
        Login::CountRefused => &mut counts.count_refused,
        Login::Bad => &mut counts.bad_logins,
    };
    *counter += 1;
    if verdict == Login::Accepted {
        return None;
    }
    let challenges = state.gate.challenge(verdict == Login::Stale, now);
    drop(state);

    let reply = Reply::from(ApiError::bad_credentials());
    let query = call.query.as_ref().copied().unwrap_or_default();
    let mut response = Response::new(Payload::whole(reply.bytes(&query)));
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    for challenge in challenges {
        let value = HeaderValue::try_from(challenge);
        let value = value.expect("the realm was tried out at the start");
        headers.append(header::WWW_AUTHENTICATE, value);
    }
    headers.insert(header::CONTENT_TYPE, JSON_LATIN);
    Some(response)
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// As the documentation's sample of a 401 has it.
const JSON_LATIN: HeaderValue = HeaderValue::from_static("application/json;charset=ISO-8859-1");
const HTML: HeaderValue = HeaderValue::from_static("text/html");

fn respond(shared: &Shared, query: &Query, reply: &Reply) -> Response<Payload> {
    respond_with(shared, reply, Payload::whole(reply.bytes(query)))
}

/// A reply of Ops Manager itself, with the headers that all of them carry.
fn respond_with(shared: &Shared, reply: &Reply, payload: Payload) -> Response<Payload> {
    let mut response = Response::new(payload);
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, JSON);
    let hsts = HeaderValue::from_static("max-age=300");
    headers.insert(header::STRICT_TRANSPORT_SECURITY, hsts);
    let version = shared.settings.service_version.clone();
    headers.insert("x-mongodb-service-version", version);
    if let Some(seconds) = reply.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// A reply of something in between, which knows nothing of the API.
fn page(status: StatusCode) -> Response<Payload> {
    let text = format!(
        "<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>\n"
    );
    let mut response = Response::new(Payload::whole(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HTML);
    response
}

fn unexpected() -> Reply {
    let (status, code) = (StatusCode::INTERNAL_SERVER_ERROR, "UNEXPECTED_ERROR");
    ApiError::new(status, code, "An unexpected error occurred.").into()
}

/// Nothing, or an object without fields: the resource takes no parameters, and unknown ones are refused.
fn check_body(body: &[u8]) -> Result<(), ApiError> {
    if body.trim_ascii().is_empty() {
        return Ok(());
    }
    let bad = |code, detail: String| Err(ApiError::new(StatusCode::BAD_REQUEST, code, detail));
    match serde_json::from_slice(body) {
        Ok(serde_json::Value::Object(fields)) => match fields.keys().next() {
            None => Ok(()),
            Some(name) => bad(
                "INVALID_ATTRIBUTE",
                format!("Invalid attribute {name} specified."),
            ),
        },
        Ok(_) | Err(_) => bad("INVALID_JSON", "Received JSON is malformed.".into()),
    }
}
