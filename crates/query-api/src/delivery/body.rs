//! The exact bytes of a delivery, so that a signature can be checked again years later.
//!
//! They come from outside: whatever they hold, no browser may run it in our name.

use std::sync::Arc;

use bytes::Bytes;
use domain::{BodyError, BodyRef, BodyStore, EventData};
use futures_util::stream;
use poem::http::{HeaderValue, header};
use poem::{Body, IntoResponse, Response};

use super::find::Found;
use crate::failure::Failure;

/// What is read from the body store at a time, in bytes.
const PIECE_BYTES: usize = 256 * 1024;

/// The answer that carries the body. The first piece is read before anything is answered, so that a missing body is an
/// error and not a broken download.
pub(crate) async fn respond(found: Found, store: Arc<dyn BodyStore>) -> Result<Response, Failure> {
    let bytes = found.event.data.byte_len();
    let body = match found.event.data {
        EventData::Inline(data) => Body::from(data),
        EventData::Stored(body) => {
            let first = store.read(&body, 0, PIECE_BYTES).await?;
            Body::from_bytes_stream(pieces(store, body, first))
        }
    };
    let content_type = found
        .received
        .header("content-type")
        .and_then(|kind| HeaderValue::from_str(kind).ok())
        .unwrap_or_else(|| HeaderValue::from_static("application/octet-stream"));
    let json = content_type.to_str().is_ok_and(|kind| kind.contains("json"));
    let extension = if json { "json" } else { "bin" };
    let name = format!("attachment; filename=\"{}.{extension}\"", found.received.key);
    Ok(Response::builder()
        .header(header::CONTENT_TYPE, content_type)
        .header(header::CONTENT_LENGTH, bytes)
        .header(header::CONTENT_DISPOSITION, name)
        .header(header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox")
        .header(header::ETAG, format!("\"{}\"", found.received.sha256))
        .body(body)
        .into_response())
}

fn pieces(
    store: Arc<dyn BodyStore>,
    body: BodyRef,
    first: Bytes,
) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
    stream::try_unfold(
        (store, 0_u64, Some(first)),
        move |(store, offset, ready)| async move {
            let piece = match ready {
                Some(piece) => piece,
                None => store.read(&body, offset, PIECE_BYTES).await.map_err(broken)?,
            };
            if piece.is_empty() {
                return Ok(None);
            }
            let next = offset + piece.len() as u64;
            Ok(Some((piece, (store, next, None))))
        },
    )
}

fn broken(error: BodyError) -> std::io::Error {
    std::io::Error::other(error)
}
