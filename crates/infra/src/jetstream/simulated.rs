//! How messages go over the wire and how their acknowledgements are taken, for a simulated server: the very functions that
//! publishing to a real one uses.

use async_nats::jetstream::message::OutboundMessage;
use domain::{FanOutError, Message};

use super::publish::{Prepared, all_prepared, as_meant};

/// Messages in their order as a server gets them: with the sequence and the message that must stand before each.
///
/// # Errors
/// When a header can't be sent.
pub fn on_the_wire(
    expected_last_sequence: u64,
    messages: Vec<Message>,
) -> Result<Vec<OutboundMessage>, FanOutError> {
    let outbound = |prepared: Prepared| prepared.publish.outbound_message(prepared.subject);
    all_prepared(expected_last_sequence, messages)
        .map(|prepared| prepared.map(outbound))
        .collect()
}

/// Takes an acknowledgement for a message that was meant to be stored with the sequence `meant`.
///
/// # Errors
/// When it was stored elsewhere, or the server took it for one that it had already.
pub const fn acknowledged(sequence: u64, duplicate: bool, meant: u64) -> Result<(), FanOutError> {
    as_meant(sequence, duplicate, meant)
}
