//! JSON that takes too much to read. jaq's reader goes as deep as it is told, to the end of the stack and of the process, and
//! takes minutes over a number of millions of digits; so what it gets is looked at before, the body as well as a text inside
//! it that a program reads.

use serde::de::IgnoredAny;
use serde_json::Deserializer;

/// The deepest nesting that is read.
pub(crate) const DEPTH_MAX: usize = 128;
/// The longest number that is read, in digits in a row.
pub(crate) const DIGITS_MAX: usize = 1000;

/// What of JSON makes it hard to read.
pub(crate) struct Shape {
    /// How deep it is nested.
    pub(crate) depth: usize,
    /// The most digits in a row.
    pub(crate) digits: usize,
}

impl Shape {
    /// The shape of valid JSON.
    pub(crate) fn of(json: &[u8]) -> Self {
        let (mut depth, mut digits, mut in_text, mut escaped) = (0_usize, 0_usize, false, false);
        let mut most = Self { depth: 0, digits: 0 };
        for byte in json {
            digits = if byte.is_ascii_digit() && !in_text {
                digits + 1
            } else {
                0
            };
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_text => escaped = true,
                b'"' => in_text = !in_text,
                b'[' | b'{' if !in_text => depth += 1,
                b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
                _ => {}
            }
            most.depth = most.depth.max(depth);
            most.digits = most.digits.max(digits);
        }
        most
    }

    /// Whether it can be read without harm.
    pub(crate) fn is_harmless(&self) -> bool {
        self.depth <= DEPTH_MAX && self.digits <= DIGITS_MAX
    }
}

/// Whether a text can be handed to jaq's reader. That takes more than JSON (comments, `nan`), of which the shape is unknown:
/// a text with many brackets or digits, wherever they stand, has to be JSON.
pub(crate) fn is_readable(text: &[u8]) -> bool {
    let brackets = text.iter().filter(|byte| matches!(byte, b'[' | b'{')).count();
    let runs = text.split(|byte| !byte.is_ascii_digit());
    let digits = runs.map(<[u8]>::len).max().unwrap_or(0);
    let is_json = || {
        Deserializer::from_slice(text)
            .into_iter::<IgnoredAny>()
            .all(|value| value.is_ok())
    };
    let at_worst = Shape {
        depth: brackets,
        digits,
    };
    at_worst.is_harmless() || (is_json() && Shape::of(text).is_harmless())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_and_digits_count_outside_of_texts() {
        let shape = Shape::of(br#"{"[[[\"{{{99999":"\\","a":[[12]],"b":1.2345e1}"#);
        assert_eq!((shape.depth, shape.digits), (3, 4));
    }

    #[test]
    fn what_may_be_deep_is_read_only_if_its_depth_is_known() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        let flat = format!("[{}[]] [1]", "[],".repeat(500));
        for text in ["", "nan", "# x\n1", "no json [", &nested(128), &flat] {
            assert!(is_readable(text.as_bytes()), "{text:.20}");
        }
        let commented = format!("#\"\n{}", nested(129));
        let digits = "1".repeat(1001);
        for text in [&nested(129), &nested(100_000), &commented, &digits] {
            assert!(!is_readable(text.as_bytes()), "{text:.20}");
        }
    }
}
