//! The raw text of one string or number while it goes by.

use std::borrow::Cow;

/// The longest raw text that is captured, in bytes; a longer value counts as absent.
pub(crate) const CAPTURE_BYTES_MAX: usize = 1024;

/// Keeps the raw text of the token under way, when somebody asked for it.
#[derive(Debug, Default)]
pub(super) struct Capture {
    wanted: bool,
    overflown: bool,
    raw: Vec<u8>,
}

impl Capture {
    /// A token begins.
    pub(super) fn begin(&mut self, wanted: bool) {
        self.wanted = wanted;
        self.overflown = false;
        self.raw.clear();
    }

    /// Takes the next bytes of the token.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if !self.wanted || self.overflown {
            return;
        }
        if self.raw.len() + bytes.len() > CAPTURE_BYTES_MAX {
            self.overflown = true;
        } else {
            self.raw.extend_from_slice(bytes);
        }
    }

    /// The raw text of a number; none when nobody asked.
    pub(super) fn plain(&self) -> Option<&str> {
        let whole = self.wanted && !self.overflown;
        whole.then(|| std::str::from_utf8(&self.raw).ok()).flatten()
    }

    /// The text of a string, its escapes resolved. Half a surrogate pair is no text: none, as for a value too long.
    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        let raw = self.plain()?;
        if raw.contains('\\') {
            serde_json::from_str(&format!("\"{raw}\"")).ok().map(Cow::Owned)
        } else {
            Some(Cow::Borrowed(raw))
        }
    }
}
