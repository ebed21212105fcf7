//! Many large bodies at once cost little memory.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::testing::{ManualClock, MemoryLog};
use domain::{BodyError, BodyRef, BodyStore, BodyUpload, ContentHasher, LogId, NoReactors, Timestamp};
use futures_util::future::join_all;
use futures_util::stream;
use hmac::{Hmac, KeyInit, Mac};
use poem::{Body, Endpoint};
use sha2::Sha256;

use super::rig::{Delivery, Reply, SECRET};
use crate::{Ingest, IngestOptions, Secret, SourceOptions};

/// Uploads into files that have no name and so are gone with their handle.
struct Files;

struct FileUpload {
    file: File,
    bytes: u64,
    hasher: ContentHasher,
}

#[async_trait]
impl BodyStore for Files {
    async fn begin(&self) -> Result<Box<dyn BodyUpload>, BodyError> {
        Ok(Box::new(FileUpload {
            file: tempfile::tempfile().unwrap(),
            bytes: 0,
            hasher: ContentHasher::default(),
        }))
    }
    async fn read(&self, body: &BodyRef, _: u64, _: usize) -> Result<Bytes, BodyError> {
        Err(BodyError::Missing(body.sha256))
    }
    async fn stored_bytes(&self) -> Result<u64, BodyError> {
        Ok(0)
    }
}

#[async_trait]
impl BodyUpload for FileUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BodyError> {
        self.file.write_all_at(&bytes, self.bytes).unwrap();
        self.hasher.update(&bytes);
        self.bytes += bytes.len() as u64;
        // Let the others go on, as a store with a real disk does.
        tokio::task::yield_now().await;
        Ok(())
    }
    async fn read(&mut self, offset: u64, bytes_max: usize) -> Result<Bytes, BodyError> {
        let mut bytes = vec![0; bytes_max];
        let read = self.file.read_at(&mut bytes, offset).unwrap();
        bytes.truncate(read);
        tokio::task::yield_now().await;
        Ok(bytes.into())
    }
    async fn commit(self: Box<Self>) -> Result<BodyRef, BodyError> {
        Ok(BodyRef {
            sha256: self.hasher.finish(),
            bytes: self.bytes,
        })
    }
}

/// The most memory that this process ever had resident, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn thirty_two_large_bodies_at_once_stay_out_of_memory() {
    const AT_ONCE: usize = 32;
    const PIECES: usize = 128;
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    // One string of the whole length, under a name that is looked for: it must not be kept while it goes by.
    let pieces = || {
        let middle = std::iter::repeat_n(piece.clone(), PIECES);
        let whole = std::iter::once(Bytes::from_static(b"{\"action\":\"")).chain(middle);
        whole.chain([Bytes::from_static(b"\"}")])
    };
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    pieces().for_each(|piece| mac.update(&piece));
    let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
    let clock = Arc::new(ManualClock::at(Timestamp::default()));
    let log = Arc::new(MemoryLog::new(
        LogId::new(uuid::Uuid::from_u128(7)),
        Arc::<ManualClock>::clone(&clock),
    ));
    let source = SourceOptions::new("github".parse().unwrap(), vec![Secret::new("a", SECRET)]);
    let ingest = Ingest::build(
        IngestOptions::default(),
        vec![source],
        log,
        Arc::new(Files),
        clock,
        Arc::new(NoReactors),
    )
    .unwrap();

    let before = peak_kib();
    let replies = join_all((0..AT_ONCE).map(|_| async {
        let mut request = Delivery::new("push", "")
            .with("x-hub-signature-256", &signature)
            .request();
        request.headers_mut().remove("content-length");
        let pieces: Vec<_> = pieces().map(Ok::<_, std::io::Error>).collect();
        request.set_body(Body::from_bytes_stream(stream::iter(pieces)));
        Reply::of(ingest.get_response(request).await).await
    }))
    .await;
    assert!(replies.iter().all(|reply| reply.data()["action"].is_null()));
    let grown = peak_kib() - before;
    let sent = (AT_ONCE * PIECES * 64) as u64;
    assert!(grown < sent / 4, "{grown} KiB more for {sent} KiB of bodies");
}
