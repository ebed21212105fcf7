//! Why sources can't be used.

use domain::InvalidGlob;

/// Why the sources can't be used as configured.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The name belongs to the API.
    #[error("source {0:?}: the name is reserved")]
    ReservedName(String),
    /// Two sources of one name.
    #[error("source {0:?} is configured twice")]
    DuplicateSource(String),
    /// Nothing could ever verify.
    #[error("source {0:?}: verify is on, but it has no secret")]
    NoSecret(String),
    /// Anybody could sign with it.
    #[error("source {source_name:?}: secret {secret_id:?} is empty")]
    EmptySecret {
        /// The source.
        source_name: String,
        /// The secret.
        secret_id: String,
    },
    /// A setting of the scheme that can't be used.
    #[error("source {source_name:?}: {why}")]
    Scheme {
        /// The source.
        source_name: String,
        /// Which one, and what is wrong with it.
        why: String,
    },
    /// A secret that its scheme could never verify with.
    #[error("source {source_name:?}: secret {secret_id:?} {why}")]
    SecretOfAnotherForm {
        /// The source.
        source_name: String,
        /// The secret.
        secret_id: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Two secrets of one id.
    #[error("source {source_name:?}: secret {secret_id:?} is configured twice")]
    DuplicateSecret {
        /// The source.
        source_name: String,
        /// The secret.
        secret_id: String,
    },
    /// Whose a delivery is could not be told.
    #[error(
        "source {source_name:?}: secret {secret_id:?} is another tenant's too; two tenants must not share one"
    )]
    SharedSecret {
        /// The source.
        source_name: String,
        /// The secret.
        secret_id: String,
    },
    /// A path that is not absolute, another's, or the API's.
    #[error("source {source_name:?}: the path {path:?} {why}")]
    Path {
        /// The source.
        source_name: String,
        /// The path.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A glob that can't be read.
    #[error("source {source_name:?}: a repository glob can't be read")]
    Glob {
        /// The source.
        source_name: String,
        /// What is wrong with it.
        #[source]
        source: InvalidGlob,
    },
}
