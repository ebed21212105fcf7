//! Names made of what outsiders say: keys, subjects, streams; and the texts that name times, events and hosts.
#![expect(clippy::expect_used, reason = "a finding is a panic")]

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

use percent_encoding::percent_decode_str;

use crate::{
    ContentHash, DeliveryKey, DestinationName, EventType, LogId, Position, SourceName, StreamName, TenantId,
    Timestamp, escape_part, is_true_loopback, subject_part,
};

const PART_BYTES_MAX: usize = 128;
const KEY_BYTES_MAX: usize = 200;

/// Lines: a hook, a sender's id, another id. Escaping loses nothing, names keep to their letters and lengths, two ids never
/// share a key; and every text that is read as a name says the same when it is shown again.
///
/// # Panics
/// On a finding.
pub fn names(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut lines = text.split('\n');
    let mut next = || lines.next().unwrap_or_default();
    let (hook, id, other) = (next(), next(), next());
    for part in [hook, id, other, text] {
        escaped(part);
    }
    keys(hook, id, other);
    for part in [hook, id, other] {
        shown_again::<Timestamp>(part);
        shown_again::<Position>(part);
        shown_again::<LogId>(part);
        shown_again::<ContentHash>(part);
        shown_again::<StreamName>(part);
        shown_again::<DeliveryKey>(part);
        shown_again::<EventType>(part);
        shown_again::<TenantId>(part);
        shown_again::<SourceName>(part);
        shown_again::<DestinationName>(part);
    }
    hosts(hook, id);
}

fn escaped(part: &str) {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'%');
    let escaped = escape_part(part);
    assert!(escaped.bytes().all(plain), "{escaped}");
    let back = percent_decode_str(&escaped).decode_utf8().expect("it was text");
    assert_eq!(back, part);
    let subject = subject_part(Some(part));
    assert!((1..=PART_BYTES_MAX).contains(&subject.len()), "{subject}");
    assert!(subject.bytes().all(|b| plain(b) || b == b'~'), "{subject}");
}

fn keys(hook: &str, id: &str, other: &str) {
    let source: SourceName = "github".parse().expect("a valid name");
    let tenant = TenantId::default();
    // Header values hold no NUL, and that is what the hash of a long key counts on.
    let hook = hook.replace('\0', "");
    let key = DeliveryKey::of_sender(&source, Some(&hook), id);
    let another = DeliveryKey::of_sender(&source, Some(&hook), other);
    assert_eq!(key == another, id == other, "{key} {another}");
    assert!(key.as_str().len() <= KEY_BYTES_MAX, "{key}");
    assert_eq!(key.as_str().parse().as_ref(), Ok(&key));
    let stream = StreamName::of_delivery(&tenant, &key);
    assert_eq!(stream.as_str().parse().as_ref(), Ok(&stream));
    assert_eq!((stream.tenant(), stream.id()), (tenant.as_str(), key.as_str()));
}

fn shown_again<T: FromStr + Display + PartialEq>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        let shown = value.to_string();
        assert!(
            shown.parse::<T>().is_ok_and(|again| again == value),
            "{text:?} {shown:?}"
        );
    }
}

/// Whoever is let in without a key asked for a loopback host by its plain name, from no other page.
fn hosts(host: &str, origin: &str) {
    let here = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let origin = (!origin.is_empty()).then_some(origin);
    if !is_true_loopback(here, Some(host), origin, false) {
        return;
    }
    let host = host.to_ascii_lowercase();
    let name = host_name(&host);
    let loopback = name
        .parse::<IpAddr>()
        .is_ok_and(|a| a.to_canonical().is_loopback());
    assert!(name == "localhost" || loopback, "{host:?}");
    assert!(!host.contains(['@', '/', '\\', ' ', '?', '#']), "{host:?}");
    let Some(origin) = origin else {
        return;
    };
    let (_, asked) = origin.split_once("://").expect("an origin has a scheme");
    assert_eq!(host_name(&asked.to_ascii_lowercase()), name, "{origin:?}");
}

fn host_name(host: &str) -> &str {
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    bracketed.map_or_else(
        || host.split_once(':').map_or(host, |(name, _)| name),
        |(inner, _)| inner,
    )
}
