//! The field `payload` of a URL-encoded form, decoded while the form goes by, in bounded memory.
//!
//! It decodes as [`domain::decode_form_payload`] does, which reads a form that is in memory already.

use memchr::memchr3;

const FIELD: &[u8] = b"payload=";

#[derive(Debug, Clone, Copy)]
enum State {
    /// At the start of a pair, with so many bytes of the field's name seen.
    Name(usize),
    /// In a pair of another name.
    Other,
    /// In the payload.
    Payload,
    /// In the payload, after `%` or `%` and one digit.
    Percent(Option<u8>),
    /// Behind the payload.
    Done,
}

/// Decodes a form piece by piece.
#[derive(Debug)]
pub(crate) struct FormPayload {
    state: State,
    found: bool,
}

impl FormPayload {
    /// At the start of a form.
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Name(0),
            found: false,
        }
    }

    /// Takes the next piece and adds what it holds of the payload to `decoded`.
    pub(crate) fn feed(&mut self, piece: &[u8], decoded: &mut Vec<u8>) {
        let mut rest = piece;
        while let Some((byte, tail)) = rest.split_first() {
            rest = match self.state {
                State::Done => return,
                State::Payload => self.payload(rest, decoded),
                State::Percent(first) => {
                    if self.percent(first, *byte, decoded) {
                        tail
                    } else {
                        rest
                    }
                }
                State::Name(seen) => {
                    self.name(seen, *byte);
                    tail
                }
                State::Other => {
                    let end = memchr::memchr(b'&', rest).unwrap_or(rest.len());
                    let after = rest.get(end..).and_then(<[u8]>::split_first);
                    if after.is_some() {
                        self.state = State::Name(0);
                    }
                    after.map_or(&[][..], |(_, tail)| tail)
                }
            };
        }
    }

    /// The form is over: whether it had a payload.
    pub(crate) fn finish(self, decoded: &mut Vec<u8>) -> bool {
        if let State::Percent(first) = self.state {
            decoded.push(b'%');
            decoded.extend(first);
        }
        self.found
    }

    fn name(&mut self, seen: usize, byte: u8) {
        self.state = if byte == b'&' {
            State::Name(0)
        } else if FIELD.get(seen) != Some(&byte) {
            State::Other
        } else if seen + 1 == FIELD.len() {
            self.found = true;
            State::Payload
        } else {
            State::Name(seen + 1)
        };
    }

    fn payload<'p>(&mut self, rest: &'p [u8], decoded: &mut Vec<u8>) -> &'p [u8] {
        let end = memchr3(b'%', b'+', b'&', rest).unwrap_or(rest.len());
        let (plain, after) = rest.split_at(end);
        decoded.extend_from_slice(plain);
        let Some((byte, tail)) = after.split_first() else {
            return after;
        };
        match byte {
            b'%' => self.state = State::Percent(None),
            b'+' => decoded.push(b' '),
            _ => self.state = State::Done,
        }
        tail
    }

    /// Takes a byte behind `%`; false when it is none of the two digits, and what was held back is plain text.
    fn percent(&mut self, first: Option<u8>, byte: u8, decoded: &mut Vec<u8>) -> bool {
        if !byte.is_ascii_hexdigit() {
            decoded.push(b'%');
            decoded.extend(first);
            self.state = State::Payload;
            return false;
        }
        match first {
            None => self.state = State::Percent(Some(byte)),
            Some(high) => {
                decoded.push(value_of(high) << 4 | value_of(byte));
                self.state = State::Payload;
            }
        }
        true
    }
}

const fn value_of(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        b'A'..=b'F' => digit - b'A' + 10,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decode(form: &[u8], piece: usize) -> Option<Vec<u8>> {
        let (mut payload, mut decoded) = (FormPayload::new(), Vec::new());
        for piece in form.chunks(piece) {
            payload.feed(piece, &mut decoded);
        }
        payload.finish(&mut decoded).then_some(decoded)
    }

    #[test]
    fn the_payload_is_found_among_the_pairs() {
        for (form, expected) in [
            ("payload=%7B%22a%22%3A+1%7D", Some("{\"a\": 1}")),
            ("x=1&payload=%C3%BC&payload=no", Some("ü")),
            ("payload=", Some("")),
            ("payloadx=1&&pay=2&payload=y&z", Some("y")),
            ("payload=100%&x", Some("100%")),
            ("payload=%4", Some("%4")),
            ("payload=%zz%%41", Some("%zz%A")),
            ("xpayload=1", None),
            ("payload", None),
            ("", None),
        ] {
            for piece in 1..=form.len().max(1) {
                assert_eq!(
                    decode(form.as_bytes(), piece).as_deref(),
                    expected.map(str::as_bytes),
                    "{form}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn it_decodes_as_the_reader_of_the_log_does(form in "(payload=|[a%+&=4F\u{fc}]){0,30}", piece in 1usize..20) {
            prop_assert_eq!(decode(form.as_bytes(), piece), domain::decode_form_payload(form.as_bytes()));
        }
    }
}
