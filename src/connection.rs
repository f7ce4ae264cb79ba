//! Connections of HTTP/1, on whatever socket: the loop that accepts them, the bounds that keep a slow or greedy client from
//! holding the daemon, and an end that cuts no answer off. Who may connect, and what is answered, is for `http` and `control`.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the head of a request may take, and how long a connection may rest between two.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// How long a connection may live: a client that reads one byte a minute must let go some time.
const LONGEST_CONNECTION: Duration = Duration::from_secs(300);

/// How long the answers in hand may take once the daemon stops.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// A head has a dozen short headers.
const LARGEST_HEAD: usize = 16 * 1024;

/// How long to leave the kernel alone after it refused a connection: for want of file handles it refuses all of them.
const AFTER_REFUSAL: Duration = Duration::from_millis(500);

/// Opens each connection that `accept` gives, on a task of its own, until `shutdown`; then stops listening, lets those that are
/// open end, and returns. At most `places` are open at once; the rest waits in the kernel's queue of `listener`.
pub(crate) async fn serve<S, F: Future<Output = ()> + Send + 'static>(
    listener: &'static str,
    accept: impl AsyncFn() -> io::Result<S>,
    places: usize,
    shutdown: &CancellationToken,
    open: impl Fn(S) -> F,
) {
    let places = Arc::new(Semaphore::new(places));
    let connections = TaskTracker::new();
    let accepting = async {
        loop {
            let place = Arc::clone(&places).acquire_owned().await.expect("nobody closes the semaphore");
            match accept().await {
                Ok(stream) => {
                    let connection = open(stream);
                    connections.spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection to {listener} could not be accepted: {error}");
                    let _ = timeout(AFTER_REFUSAL, shutdown.cancelled()).await;
                }
            }
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = accepting => {}
    }
    drop(accept);
    connections.close();
    connections.wait().await;
}

/// Answers one client until it goes, its time is over, or `shutdown`; then finishes the answer in hand and returns.
pub(crate) async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    shutdown: CancellationToken,
) {
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

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Of an answer, in bytes: more than the sockets of both sides buffer.
    const LENGTH: usize = 32 * 1024 * 1024;

    /// A client of one connection. Where the clock is paused it stands still, and jumps to the next time-out when
    /// nothing else is left to do.
    async fn client(shutdown: &CancellationToken) -> (TcpStream, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let router = Router::new().route("/", get(|| async { vec![b'x'; LENGTH] })).route("/short", get(|| async {}));
        (client, tokio::spawn(converse(stream, router, shutdown.clone())))
    }

    /// Otherwise a few idle clients would take every place.
    #[tokio::test(start_paused = true)]
    async fn a_head_that_never_ends_is_cut_off() {
        let (mut client, served) = client(&CancellationToken::new()).await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: loc").await.unwrap();
        let mut reply = Vec::new();
        timeout(2 * HEAD_WITHIN, client.read_to_end(&mut reply)).await.expect("the connection ends").unwrap();
        assert!(!reply.starts_with(b"HTTP/1.1 200"));
        served.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_reads_is_given_up() {
        let (mut client, served) = client(&CancellationToken::new()).await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        timeout(2 * LONGEST_CONNECTION, served).await.expect("the connection ends").unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_does_not_wait_for_a_client_that_says_nothing() {
        let shutdown = CancellationToken::new();
        let (mut client, served) = client(&shutdown).await;
        client.write_all(b"GET /short HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        client.read_u8().await.unwrap();
        shutdown.cancel();
        timeout(STOP_WITHIN / 2, served).await.expect("the connection ends").unwrap();
    }

    #[tokio::test]
    async fn a_stop_cuts_no_answer_off() {
        let shutdown = CancellationToken::new();
        let (mut client, served) = client(&shutdown).await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        client.read_u8().await.unwrap();
        shutdown.cancel();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert!(rest.len() > LENGTH, "{} bytes", rest.len());
        served.await.unwrap();
    }
}
