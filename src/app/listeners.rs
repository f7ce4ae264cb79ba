//! The control socket and the HTTP listener: bound before anything is recorded, served once everything runs.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::config::Settings;
use crate::control::{self, Authority, Socket};
use crate::http::{self, WebConfig};
use crate::ports::Clock;

/// Both, bound: connections wait until they are served.
pub(super) struct Listeners {
    authority: Authority,
    orders: Socket,
    web: Option<Arc<WebConfig>>,
    listener: TcpListener,
    address: SocketAddr,
}

impl Listeners {
    pub(super) async fn open(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Self, StartError> {
        let authority = Authority::new(settings.control.group.as_deref())?;
        let path = &settings.control.socket;
        let orders =
            Socket::open(path, &authority).map_err(|source| StartError::Control { path: path.clone(), source })?;
        let web = settings.http.web_config_file.as_ref().map(|path| {
            WebConfig::open(path, Arc::clone(clock))
                .map_err(|source| StartError::WebConfig { path: path.clone(), source })
        });
        let web = web.transpose()?;
        let address = settings.http.listen;
        let listen = |source| StartError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        Ok(Self { authority, orders, web, listener, address })
    }

    /// Where the listener is; the port is one that the system chose if the configuration says 0.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.web.as_ref().is_some_and(|web| web.is_tls()) { "https" } else { "http" }
    }

    /// Takes orders until `closing`, and answers the listener's routes until `silence`.
    pub(super) fn serve(
        self,
        orders: control::Inputs,
        routes: Router,
        closing: &CancellationToken,
        silence: &CancellationToken,
    ) -> (JoinHandle<()>, JoinHandle<()>) {
        (
            tokio::spawn(self.orders.serve(self.authority, orders, closing.clone())),
            tokio::spawn(http::serve(self.listener, routes, self.web, silence.clone())),
        )
    }
}
