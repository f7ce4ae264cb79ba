//! Bodies of replies: whole, broken off in the middle, or far too large.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

use super::exchange::Dropped;

#[derive(Debug)]
pub(super) enum Payload {
    /// All of it.
    Whole(Option<Bytes>),
    /// Announces `announced` bytes, sends `start`, and drops the connection.
    Broken { announced: u64, start: Bytes, sent: bool },
    /// So many bytes of padding, without saying beforehand how many.
    Padding { left: usize },
}

/// One piece of padding.
const CHUNK: usize = 64 * 1024;
static PADDING: [u8; CHUNK] = [b'x'; CHUNK];

impl Payload {
    pub(super) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(Some(bytes.into()))
    }

    /// Half of these bytes, and then nothing.
    pub(super) fn broken(bytes: &Bytes) -> Self {
        Self::Broken { announced: bytes.len() as u64, start: bytes.slice(..bytes.len() / 2), sent: false }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Dropped;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Dropped>>> {
        let data = |bytes| Poll::Ready(Some(Ok(Frame::data(bytes))));
        match self.get_mut() {
            Self::Whole(bytes) => match bytes.take() {
                Some(bytes) if !bytes.is_empty() => data(bytes),
                Some(_) | None => Poll::Ready(None),
            },
            Self::Broken { start, .. } if !start.is_empty() => data(std::mem::take(start)),
            // Not ready once: that is when hyper puts the beginning on the wire.
            Self::Broken { sent, .. } if !*sent => {
                *sent = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Broken { .. } => Poll::Ready(Some(Err(Dropped))),
            Self::Padding { left: 0 } => Poll::Ready(None),
            Self::Padding { left } => {
                let size = CHUNK.min(*left);
                *left -= size;
                data(Bytes::from_static(&PADDING).slice(..size))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Self::Broken { .. } => false,
            Self::Padding { left } => *left == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Self::Broken { announced, .. } => SizeHint::with_exact(*announced),
            Self::Padding { .. } => SizeHint::new(),
        }
    }
}

/// Reads a request's body, up to a limit far above what any caller of this API has to say.
///
/// `None`: too long, or the client went away.
pub(super) async fn read<B>(mut body: B) -> Option<Vec<u8>>
where
    B: Body<Data = Bytes> + Unpin,
{
    const LIMIT: usize = 1 << 20;
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame.ok()?.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > LIMIT {
            return None;
        }
    }
    Some(bytes)
}
