//! Who is let in at the listener, and how connections are encrypted there.

use std::sync::Arc;
use std::time::Duration;

use axum::{Router, middleware};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use super::web_config::{self, WebConfig};
use crate::connection::{self, converse};

/// More than any fleet of scrapers and pages needs.
const MAX_CONNECTIONS: usize = 128;

/// How long the handshake of TLS may take.
const SHAKE_HANDS_WITHIN: Duration = Duration::from_secs(10);

/// Answers on `listener` until `shutdown`; then finishes the answers in hand and returns.
///
/// By the web configuration: its TLS, its users, its headers and its limit. Without one in plain text, and everyone.
pub async fn serve(listener: TcpListener, router: Router, web: Option<Arc<WebConfig>>, shutdown: CancellationToken) {
    let router = match &web {
        Some(web) => router.layer(middleware::from_fn_with_state(Arc::clone(web), web_config::admit)),
        None => router,
    };
    let accept = async move || listener.accept().await.map(|(stream, _)| stream);
    let open = |stream| open(stream, web.clone(), router.clone(), shutdown.clone());
    connection::serve("the listener", accept, MAX_CONNECTIONS, &shutdown, open).await;
}

/// Speaks TLS first if the web configuration says so. What goes wrong there is the client's affair.
async fn open(stream: TcpStream, web: Option<Arc<WebConfig>>, router: Router, shutdown: CancellationToken) {
    let tls = match web {
        Some(web) => web.tls().await,
        None => None,
    };
    match tls {
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
