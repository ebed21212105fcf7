//! What can be set about looking for what is wrong with a signature.

use serde::Deserialize;

/// How far it is looked for. Every one of them is a bound: whoever asks may ask often.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExplainOptions {
    /// The longest body that is tried in other encodings too, in bytes.
    pub reencode_bytes_max: usize,
    /// The most secrets of other hooks and sources that are tried.
    pub secrets_max: usize,
    /// The most bytes that are signed for one question, over all secrets and encodings that are tried.
    pub work_bytes_max: u64,
}

impl Default for ExplainOptions {
    fn default() -> Self {
        Self {
            reencode_bytes_max: 1024 * 1024,
            secrets_max: 1000,
            work_bytes_max: 256 * 1024 * 1024,
        }
    }
}
