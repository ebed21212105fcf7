//! Reads the body of a request: within its limit, its time and the memory set aside for it.
//!
//! A small body stays in memory; a longer one streams into a temporary place of the body store, of which nothing is left
//! unless it is committed. What is encoded is decoded on the way. Never here: a commit before the whole body was verified.

use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::{BodyError, BodyStore, BodyUpload};
use futures_util::{Stream, StreamExt};
use tokio::sync::{AcquireError, SemaphorePermit};
use tokio::time::Instant;

use crate::coding::{ContentCoding, Decoder};
use crate::options::IngestOptions;
use crate::places::{self, Places};
use crate::rejection::Rejection;

/// The longest that anything here waits, so that no setting can overflow the clock.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The instant so many milliseconds from now.
pub(crate) fn after(millis: u64) -> Instant {
    Instant::now() + Duration::from_millis(millis).min(WAIT_MAX)
}

/// The pieces of a body as they arrive.
pub(crate) type Pieces = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// A body on its way in.
pub(crate) struct Incoming {
    pieces: Pieces,
    /// The length the sender announced.
    announced: Option<u64>,
    coding: Option<ContentCoding>,
    begun: bool,
    ended: bool,
}

impl Incoming {
    /// A body of which nothing was read.
    pub(crate) fn new(pieces: Pieces, announced: Option<u64>) -> Self {
        Self {
            pieces,
            announced,
            coding: None,
            begun: false,
            ended: announced == Some(0),
        }
    }

    /// From now on it is read through a decoder.
    pub(crate) const fn decode(&mut self, coding: ContentCoding) {
        self.coding = Some(coding);
    }

    /// The length the sender announced.
    pub(crate) const fn announced(&self) -> Option<u64> {
        self.announced
    }

    /// Whether a piece of it was asked for.
    pub(crate) const fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether nothing is left to be read.
    pub(crate) const fn has_ended(&self) -> bool {
        self.ended
    }

    /// The next piece; none at the end.
    pub(crate) async fn next(&mut self) -> Option<std::io::Result<Bytes>> {
        self.begun = true;
        let next = self.pieces.next().await;
        self.ended = matches!(next, None | Some(Err(_)));
        next
    }
}

/// A body that was read to its end.
pub(crate) enum ReceivedBody {
    /// In memory.
    Memory(Bytes),
    /// In a temporary place of the body store.
    Spooled {
        /// The upload, not yet committed.
        upload: Box<dyn BodyUpload>,
        /// How long it is, in bytes.
        bytes: u64,
    },
}

impl ReceivedBody {
    /// Its length in bytes.
    pub(crate) const fn byte_len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::Spooled { bytes, .. } => *bytes,
        }
    }
}

/// Reads the body of one request, and holds the places that it takes until it is dropped.
pub(crate) struct BodyReader<'i> {
    options: &'i IngestOptions,
    store: &'i dyn BodyStore,
    places: &'i Places,
    /// Whose body it is.
    peer: Option<IpAddr>,
    memory: Option<SemaphorePermit<'i>>,
    decoder: Option<places::Place<'i>>,
    upload: Option<places::Place<'i>>,
}

impl<'i> BodyReader<'i> {
    /// A reader that holds nothing yet.
    pub(crate) const fn new(
        options: &'i IngestOptions,
        store: &'i dyn BodyStore,
        places: &'i Places,
        peer: Option<IpAddr>,
    ) -> Self {
        Self {
            options,
            store,
            places,
            peer,
            memory: None,
            decoder: None,
            upload: None,
        }
    }

    /// Reads the whole body, decoded, and shows each piece to `see`. Over `bytes_max` it stops at once, and before the first
    /// byte when that much was announced.
    pub(crate) async fn read(
        &mut self,
        incoming: &mut Incoming,
        bytes_max: u64,
        mut see: impl FnMut(&[u8]) + Send,
    ) -> Result<ReceivedBody, Rejection> {
        if incoming.announced.is_some_and(|announced| announced > bytes_max) {
            return Err(Rejection::BodyTooLarge(bytes_max));
        }
        let mut pieces = self.open(incoming, bytes_max).await?;
        let announced = pieces.announced();
        let mut patience = Patience::begin(self.options);
        let mut place = Place::Memory(BytesMut::new());
        let mut total = 0_u64;
        while let Some(piece) = patience.piece(&mut pieces).await? {
            total += piece.len() as u64;
            if total > bytes_max {
                return Err(Rejection::BodyTooLarge(bytes_max));
            }
            see(&piece);
            let ours = Instant::now();
            if self.memory.is_none() && self.upload.is_none() {
                self.memory = Some(self.memory(announced).await?);
            }
            place = self.put(place, piece).await?;
            patience.waited_for_us(ours.elapsed());
        }
        if announced.is_some_and(|announced| announced != total) {
            return Err(Rejection::BodyIncomplete);
        }
        Ok(match place {
            Place::Memory(bytes) => ReceivedBody::Memory(bytes.freeze()),
            Place::Upload(upload) => ReceivedBody::Spooled { upload, bytes: total },
        })
    }

