//! The loop that accepts connections, and the bounds that keep a slow or greedy client from holding the daemon.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// More than any fleet of scrapers and pages needs; the rest waits in the kernel's queue.
const MAX_CONNECTIONS: usize = 128;

/// How long the head of a request may take, and how long a connection may rest between two.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// How long a connection may live: a client that reads one byte a minute must let go some time.
const LONGEST_CONNECTION: Duration = Duration::from_secs(300);

/// How long the answers in hand may take once the daemon stops.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// How long to leave the kernel alone after it refused a connection: for want of file handles it refuses all of them.
const AFTER_REFUSAL: Duration = Duration::from_millis(500);

/// A head has a dozen short headers; no request has a body that is read.
const LARGEST_HEAD: usize = 16 * 1024;

/// Answers on `listener` until `shutdown`; then finishes the answers in hand and returns.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    let accept = async {
        loop {
            let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes the semaphore");
            match listener.accept().await {
                Ok((stream, _)) => {
                    let connection = connection(stream, router.clone(), shutdown.clone());
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

async fn connection(stream: TcpStream, router: Router, shutdown: CancellationToken) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    // What ends a connection early is the client's affair, and told to nobody.
    tokio::select! {
        _ = timeout(LONGEST_CONNECTION, connection.as_mut()) => {}
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(STOP_WITHIN, connection).await;
        }
    }
}
