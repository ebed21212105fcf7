//! The field `payload` of a form.

use std::fmt::Write as _;

use crate::form::FormPayload;

/// The first byte says how the form is cut into pieces, the rest is the form. However it is cut, it says what the reader of the
/// log says; and whatever is encoded as a field is read back as it was.
///
/// # Panics
/// On a finding.
pub fn form(data: &[u8]) {
    let Some((piece, form)) = data.split_first() else {
        return;
    };
    let piece = usize::from(*piece).max(1);
    assert_eq!(decoded(form, piece), domain::decode_form_payload(form));
    let mut encoded = String::from("other=1&payload=");
    for byte in form {
        if byte.is_ascii_alphanumeric() {
            encoded.push(char::from(*byte));
        } else if *byte == b' ' {
            encoded.push('+');
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded.push_str("&payload=another");
    assert_eq!(decoded(encoded.as_bytes(), piece).as_deref(), Some(form));
}

fn decoded(form: &[u8], piece: usize) -> Option<Vec<u8>> {
    let (mut payload, mut decoded) = (FormPayload::new(), Vec::new());
    for piece in form.chunks(piece) {
        payload.feed(piece, &mut decoded);
    }
    payload.finish(&mut decoded).then_some(decoded)
}
