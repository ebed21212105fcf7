//! Tests of the record codec.

use domain::NewEvent;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
struct Case {
    stream: StreamName,
    duplicate_of: Option<StreamName>,
    content: Option<ContentKey>,
    event: NewEvent,
    position: u64,
    revision: u64,
    recorded_at: i64,
}

fn stream() -> impl Strategy<Value = StreamName> {
    "[a-z]{1,10}-[a-z0-9_-]{1,20}\\.[!-~]{1,200}".prop_map(|text| text.parse().unwrap())
}

fn content() -> impl Strategy<Value = ContentKey> {
    let parts = (
        "[a-z0-9_-]{1,63}",
        "[a-z0-9_-]{1,63}",
        any::<[u8; 32]>(),
        proptest::option::of("\\PC{0,50}"),
        any::<i64>(),
    );
    parts.prop_map(|(tenant, source, sha256, sender_id, received_at)| ContentKey {
        tenant: tenant.parse().unwrap(),
        source: source.parse().unwrap(),
        body_sha256: ContentHash::new(sha256),
        sender_id,
        received_at: Timestamp::from_micros(received_at),
        window_ms: 0,
    })
}

fn data() -> impl Strategy<Value = EventData> {
    prop_oneof![
        vec(any::<u8>(), 0..2000).prop_map(|b| EventData::Inline(b.into())),
        (any::<[u8; 32]>(), any::<u64>()).prop_map(|(sha256, bytes)| EventData::Stored(BodyRef {
            sha256: ContentHash::new(sha256),
            bytes,
        })),
    ]
}

fn event() -> impl Strategy<Value = NewEvent> {
    let parts = (
        any::<u128>(),
        "[A-Za-z0-9]{1,100}",
        any::<u16>(),
        vec(any::<u8>(), 0..500),
        data(),
    );
    parts.prop_map(|(id, kind, schema, metadata, data)| NewEvent {
        id: EventId::new(Uuid::from_u128(id)),
        event_type: kind.parse().unwrap(),
        schema,
        metadata: metadata.into(),
        data,
    })
}

fn case() -> impl Strategy<Value = Case> {
    let parts = (
        stream(),
        proptest::option::of(stream()),
        proptest::option::of(content()),
        event(),
        any::<u64>(),
        any::<u64>(),
        any::<i64>(),
    );
    parts.prop_map(
        |(stream, duplicate_of, content, event, position, revision, recorded_at)| Case {
            stream,
            duplicate_of,
            content,
            event,
            position,
            revision,
            recorded_at,
        },
    )
}

fn encode(case: &Case) -> Vec<u8> {
    let mut buffer = Vec::new();
    let draft = RecordDraft {
        position: Position::new(case.position),
        revision: Revision::new(case.revision),
        recorded_at: Timestamp::from_micros(case.recorded_at),
        stream: &case.stream,
        duplicate_of: case.duplicate_of.as_ref(),
        content: case.content.as_ref(),
        event: &case.event,
    };
    draft.encode_into(&mut buffer);
    buffer
}

proptest! {
    #[test]
    fn an_event_survives_its_bytes(case in case(), tail in vec(any::<u8>(), 0..20), copy in any::<bool>()) {
        let mut bytes = encode(&case);
        bytes.extend_from_slice(&tail);
        let owner = Bytes::from(bytes);
        let (view, rest) = RecordView::split(&owner).unwrap();
        prop_assert_eq!(rest, &tail[..]);
        let event = view.to_event(&owner, copy).unwrap();
        prop_assert_eq!(event.position.get(), case.position);
        prop_assert_eq!(event.revision.get(), case.revision);
        prop_assert_eq!(event.recorded_at.as_micros(), case.recorded_at);
        prop_assert_eq!(event.stream, case.stream);
        prop_assert_eq!(event.duplicate_of, case.duplicate_of);
        prop_assert_eq!(
            (event.id, event.event_type, event.schema, event.metadata, event.data),
            (case.event.id, case.event.event_type, case.event.schema, case.event.metadata, case.event.data)
        );
        let read = view.content.map(|c| (c.received_at, c.body_sha256, c.tenant.to_owned(), c.source.to_owned(),
            c.sender_id.map(str::to_owned)));
        let written = case.content.map(|c| (c.received_at, c.body_sha256, c.tenant.to_string(), c.source.to_string(),
            c.sender_id));
        prop_assert_eq!(read, written);
    }

    #[test]
    fn a_key_entry_keeps_all_but_metadata_and_data(case in case()) {
        let bytes = encode(&case);
        let (view, _) = RecordView::split(&bytes).unwrap();
        let mut entry = Vec::new();
        view.encode_key(&mut entry);
        let (key, rest) = RecordView::split(&entry).unwrap();
        prop_assert!(rest.is_empty());
        prop_assert_eq!(
            (key.position, key.revision, key.id, key.stream, key.duplicate_of, key.content, key.recorded_at),
            (view.position, view.revision, view.id, view.stream, view.duplicate_of, view.content, view.recorded_at)
        );
        prop_assert!(key.metadata.is_empty());
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..300)) {
        let owner = Bytes::from(bytes);
        for record in Records::of(&owner) {
            let _ = record.to_event(&owner, false);
        }
    }

    #[test]
    fn damaged_events_are_read_without_a_panic(case in case(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let mut bytes = encode(&case);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        let owner = Bytes::from(bytes);
        for record in Records::of(&owner) {
            let _ = record.to_event(&owner, true);
        }
    }
}
