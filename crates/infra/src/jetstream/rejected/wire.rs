//! How a rejected request looks in the stream: its subject, and one JSON document.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::{RejectedRequest, SourceName, TenantId, subject_part};
use serde::{Deserialize, Serialize};

/// The first part of every subject.
const PREFIX: &str = "hooklog.rejected.v1";

/// All subjects of the stream.
pub(super) fn all() -> String {
    format!("{PREFIX}.>")
}

/// Where a request is published: tenant first, so that credentials can be limited to one.
pub(super) fn subject(request: &RejectedRequest) -> String {
    let parts = [request.tenant.as_str(), request.source.as_str(), &request.reason];
    let [tenant, source, reason] = parts.map(|part| subject_part(Some(part)));
    format!("{PREFIX}.{tenant}.{source}.{reason}")
}

/// The subjects of a tenant, or of one of its sources.
pub(super) fn subjects(tenant: &TenantId, source: Option<&SourceName>) -> String {
    let tenant = subject_part(Some(tenant.as_str()));
    let source = source.map_or("*".into(), |source| subject_part(Some(source.as_str())));
    format!("{PREFIX}.{tenant}.{source}.*")
}

/// The source and the reason in a subject.
pub(super) fn kind_of(subject: &str) -> Option<(&str, &str)> {
    let mut parts = subject
        .strip_prefix(PREFIX)?
        .strip_prefix('.')?
        .split('.')
        .skip(1);
    Some((parts.next()?, parts.next()?))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(flatten)]
    request: &'a RejectedRequest,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    #[serde(flatten)]
    request: RejectedRequest,
    body_base64: Option<String>,
}

/// A request as a message.
pub(super) fn write(request: &RejectedRequest) -> Bytes {
    let body_base64 = request.body.as_ref().map(|body| STANDARD.encode(body));
    // Strings, numbers and lists: serialising into memory cannot fail.
    let written = serde_json::to_vec(&Written { request, body_base64 });
    written.unwrap_or_default().into()
}

/// A message as a request, without its body.
pub(super) fn read(message: &[u8]) -> Option<RejectedRequest> {
    serde_json::from_slice(message).ok()
}

/// A message as a request, its body included.
pub(super) fn read_whole(message: &[u8]) -> Option<RejectedRequest> {
    let Read {
        mut request,
        body_base64,
    } = serde_json::from_slice(message).ok()?;
    let body = body_base64.map(|text| STANDARD.decode(text)).transpose().ok()?;
    request.body = body.map(Bytes::from);
    Some(request)
}
