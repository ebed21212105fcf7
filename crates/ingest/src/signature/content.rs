//! What kinds of content a scheme takes, whatever its coding.

use crate::head::Head;
use crate::rejection::Rejection;

/// Takes JSON and forms; says whether it is a form.
pub(super) fn json_or_form(head: &Head) -> Result<bool, Rejection> {
    let content_type = head.name("Content-Type")?.ok_or(Rejection::ContentType)?;
    let form = domain::is_form(&content_type);
    if form || is_json(&content_type) {
        Ok(form)
    } else {
        Err(Rejection::ContentType)
    }
}

/// Takes JSON alone.
pub(super) fn json(head: &Head) -> Result<(), Rejection> {
    let content_type = head.name("Content-Type")?.ok_or(Rejection::ContentType)?;
    is_json(&content_type).then_some(()).ok_or(Rejection::ContentType)
}

/// Takes anything; says whether it is a form.
pub(super) fn any(head: &Head) -> Result<bool, Rejection> {
    Ok(head
        .name("Content-Type")?
        .is_some_and(|content_type| domain::is_form(&content_type)))
}

fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}
