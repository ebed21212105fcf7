//! The one escaping of outside text into names: stream names, keys and NATS subjects.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::ContentHash;

/// Everything but letters, digits, `-` and `_`.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_');

/// The longest subject part, in bytes; NATS closes the connection over 4 KiB of subject.
const PART_BYTES_MAX: usize = 128;
const PART_BYTES_KEPT: usize = 100;

/// Percent-encodes all bytes but letters, digits, `-` and `_`: `next.js` becomes `next%2Ejs`.
#[must_use]
pub fn escape_part(part: &str) -> Cow<'_, str> {
    percent_encode(part.as_bytes(), ESCAPED).into()
}

/// A part of a NATS subject: escaped, `_` when missing or empty, and over 128 bytes its first 100, `~`
/// and 16 hex digits of its SHA-256.
#[must_use]
pub fn subject_part(part: Option<&str>) -> Cow<'_, str> {
    let Some(part) = part.filter(|p| !p.is_empty()) else {
        return Cow::Borrowed("_");
    };
    let escaped = escape_part(part);
    if escaped.len() <= PART_BYTES_MAX {
        return escaped;
    }
    let hash = ContentHash::of(escaped.as_bytes()).to_string();
    let kept: String = escaped.chars().take(PART_BYTES_KEPT).collect();
    Cow::Owned(format!("{kept}~{}", hash.get(..16).unwrap_or(&hash)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_keeps_letters_digits_dash_and_underscore_only() {
        assert_eq!(subject_part(Some("next.js")), "next%2Ejs");
        assert_eq!(subject_part(Some("a*b>c d")), "a%2Ab%3Ec%20d");
        assert_eq!(subject_part(Some("plain-name_1")), "plain-name_1");
        assert_eq!(subject_part(Some("ü")), "%C3%BC");
        assert_eq!(subject_part(Some("")), "_");
        assert_eq!(subject_part(None), "_");
    }

    #[test]
    fn a_long_part_is_cut_and_still_told_apart() {
        let one = "x".repeat(129);
        let other = format!("{}y", "x".repeat(128));
        let (one, other) = (
            subject_part(Some(&one)).into_owned(),
            subject_part(Some(&other)).into_owned(),
        );
        assert_eq!(one.len(), 117);
        assert_ne!(one, other);
        assert_eq!(subject_part(Some(&"x".repeat(128))).len(), 128);
    }
}
