//! Content codings: a body that its sender compressed is decoded while it arrives.
//!
//! The signature covers, and the log keeps, the decoded bytes (docs/adr/0008). So what is decoded is not proven yet, and a
//! decoder gets no more than its bounds: encoded and decoded bytes alike stay within the limit of the body, whatever the
//! ratio between them, and they come out in small pieces. Never here: a body that is held in memory as a whole.

use std::io;
use std::pin::Pin;

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZlibDecoder};
use bytes::{Bytes, BytesMut};
use domain::HeaderFact;
use futures_util::stream;
use serde::Deserialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};
use tokio_util::io::StreamReader;

use crate::body::Incoming;
use crate::rejection::Rejection;

/// How much comes out at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Headers that describe the body as it was on the wire.
const OF_THE_WIRE: [&str; 2] = ["content-encoding", "content-length"];

/// A coding of `Content-Encoding` (RFC 9110 §8.4.1) that can be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContentCoding {
    /// `gzip`, also as `x-gzip`.
    Gzip,
    /// `deflate`: a zlib stream.
    Deflate,
    /// `br`.
    Br,
}

impl ContentCoding {
    /// What a header names: nothing to be decoded, or one of the codings that are allowed.
    pub(crate) fn named(value: Option<&str>, allowed: &[Self]) -> Result<Option<Self>, Rejection> {
        let coding = match value.map(str::to_ascii_lowercase).as_deref() {
            None | Some("identity") => return Ok(None),
            Some("gzip" | "x-gzip") => Self::Gzip,
            Some("deflate") => Self::Deflate,
            Some("br") => Self::Br,
            Some(_) => return Err(Rejection::ContentEncoding),
        };
        if allowed.contains(&coding) {
            Ok(Some(coding))
        } else {
            Err(Rejection::ContentEncoding)
        }
    }
}

/// Whether a header still says something true about a body that was decoded.
pub(crate) fn outlives_decoding(header: &HeaderFact) -> bool {
    !OF_THE_WIRE.contains(&header.0.as_str())
}

/// The encoded pieces, to be read.
type Encoded<'b> = Pin<Box<dyn AsyncBufRead + Send + 'b>>;

/// A body on its way through its decoder.
pub(crate) enum Decoder<'b> {
    Gzip(GzipDecoder<Encoded<'b>>),
    Deflate(ZlibDecoder<Encoded<'b>>),
    Br(BrotliDecoder<Encoded<'b>>),
}

/// Why the encoded bytes could not be had, on its way through a decoder that knows [`io::Error`] only.
#[derive(Debug, thiserror::Error)]
#[error("the encoded body can't be read")]
struct Broken(Rejection);

impl<'b> Decoder<'b> {
    /// Decodes a body of at most so many encoded bytes.
    pub(crate) fn new(coding: ContentCoding, incoming: &'b mut Incoming, encoded_bytes_max: u64) -> Self {
        let announced = incoming.announced();
        let pieces = stream::unfold((incoming, 0_u64), move |(incoming, before)| async move {
            let (piece, total) = match incoming.next().await {
                None if announced.is_some_and(|announced| announced != before) => {
                    (Err(broken(Rejection::BodyIncomplete)), before)
                }
                None => return None,
                Some(Err(_)) => (Err(broken(Rejection::BodyIncomplete)), before),
                Some(Ok(piece)) => match before.saturating_add(piece.len() as u64) {
                    total if total > encoded_bytes_max => {
                        (Err(broken(Rejection::BodyTooLarge(encoded_bytes_max))), total)
                    }
                    total => (Ok(piece), total),
                },
            };
            Some((piece, (incoming, total)))
        });
        let encoded: Encoded<'b> = Box::pin(StreamReader::new(Box::pin(pieces)));
        match coding {
            ContentCoding::Gzip => {
                let mut decoder = GzipDecoder::new(encoded);
                decoder.multiple_members(true);
                Self::Gzip(decoder)
            }
            ContentCoding::Deflate => Self::Deflate(ZlibDecoder::new(encoded)),
            ContentCoding::Br => Self::Br(BrotliDecoder::new(encoded)),
        }
    }

    /// The next decoded piece; none at the end of both the coding and the body.
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, Rejection>> {
        let mut piece = BytesMut::with_capacity(PIECE_BYTES);
        let read = match self {
            Self::Gzip(decoder) => decoder.read_buf(&mut piece).await,
            Self::Deflate(decoder) => decoder.read_buf(&mut piece).await,
            Self::Br(decoder) => decoder.read_buf(&mut piece).await,
        };
        match read {
            Err(error) => Some(Err(rejection_of(&error))),
            Ok(0) => self.end().await.err().map(Err),
            Ok(_) => Some(Ok(piece.freeze())),
        }
    }

    /// The coding has ended; nothing may follow it.
    async fn end(&mut self) -> Result<(), Rejection> {
        let encoded = match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Deflate(decoder) => decoder.get_mut(),
            Self::Br(decoder) => decoder.get_mut(),
        };
        let rest = encoded.fill_buf().await.map_err(|error| rejection_of(&error))?;
        if rest.is_empty() {
            Ok(())
        } else {
            Err(Rejection::BodyNotDecodable)
        }
    }
}

fn broken(rejection: Rejection) -> io::Error {
    io::Error::other(Broken(rejection))
}

fn rejection_of(error: &io::Error) -> Rejection {
    let broken = error.get_ref().and_then(|source| source.downcast_ref::<Broken>());
    broken.map_or(Rejection::BodyNotDecodable, |Broken(rejection)| rejection.clone())
}
