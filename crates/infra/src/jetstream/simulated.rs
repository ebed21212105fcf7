//! How messages go over the wire and how their acknowledgements are taken, for a simulated server: the very functions that
//! publishing to a real one uses.

use async_nats::jetstream::message::OutboundMessage;
use domain::{FanOutError, Message};

use super::publish::{Asking, Chain, as_meant};

/// Messages in their order as a server gets them: with the sequence and the message that must stand before each.
pub struct OnTheWire {
    chain: Chain,
    asking: Asking,
}

/// A message on the wire.
pub struct Put {
    /// As the server gets it.
    pub message: OutboundMessage,
    /// The sequence that it is meant to be stored with.
    pub meant: u64,
    /// Whether it is asked about; else it is stored as meant when a later one is.
    pub is_asked: bool,
}

impl OnTheWire {
    /// Right behind a sequence, through a window of so many messages.
    #[must_use]
    pub const fn after(sequence: u64, window_messages: usize) -> Self {
        Self {
            chain: Chain::after(sequence),
            asking: Asking::within(window_messages, usize::MAX),
        }
    }

    /// The next message; the last of those that are sent together is asked about in any case.
    ///
    /// # Errors
    /// When a header can't be sent.
    pub fn put(&mut self, message: Message, is_last: bool) -> Result<Put, FanOutError> {
        let prepared = self.chain.next(message)?;
        Ok(Put {
            message: prepared.publish.outbound_message(prepared.subject),
            meant: prepared.sequence,
            is_asked: self.asking.about(prepared.bytes, is_last).is_some(),
        })
    }
}

/// Takes an acknowledgement for a message that was meant to be stored with the sequence `meant`.
///
/// # Errors
/// When it was stored elsewhere, or the server took it for one that it had already.
pub const fn acknowledged(sequence: u64, duplicate: bool, meant: u64) -> Result<(), FanOutError> {
    as_meant(sequence, duplicate, meant)
}
