//! The loop that accepts connections, and the bounds that keep a slow or greedy client from holding the daemon.

use std::sync::Arc;
use std::time::Duration;

use axum::{Router, middleware};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::web_config::{self, WebConfig};
use crate::connection::{AFTER_REFUSAL, converse};

/// More than any fleet of scrapers and pages needs; the rest waits in the kernel's queue.
const MAX_CONNECTIONS: usize = 128;

/// How long the handshake of TLS may take.
const SHAKE_HANDS_WITHIN: Duration = Duration::from_secs(10);

/// Answers everyone on `listener`, in plain text, until `shutdown`; then finishes the answers in hand and returns.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    serve_by(listener, router, None, shutdown).await;
}

/// The same by a web configuration: its TLS, its users, its headers and its limit.
pub async fn serve_by(listener: TcpListener, router: Router, web: Option<Arc<WebConfig>>, shutdown: CancellationToken) {
    let router = match &web {
        Some(web) => router.layer(middleware::from_fn_with_state(Arc::clone(web), web_config::admit)),
        None => router,
    };
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    let accept = async {
        loop {
            let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes the semaphore");
            match listener.accept().await {
                Ok((stream, _)) => {
                    let connection = open(stream, web.clone(), router.clone(), shutdown.clone());
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(error = %error, "a connection could not be accepted: {error}");
                    let _ = timeout(AFTER_REFUSAL, shutdown.cancelled()).await;
                }
            }
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = accept => {}
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// Speaks TLS first if the web configuration says so. What goes wrong there is the client's affair.
async fn open(stream: TcpStream, web: Option<Arc<WebConfig>>, router: Router, shutdown: CancellationToken) {
    match web.and_then(|web| web.tls()) {
        None => converse(stream, router, shutdown).await,
        Some(tls) => {
            let shaken = tokio::select! {
                shaken = timeout(SHAKE_HANDS_WITHIN, TlsAcceptor::from(tls).accept(stream)) => shaken,
                () = shutdown.cancelled() => return,
            };
            match shaken {
                Ok(Ok(stream)) => converse(stream, router, shutdown).await,
                Ok(Err(error)) => tracing::debug!(%error, "a client's TLS handshake failed: {error}"),
                Err(_) => {}
            }
        }
    }
}
