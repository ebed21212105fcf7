//! What kinds of content a scheme takes.

use crate::head::Head;
use crate::rejection::Rejection;

/// Takes JSON and forms; says whether it is a form.
pub(super) fn json_or_form(head: &Head) -> Result<bool, Rejection> {
    let content_type = plain(head)?.ok_or(Rejection::ContentType)?;
    let form = domain::is_form(&content_type);
    if form || is_json(&content_type) {
        Ok(form)
    } else {
        Err(Rejection::ContentType)
    }
}

/// Takes JSON alone.
pub(super) fn json(head: &Head) -> Result<(), Rejection> {
    let content_type = plain(head)?.ok_or(Rejection::ContentType)?;
    is_json(&content_type).then_some(()).ok_or(Rejection::ContentType)
}

/// Takes anything; says whether it is a form.
pub(super) fn any(head: &Head) -> Result<bool, Rejection> {
    Ok(plain(head)?.is_some_and(|content_type| domain::is_form(&content_type)))
}

fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// The type of a body that is not encoded.
fn plain(head: &Head) -> Result<Option<String>, Rejection> {
    let encoding = head.name("Content-Encoding")?;
    if encoding.is_some_and(|e| !e.eq_ignore_ascii_case("identity")) {
        return Err(Rejection::ContentType);
    }
    head.name("Content-Type")
}