    /// The body as it came, or through a decoder when it is this request's turn.
    async fn open<'b>(
        &mut self,
        incoming: &'b mut Incoming,
        bytes_max: u64,
    ) -> Result<Opened<'b>, Rejection> {
        let Some(coding) = incoming.coding else {
            return Ok(Opened::Plain(incoming));
        };
        self.decoder = Some(self.place(self.places.decoders.acquire(self.peer)).await?);
        Ok(Opened::Encoded(Decoder::new(coding, incoming, bytes_max)))
    }

    /// Memory for all that a body may keep there, at once: bodies that each wait for more while they hold some would wait
    /// for each other.
    async fn memory(&self, announced: Option<u64>) -> Result<SemaphorePermit<'i>, Rejection> {
        let most = self.options.inline_bytes_max as u64;
        let bytes = u32::try_from(announced.map_or(most, |a| a.min(most))).unwrap_or(u32::MAX);
        self.place(self.places.memory_bytes.acquire_many(bytes)).await
    }

    async fn place<P>(&self, free: impl Future<Output = Result<P, AcquireError>>) -> Result<P, Rejection> {
        let place = tokio::time::timeout_at(after(self.options.upload_wait_ms), free).await;
        place
            .map_err(|_| Rejection::Busy)?
            .map_err(|_| Rejection::Stopping)
    }

    async fn put(&mut self, place: Place, piece: Bytes) -> Result<Place, Rejection> {
        match place {
            Place::Memory(mut bytes) if bytes.len() + piece.len() <= self.options.inline_bytes_max => {
                bytes.extend_from_slice(&piece);
                Ok(Place::Memory(bytes))
            }
            Place::Memory(bytes) => {
                let mut upload = self.begin().await?;
                for part in [bytes.freeze(), piece] {
                    upload.write(part).await.map_err(unwritable)?;
                }
                self.memory = None;
                Ok(Place::Upload(upload))
            }
            Place::Upload(mut upload) => {
                upload.write(piece).await.map_err(unwritable)?;
                Ok(Place::Upload(upload))
            }
        }
    }

    /// Opens an upload when it is this request's turn.
    pub(crate) async fn begin(&mut self) -> Result<Box<dyn BodyUpload>, Rejection> {
        self.upload = Some(self.place(self.places.uploads.acquire(self.peer)).await?);
        self.store.begin().await.map_err(unwritable)
    }
}

/// A body that is being read.
enum Opened<'b> {
    Plain(&'b mut Incoming),
    Encoded(Decoder<'b>),
}

impl Opened<'_> {
    /// How many bytes will come out; unknown for what is decoded.
    const fn announced(&self) -> Option<u64> {
        match self {
            Self::Plain(incoming) => incoming.announced,
            Self::Encoded(_) => None,
        }
    }

    async fn next(&mut self) -> Option<Result<Bytes, Rejection>> {
        match self {
            Self::Plain(incoming) => Some(incoming.next().await?.map_err(|_| Rejection::BodyIncomplete)),
            Self::Encoded(decoder) => decoder.next().await,
        }
    }
}

/// How long a body is waited for.
struct Patience<'i> {
    options: &'i IngestOptions,
    deadline: Instant,
    /// When it will have been too slow. Each byte puts it off by its time at the least rate, but never beyond the grace from
    /// now: what came fast at the beginning is no credit for a long silence.
    too_slow: Instant,
}

impl<'i> Patience<'i> {
    fn begin(options: &'i IngestOptions) -> Self {
        Self {
            options,
            deadline: after(options.body_timeout_ms),
            too_slow: after(options.body_grace_ms),
        }
    }

    /// What we took for ourselves is no slowness of the sender.
    fn waited_for_us(&mut self, time: Duration) {
        self.too_slow += time.min(WAIT_MAX);
    }

    /// The next piece.
    async fn piece(&mut self, pieces: &mut Opened<'_>) -> Result<Option<Bytes>, Rejection> {
        let least = self.options.body_bytes_per_second_min;
        let too_slow = if least == 0 { self.deadline } else { self.too_slow };
        let idle = after(self.options.body_idle_timeout_ms);
        let end = self.deadline.min(idle).min(too_slow);
        let next = tokio::time::timeout_at(end, pieces.next()).await;
        let piece = next.map_err(|_| Rejection::BodyTimeout)?.transpose()?;
        if let Some(piece) = &piece {
            let millis = (piece.len() as u64).saturating_mul(1000).checked_div(least);
            let earned = Duration::from_millis(millis.unwrap_or(0)).min(WAIT_MAX);
            self.too_slow = (self.too_slow + earned).min(after(self.options.body_grace_ms));
        }
        Ok(piece)
    }
}

enum Place {
    Memory(BytesMut),
    Upload(Box<dyn BodyUpload>),
}

/// Whatever the body store's trouble is, the delivery may be taken later.
pub(crate) fn unwritable(error: BodyError) -> Rejection {
    tracing::warn!(
        error = &error as &dyn std::error::Error,
        "body store refused an upload"
    );
    match error {
        BodyError::NoRoom(_) => Rejection::Unavailable("no room for large bodies"),
        BodyError::Missing(_) | BodyError::Io { .. } => {
            Rejection::Unavailable("large bodies can't be written")
        }
    }
}
