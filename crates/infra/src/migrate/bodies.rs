//! Carries the long bodies of a log from one store to another.

use domain::{BodyError, BodyRef, BodyStore, ContentHasher};

use super::MigrateError;

/// How much of a body is read at once.
const PIECE_BYTES: usize = 1024 * 1024;

/// Where long bodies are, on both sides. Both may be the same store.
#[derive(Clone, Copy)]
pub struct Bodies<'a> {
    /// That of the log that is moved.
    pub from: &'a dyn BodyStore,
    /// That of the log that it becomes.
    pub to: &'a dyn BodyStore,
}

impl Bodies<'_> {
    /// Puts a body into the target, unless it is there. One that the source lacks or has damaged is left out, which is said.
    pub(super) async fn carry(&self, body: &BodyRef) -> Result<(), MigrateError> {
        let failed = |source| MigrateError::Body {
            sha256: body.sha256,
            source,
        };
        if self.is_there(body).await? {
            return Ok(());
        }
        let mut upload = self.to.begin().await.map_err(failed)?;
        let mut hasher = ContentHasher::default();
        let mut at = 0;
        while at < body.bytes {
            let piece = match self.from.read(body, at, PIECE_BYTES).await {
                Ok(piece) if !piece.is_empty() => piece,
                Ok(_) | Err(BodyError::Missing(_)) => {
                    left_out(body);
                    return Ok(());
                }
                Err(error) => return Err(failed(error)),
            };
            at += piece.len() as u64;
            hasher.update(&piece);
            upload.write(piece).await.map_err(failed)?;
        }
        if hasher.finish() != body.sha256 {
            left_out(body);
            return Ok(());
        }
        upload.commit().await.map_err(failed)?;
        Ok(())
    }

    /// Whether the target has a body, whole.
    pub(super) async fn is_there(&self, body: &BodyRef) -> Result<bool, MigrateError> {
        let mut hasher = ContentHasher::default();
        let mut at = 0;
        while at < body.bytes {
            match self.to.read(body, at, PIECE_BYTES).await {
                Ok(piece) if !piece.is_empty() => {
                    at += piece.len() as u64;
                    hasher.update(&piece);
                }
                Ok(_) | Err(BodyError::Missing(_)) => return Ok(false),
                Err(source) => {
                    return Err(MigrateError::Body {
                        sha256: body.sha256,
                        source,
                    });
                }
            }
        }
        Ok(hasher.finish() == body.sha256)
    }
}

fn left_out(body: &BodyRef) {
    tracing::warn!(sha256 = %body.sha256, "the source has no whole body of that name; it is left out");
}
