//! The listening socket and its connections, and the handle by which the simulator is steered in this process.
//!
//! An accept loop of our own over hyper, because a connection must be dropped at will: a service that returns an
//! error makes hyper close the connection without a byte of reply.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use super::access::AccessSpec;
use super::board::Board;
use super::clock;
use super::exchange::exchange;
use super::fault::Fault;
use super::fleet::FleetSpec;
use super::gate::Gate;
use super::spec::{Credentials, SimulatorSpec};
use super::state::{Settings, Shared, State};
use super::truth::Truth;
use super::world::World;

/// A running make-believe Ops Manager. Dropping it stops it.
#[derive(Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    credentials: Credentials,
    orders: mpsc::Sender<Order>,
    serving: Option<JoinHandle<()>>,
}

/// One target, as tests name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetInfo {
    /// The id by which the API knows it.
    pub id: String,
    /// The id of its project.
    pub project: String,
    /// `project/cluster/replica-set`.
    pub name: String,
}

#[derive(Debug)]
enum Order {
    Unplug(oneshot::Sender<()>),
    PlugIn(oneshot::Sender<io::Result<()>>),
}

impl Simulator {
    /// Starts serving. The error is that of the socket, or says which setting cannot be put into HTTP.
    pub async fn start(spec: SimulatorSpec) -> io::Result<Self> {
        let listener = TcpListener::bind(spec.listen).await?;
        let address = listener.local_addr()?;
        let now = clock::now();
        let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidInput, what);

        let url = spec.public_url.unwrap_or(format!("http://{address}"));
        let service_version =
            format!("gitHash=0000000000000000000000000000000000000000; versionString={}", spec.version);
        let settings = Settings {
            url: url.trim_end_matches('/').to_owned(),
            page_cap: spec.page_cap,
            put_reply: spec.put_reply,
            disabled_status: StatusCode::from_u16(spec.disabled_status)
                .map_err(|_| wrong("disabled_status is not an HTTP status"))?,
            service_version: HeaderValue::try_from(service_version)
                .map_err(|_| wrong("the version cannot stand in a header"))?,
            seed: spec.seed,
            public_key: spec.credentials.public_key.clone(),
            clock_ahead: spec.clock_ahead,
        };
        let Credentials { public_key, private_key } = spec.credentials.clone();
        // Two runs with one seed have the same keys, but never the same nonces.
        let salt = spec.seed ^ now.as_microsecond().unsigned_abs();
        let mut gate = Gate::new(spec.digest, public_key, private_key, salt);
        for challenge in gate.challenge(false, now) {
            HeaderValue::try_from(challenge).map_err(|_| wrong("the realm cannot stand in a header"))?;
        }
        let world = World::new(&spec.fleet, spec.seed, spec.timing, spec.target_timing, now);
        let board = Board::new(spec.seed, spec.faults);
        let shared = Arc::new(Shared::new(State::new(world, gate, board, spec.access), settings));

        let (orders, inbox) = mpsc::channel(1);
        let serving = tokio::spawn(serve(Arc::clone(&shared), listener, address, inbox));
        Ok(Self { shared, address, credentials: spec.credentials, orders, serving: Some(serving) })
    }

    /// Scheme, host and port, as an operator would put it into a configuration file.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The login that it accepts.
    pub fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Everything that happened so far.
    pub fn truth(&self) -> Truth {
        self.shared.truth()
    }

    /// Every entry that has a key of its own, in the order of the lists.
    pub fn targets(&self) -> Vec<TargetInfo> {
        let layout = self.shared.state().world.layout();
        let members = layout.entries().filter(|(_, entry)| !entry.is_parent());
        members
            .map(|(project, entry)| TargetInfo {
                id: entry.id.clone(),
                project: project.id.clone(),
                name: entry.name.clone(),
            })
            .collect()
    }

    /// The target called `project/cluster/replica-set`.
    pub fn target(&self, name: &str) -> Option<TargetInfo> {
        self.targets().into_iter().find(|t| t.name == name)
    }

    /// Replaces the faults in force; counts start afresh.
    pub fn set_faults(&self, faults: Vec<Fault>) {
        self.shared.state().board = Board::new(self.shared.settings.seed, faults);
    }

    /// Down: every request to the API is dropped without a reply. The control routes go on.
    pub fn set_down(&self, down: bool) {
        self.shared.state().down = down;
    }

    /// Refuses every login, as after the API key was deleted.
    pub fn set_wrong_password(&self, wrong: bool) {
        self.shared.state().wrong_password = wrong;
    }

    /// Replaces the fleet. Targets that stay keep their keys; what left is answered with 404.
    pub fn set_fleet(&self, fleet: &FleetSpec) {
        self.shared.state().world.set_fleet(fleet, clock::now());
    }

    /// Replaces the API keys that there are.
    pub fn set_access(&self, access: AccessSpec) {
        self.shared.state().access = Arc::new(access);
    }

    /// Someone else rotates the key of a target, given by id or name, now. `false`: no such target.
    pub fn rotate_foreign(&self, target: &str) -> bool {
        let world = &mut self.shared.state().world;
        let id = world.find(target);
        id.is_some_and(|id| world.rotate_foreign(&id, clock::now()))
    }

    /// The key of a target, given by id or name, falls back to an earlier one. `false`: no such target or key.
    pub fn regress(&self, target: &str) -> bool {
        let world = &mut self.shared.state().world;
        let id = world.find(target);
        id.is_some_and(|id| world.regress(&id, clock::now()))
    }

    /// Closes the listening socket and every connection: the next connection is refused by the kernel.
    pub async fn unplug(&self) {
        let (done, wait) = oneshot::channel();
        if self.orders.send(Order::Unplug(done)).await.is_ok() {
            wait.await.ok();
        }
    }

    /// Listens again, on the same port, with everything as it was. The error is that of the socket.
    pub async fn plug_in(&self) -> io::Result<()> {
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the simulator has stopped");
        let (done, wait) = oneshot::channel();
        let sent = self.orders.send(Order::PlugIn(done)).await;
        sent.map_err(|_| gone())?;
        wait.await.map_err(|_| gone())?
    }

    /// Stops, and closes every connection. The last word on what happened.
    pub async fn stop(mut self) -> Truth {
        self.shared.stop.cancel();
        if let Some(serving) = self.serving.take() {
            serving.await.ok();
        }
        self.shared.truth()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

async fn serve(shared: Arc<Shared>, listener: TcpListener, address: SocketAddr, mut orders: mpsc::Receiver<Order>) {
    let mut listener = Some(listener);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            Some(order) = orders.recv() => match order {
                Order::Unplug(done) => {
                    listener = None;
                    connections.shutdown().await;
                    done.send(()).ok();
                }
                Order::PlugIn(done) => {
                    let bound = TcpListener::bind(address).await;
                    done.send(bound.map(|bound| listener = Some(bound))).ok();
                }
            },
            stream = accept(listener.as_ref()) => {
                connections.spawn(connection(Arc::clone(&shared), stream));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The next connection. Waits for ever while unplugged, and over errors such as too many open files.
async fn accept(listener: Option<&TcpListener>) -> TcpStream {
    let Some(listener) = listener else {
        return std::future::pending().await;
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(_) => clock::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    // Without it a reply may wait for the client's delayed acknowledgement. A socket that refuses is dead anyway.
    stream.set_nodelay(true).ok();
    let service = service_fn(move |request| exchange(Arc::clone(&shared), request));
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // An error is a client that went away, or a connection that was to be dropped.
    served.await.ok();
}
