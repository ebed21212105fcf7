//! A body as it may have been before something on its way re-encoded it, byte by byte: line breaks, byte order marks, forms,
//! encodings of text.

use super::reserialised;
use crate::form::FormPayload;

const BOM: &[u8] = b"\xEF\xBB\xBF";

/// One way to re-encode a body; none where it changes nothing, or can't be done.
type Recode = fn(&[u8]) -> Option<Vec<u8>>;

/// The ways, each with the words that follow "the signature fits the body".
const WAYS: [(&str, Recode); 13] = [
    ("without the line breaks at its end", |body| {
        Some(without_line_breaks(body).to_vec())
    }),
    ("with a line feed at its end", |body| Some([body, b"\n"].concat())),
    ("with a carriage return and a line feed at its end", |body| {
        Some([body, b"\r\n"].concat())
    }),
    ("without the white space around it", |body| {
        Some(body.trim_ascii().to_vec())
    }),
    ("with LF in place of its CRLF", |body| Some(with_lf(body))),
    ("with CRLF in place of its LF", |body| Some(with_crlf(body))),
    ("without its byte order mark", |body| {
        Some(body.strip_prefix(BOM)?.to_vec())
    }),
    ("with a byte order mark before it", |body| {
        Some([BOM, body].concat())
    }),
    ("left empty: its sender signed before it had the body", |_| {
        Some(Vec::new())
    }),
    ("decoded from its form: the field payload alone", form_payload),
    ("as the field payload of a form", as_form),
    ("with its UTF-8 decoded once: it was encoded twice", decoded_once),
    ("in UTF-8: it is in Latin-1", from_latin1),
];

/// All that a body may have been, each made when it is asked for, and none that is the body itself. JSON is written anew in
/// at most `bytes_max` bytes.
pub(super) fn forms(body: &[u8], bytes_max: usize) -> impl Iterator<Item = (String, Vec<u8>)> {
    let plain = WAYS
        .into_iter()
        .filter_map(move |(words, recode)| Some((words.to_owned(), recode(body)?)));
    let written = reserialised::forms(body, bytes_max);
    plain.chain(written).filter(move |(_, bytes)| bytes != body)
}

fn without_line_breaks(body: &[u8]) -> &[u8] {
    let mut rest = body;
    while let Some(shorter) = rest.strip_suffix(b"\n").or_else(|| rest.strip_suffix(b"\r")) {
        rest = shorter;
    }
    rest
}

fn with_lf(body: &[u8]) -> Vec<u8> {
    let mut changed = Vec::with_capacity(body.len());
    let mut bytes = body.iter().peekable();
    while let Some(byte) = bytes.next() {
        if *byte != b'\r' || bytes.peek() != Some(&&b'\n') {
            changed.push(*byte);
        }
    }
    changed
}

fn with_crlf(body: &[u8]) -> Vec<u8> {
    let (mut changed, mut last) = (Vec::with_capacity(body.len()), 0);
    for byte in body {
        if *byte == b'\n' && last != b'\r' {
            changed.push(b'\r');
        }
        changed.push(*byte);
        last = *byte;
    }
    changed
}

fn form_payload(body: &[u8]) -> Option<Vec<u8>> {
    let (mut form, mut decoded) = (FormPayload::new(), Vec::new());
    form.feed(body, &mut decoded);
    form.finish(&mut decoded).then_some(decoded)
}

/// As GitHub writes it: everything but letters, digits, `*`, `-`, `.` and `_` escaped, spaces as plus signs.
fn as_form(body: &[u8]) -> Option<Vec<u8>> {
    if body.starts_with(b"payload=") {
        return None;
    }
    let mut form = b"payload=".to_vec();
    for byte in body {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'*' | b'-' | b'.' | b'_' => form.push(*byte),
            b' ' => form.push(b'+'),
            other => form.extend_from_slice(format!("%{other:02X}").as_bytes()),
        }
    }
    Some(form)
}

fn decoded_once(body: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

fn from_latin1(body: &[u8]) -> Option<Vec<u8>> {
    if std::str::from_utf8(body).is_ok() {
        return None;
    }
    let text: String = body.iter().map(|byte| char::from(*byte)).collect();
    Some(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether one of the forms of `arrived` is what was `sent`, and what it is called.
    #[track_caller]
    fn found(arrived: &[u8], sent: &[u8], words: &str) {
        let (called, _) = forms(arrived, 4096)
            .find(|(_, bytes)| bytes == sent)
            .unwrap_or_else(|| {
                panic!(
                    "{:?} is not found from {:?}",
                    sent.escape_ascii(),
                    arrived.escape_ascii()
                )
            });
        assert!(called.contains(words), "{called}");
    }

    #[test]
    fn what_a_body_was_before_it_was_re_encoded_is_among_its_forms() {
        found(b"{}\n", b"{}", "without the line breaks");
        found(b"x\r\n\r\n", b"x", "without the line breaks");
        found(b"{}", b"{}\n", "line feed at its end");
        found(b"{}", b"{}\r\n", "carriage return");
        found(b"  x\t", b"x", "white space");
        found(b"a\r\nb\rc\r\n", b"a\nb\rc\n", "LF in place");
        found(b"a\nb\r\n", b"a\r\nb\r\n", "CRLF in place");
        found(b"\xEF\xBB\xBFx", b"x", "without its byte order mark");
        found(b"x", b"\xEF\xBB\xBFx", "byte order mark before");
        found(b"x", b"", "left empty");
        found(b"x=1&payload=%7B%22a%22%3A+1%7D", b"{\"a\": 1}", "from its form");
        found(b"{\"a b\": 1}", b"payload=%7B%22a+b%22%3A+1%7D", "of a form");
        found("\u{c3}\u{bc}".as_bytes(), "ü".as_bytes(), "encoded twice");
        found(b"caf\xE9", "café".as_bytes(), "Latin-1");
    }

    #[test]
    fn a_body_is_none_of_its_own_forms() {
        for body in [&b""[..], b"{}", b"[1, 2]", b"payload=x", b"a\nb", b"\xFF"] {
            assert!(forms(body, 4096).all(|(_, bytes)| bytes != body));
        }
    }
}
