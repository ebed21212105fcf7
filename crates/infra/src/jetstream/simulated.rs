//! How messages go over the wire and how their acknowledgements are taken, for a simulated server: the very functions that
//! publishing to a real one uses.

use async_nats::jetstream::message::OutboundMessage;
use domain::{FanOutError, Message};

use super::publish::{Chain, as_meant};

/// Messages in their order as a server gets them: with the sequence and the message that must stand before each.
pub struct OnTheWire(Chain);

impl OnTheWire {
    /// Right behind a sequence.
    #[must_use]
    pub const fn after(sequence: u64) -> Self {
        Self(Chain::after(sequence))
    }

    /// The next message, and the sequence that it is meant to be stored with.
    ///
    /// # Errors
    /// When a header can't be sent.
    pub fn put(&mut self, message: Message) -> Result<(u64, OutboundMessage), FanOutError> {
        let prepared = self.0.next(message)?;
        Ok((
            prepared.sequence,
            prepared.publish.outbound_message(prepared.subject),
        ))
    }
}

/// Takes an acknowledgement for a message that was meant to be stored with the sequence `meant`.
///
/// # Errors
/// When it was stored elsewhere, or the server took it for one that it had already.
pub const fn acknowledged(sequence: u64, duplicate: bool, meant: u64) -> Result<(), FanOutError> {
    as_meant(sequence, duplicate, meant)
}
