//! The port to NATS subjects outside our own stream, where destinations publish.

use async_trait::async_trait;
use bytes::Bytes;

/// Why a message was not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The server can't be reached or did not answer; try again later.
    #[error("nats can't be reached: {0}")]
    Unavailable(String),
    /// It can't be published like this: too large, or no subject.
    #[error("nats refused the message: {0}")]
    Refused(String),
}

/// Publishes messages to subjects.
#[async_trait]
pub trait PublishToSubject: Send + Sync {
    /// Publishes a message and waits until the server has it.
    async fn publish(
        &self,
        subject: &str,
        headers: Vec<(String, String)>,
        payload: Bytes,
    ) -> Result<(), PublishError>;
}
