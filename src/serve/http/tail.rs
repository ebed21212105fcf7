//! The body of an answer, which knows when it was written.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

use super::guests::Seat;

/// A body. When it is gone, its connection waits for a request again.
pub(super) struct Tail<B> {
    body: B,
    /// None where no other request will come: the connection was given away.
    seat: Option<Arc<Seat>>,
}

impl<B> Tail<B> {
    pub(super) const fn new(body: B, seat: Arc<Seat>) -> Self {
        Self {
            body,
            seat: Some(seat),
        }
    }

    /// Of an answer after which the connection is no longer one of HTTP: it keeps its place until it ends.
    pub(super) const fn of_upgrade(body: B) -> Self {
        Self { body, seat: None }
    }
}

impl<B: Body + Unpin> Body for Tail<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<B> Drop for Tail<B> {
    fn drop(&mut self) {
        if let Some(seat) = &self.seat {
            seat.waits();
        }
    }
}
