//! What is sent as the body: bytes in memory, or a body of the store, read piece by piece as often as it is needed.

use std::sync::Arc;

use bytes::Bytes;
use domain::{BodyError, BodyRef, BodyStore, EventData};
use futures_util::stream::{self, Stream};

/// How much of a stored body is held in memory at once, in bytes.
const PIECE_BYTES: usize = 256 * 1024;

/// A body to send.
#[derive(Clone)]
pub(crate) enum Payload {
    /// In memory.
    Bytes(Bytes),
    /// In the body store.
    Stored(BodyRef, Arc<dyn BodyStore>),
}

/// Why a stored body can't be sent.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PayloadLost {
    /// The store could not give it.
    #[error("the body can't be read")]
    Unreadable(#[from] BodyError),
    /// The store gave less than there should be.
    #[error("the body in the store is shorter than it was when received")]
    Short,
}

impl Payload {
    pub(crate) fn new(data: &EventData, store: &Arc<dyn BodyStore>) -> Self {
        match data {
            EventData::Inline(bytes) => Self::Bytes(bytes.clone()),
            EventData::Stored(body) => Self::Stored(*body, Arc::clone(store)),
        }
    }

    /// Its length in bytes.
    pub(crate) fn byte_len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Stored(body, _) => body.bytes,
        }
    }

    /// The piece at an offset; none at the end.
    async fn piece(&self, offset: u64) -> Result<Option<Bytes>, PayloadLost> {
        if offset >= self.byte_len() {
            return Ok(None);
        }
        let (body, store) = match self {
            Self::Bytes(bytes) => return Ok(Some(bytes.clone())),
            Self::Stored(body, store) => (body, store),
        };
        let left = usize::try_from(body.bytes - offset).unwrap_or(PIECE_BYTES);
        let piece = store.read(body, offset, PIECE_BYTES.min(left)).await?;
        if piece.is_empty() {
            return Err(PayloadLost::Short);
        }
        Ok(Some(piece))
    }

    /// Hands every piece to a function, in order.
    pub(crate) async fn each(&self, mut take: impl FnMut(&[u8])) -> Result<(), PayloadLost> {
        let mut offset = 0;
        while let Some(piece) = self.piece(offset).await? {
            take(&piece);
            offset += piece.len() as u64;
        }
        Ok(())
    }

    /// All of it in memory: only for what was found small enough.
    pub(crate) async fn whole(&self) -> Result<Bytes, PayloadLost> {
        if let Self::Bytes(bytes) = self {
            return Ok(bytes.clone());
        }
        let mut whole = Vec::new();
        self.each(|piece| whole.extend_from_slice(piece)).await?;
        Ok(whole.into())
    }

    /// Its pieces as a stream, exactly as many bytes as its length says, or an error.
    fn stream(self) -> impl Stream<Item = Result<Bytes, PayloadLost>> + Send + 'static {
        stream::try_unfold((self, 0), |(payload, offset)| async move {
            let piece = payload.piece(offset).await?;
            Ok(piece.map(|piece| {
                let next = offset + piece.len() as u64;
                (piece, (payload, next))
            }))
        })
    }

    /// The body of a request. Its length has to be said in a header, as a stream does not know it.
    pub(crate) fn into_request_body(self) -> reqwest::Body {
        match self {
            Self::Bytes(bytes) => bytes.into(),
            Self::Stored(..) => reqwest::Body::wrap_stream(self.stream()),
        }
    }
}
