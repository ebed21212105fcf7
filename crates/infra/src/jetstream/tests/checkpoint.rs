use std::sync::Arc;

use bytes::Bytes;
use domain::{Checkpoints, LogId};
use uuid::Uuid;

use super::server::Server;
use crate::jetstream::NatsCheckpoints;

fn notes(n: u128) -> NatsCheckpoints {
    NatsCheckpoints::new("TEST_CHECKPOINTS", LogId::new(Uuid::from_u128(n)))
}

#[tokio::test]
async fn a_note_of_any_size_is_read_by_another_process_and_by_none_of_another_log() {
    let server = Server::start();
    let (ours, others) = (notes(1), notes(1));
    ours.set(server.connect().await);
    others.set(server.connect().await);
    assert_eq!(others.load("reactors").await.unwrap(), None);
    // Nothing, a piece, a piece and a byte, several.
    for bytes in [0, 10, 512 * 1024, 512 * 1024 + 1, 3_000_000] {
        let note: Bytes = (0..bytes).map(|n| (n % 251) as u8).collect::<Vec<u8>>().into();
        ours.store("reactors", note.clone()).await.unwrap();
        assert_eq!(others.load("reactors").await.unwrap(), Some(note), "{bytes}");
    }
    let foreign = notes(2);
    foreign.set(server.connect().await);
    assert_eq!(foreign.load("reactors").await.unwrap(), None);
    let error = ours
        .store("reactors", vec![0; 64 * 512 * 1024 + 1].into())
        .await
        .unwrap_err();
    assert!(error.source.to_string().contains("too many"), "{error:?}");
    assert!(
        others.load("reactors").await.unwrap().is_some(),
        "the one before it stays"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writers_at_the_same_time_never_mix_their_notes() {
    let server = Server::start();
    let writers = [Arc::new(notes(1)), Arc::new(notes(1))];
    let mut writing = tokio::task::JoinSet::new();
    for (writer, fill) in writers.iter().zip(1_u8..) {
        writer.set(server.connect().await);
        let writer = Arc::clone(writer);
        writing.spawn(async move {
            for _ in 0..10 {
                writer
                    .store("reactors", vec![fill; 1_200_000].into())
                    .await
                    .unwrap();
            }
        });
    }
    let reader = notes(1);
    reader.set(server.connect().await);
    while !writing.is_empty() {
        if let Some(note) = reader.load("reactors").await.unwrap() {
            assert_eq!(note.len(), 1_200_000);
            assert!(note.iter().all(|byte| *byte == note[0]));
        }
        if let Some(ended) = writing.try_join_next() {
            ended.unwrap();
        }
    }
}
