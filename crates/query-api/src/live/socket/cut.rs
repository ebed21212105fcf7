//! A connection that can be cut off. A stop ends WebSockets as a lost connection does: told to close, some clients take it for
//! the end and do not come back. And who takes nothing can't be told anything.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use poem::Upgraded;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::queue::Queue;

/// A connection that ends when it is told to.
pub(super) struct Cut {
    stream: Upgraded,
    /// One for each direction: different tasks wait for them, and a future wakes one.
    reading: Pin<Box<WaitForCancellationFutureOwned>>,
    writing: Pin<Box<WaitForCancellationFutureOwned>>,
    /// What waits for who is at the other end.
    queue: Option<Arc<Queue>>,
}

impl Cut {
    pub(super) fn new(stream: Upgraded, cut: CancellationToken, queue: Option<Arc<Queue>>) -> Self {
        Self {
            stream,
            reading: Box::pin(cut.clone().cancelled_owned()),
            writing: Box::pin(cut.cancelled_owned()),
            queue,
        }
    }

    fn poll_may_write(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.writing.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.reading.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Cut {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_may_write(cx)?;
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        if let (Poll::Ready(Ok(count)), Some(queue)) = (&written, &self.queue) {
            queue.took(*count);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_may_write(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_may_write(cx)?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
