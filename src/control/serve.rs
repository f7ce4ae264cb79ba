//! The socket: identifies each caller by `SO_PEERCRED`, and refuses those who may not give orders.

use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::{Extension, Router};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::authority::Authority;
use super::orders::{self, Inputs};
use crate::connection::{self, converse};

/// Far more than the people who give orders need.
const MAX_CONNECTIONS: usize = 64;
/// So many callers at once are looked up in the user database, or told that they may not give orders; more are disconnected.
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
    file: SocketFile,
}

struct SocketFile(PathBuf);

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
        Ok(Self { listener, file: SocketFile(path.to_owned()) })
    }

    /// Takes orders until `shutdown`; then finishes the answers in hand and returns.
    pub async fn serve(self, authority: Authority, inputs: Inputs, shutdown: CancellationToken) {
        let (router, authority) = (orders::router(inputs), Arc::new(authority));
        let strangers = Arc::new(Semaphore::new(MAX_STRANGERS));
        let Self { listener, file: _file } = self;
        let accept = async move || listener.accept().await.map(|(stream, _)| stream);
        let open =
            |stream| open(stream, Arc::clone(&authority), router.clone(), Arc::clone(&strangers), shutdown.clone());
        connection::serve("the control socket", accept, MAX_CONNECTIONS, &shutdown, open).await;
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // If it stays, the next daemon clears it away.
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn open(
    stream: UnixStream,
    authority: Arc<Authority>,
    router: Router,
    strangers: Arc<Semaphore>,
    shutdown: CancellationToken,
) {
    let Ok(peer) = stream.peer_cred() else { return };
    let (uid, gid, pid) = (peer.uid(), peer.gid(), peer.pid().unwrap_or_default());
    // The user database may be slow, and is asked on threads that others need. Held to the end of a stranger's connection.
    let Ok(place) = (!authority.is_known(uid)).then(|| strangers.try_acquire()).transpose() else { return };
    let judge = Arc::clone(&authority);
    let Ok((caller, may)) = tokio::task::spawn_blocking(move || judge.judge(uid, gid, pid)).await else { return };
    let _place = place.filter(|_| !may);
    let router = if may {
        router.layer(Extension(caller))
    } else {
        tracing::warn!(uid, gid, pid, user = caller.user, "refused on the control socket: {}", caller.name());
        orders::refusing(&caller, &authority)
    };
    converse(stream, router, shutdown).await;
}
