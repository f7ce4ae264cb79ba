//! The socket: who connects is asked who it is, and whoever may not give orders gets no further.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::{Extension, Router};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::authority::Authority;
use super::orders::{self, Inputs};
use crate::connection::{AFTER_REFUSAL, converse};

/// Far more than there are people who give orders.
const MAX_CONNECTIONS: usize = 64;
/// Whoever may not give orders is told so, a few at a time; the others find the door closed.
const MAX_STRANGERS: usize = 4;

/// Why the socket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody answers on it.
    #[error("another process listens there")]
    Taken,
    /// A file that is no socket is in its place.
    #[error("there is a file in its place that is no socket")]
    NoSocket,
    /// Anything else.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A socket that listens. Its file goes when it is dropped.
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Socket {
    /// Listens at `path`. What a daemon that died has left there is cleared away.
    pub fn open(path: &Path, authority: &Authority) -> Result<Self, ListenError> {
        match std::fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
            Ok(file) if !file.file_type().is_socket() => return Err(ListenError::NoSocket),
            Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => return Err(ListenError::Taken),
            Ok(_) => std::fs::remove_file(path)?,
        }
        let listener = UnixListener::bind(path)?;
        // Connecting gives no right: each caller is judged. Closed where nobody else is ever let in.
        let mode = if authority.is_shared() { 0o666 } else { 0o600 };
        std::fs::set_permissions(path, PermissionsExt::from_mode(mode))?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Takes orders until `shutdown`; then finishes the answers in hand and returns.
    pub async fn serve(self, authority: Authority, inputs: Inputs, shutdown: CancellationToken) {
        let router = orders::router(inputs);
        let authority = Arc::new(authority);
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let strangers = Arc::new(Semaphore::new(MAX_STRANGERS));
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let (places, strangers) = (Arc::clone(&places), Arc::clone(&strangers));
                    let (authority, router, shutdown) = (Arc::clone(&authority), router.clone(), shutdown.clone());
                    connections
                        .spawn(async move { open(stream, &authority, router, &places, &strangers, shutdown).await });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection to the control socket could not be accepted: {error}");
                    let _ = timeout(AFTER_REFUSAL, shutdown.cancelled()).await;
                }
            }
        }
        connections.close();
        connections.wait().await;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // If it stays, the next daemon clears it away.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn open(
    stream: UnixStream,
    authority: &Arc<Authority>,
    router: Router,
    places: &Semaphore,
    strangers: &Semaphore,
    shutdown: CancellationToken,
) {
    let Ok(peer) = stream.peer_cred() else { return };
    let (uid, gid, pid) = (peer.uid(), peer.gid(), peer.pid().unwrap_or_default());
    // To tell who somebody is may take the system long, on threads that others need: no more than this many are asked about.
    let Ok(stranger) = (!authority.is_known(uid)).then(|| strangers.try_acquire()).transpose() else { return };
    let judge = Arc::clone(authority);
    let Ok((caller, may)) = tokio::task::spawn_blocking(move || judge.judge(uid, gid, pid)).await else { return };
    // Held to the end of the connection. One that finds no place is closed.
    let place = if may { places.try_acquire().ok() } else { stranger };
    let Some(_place) = place else { return };
    let router = if may {
        router.layer(Extension(caller))
    } else {
        tracing::warn!(uid, gid, pid, user = caller.user, "refused on the control socket: {}", caller.name());
        orders::refusing(&caller, authority)
    };
    converse(stream, router, shutdown).await;
}
