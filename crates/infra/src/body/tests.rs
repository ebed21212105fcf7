//! On a real directory.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::*;

fn store(directory: &Path) -> DirectoryBodyStore {
    store_with(directory, BodyOptions::default())
}

fn store_with(directory: &Path, options: BodyOptions) -> DirectoryBodyStore {
    DirectoryBodyStore::open(directory, options, RoomHandle::default()).unwrap()
}

async fn put(store: &DirectoryBodyStore, pieces: &[&[u8]]) -> BodyRef {
    let mut upload = store.begin().await.unwrap();
    for piece in pieces {
        upload.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    upload.commit().await.unwrap()
}

async fn get(store: &DirectoryBodyStore, body: &BodyRef, piece_bytes: usize) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let piece = store.read(body, whole.len() as u64, piece_bytes).await.unwrap();
        if piece.is_empty() {
            return whole;
        }
        whole.extend_from_slice(&piece);
    }
}

/// Every file below the store, bodies or not.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![directory.to_path_buf()];
    while let Some(next) = directories.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path)
            } else {
                found.push(path)
            }
        }
    }
    found
}

fn age(path: &Path, by: Duration) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - by).unwrap();
}

#[tokio::test]
async fn a_large_body_comes_back_byte_for_byte() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let bytes: Vec<u8> = (0..3_000_000_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()[1])
        .collect();
    let pieces: Vec<&[u8]> = bytes.chunks(100_003).collect();
    let body = put(&store, &pieces).await;
    assert_eq!(body.sha256, ContentHash::of(&bytes));
    assert_eq!(body.bytes, 3_000_000);
    assert_eq!(get(&store, &body, 999_999).await, bytes);
    assert!(store.verify_body(&body).await.unwrap());
    let name = body.sha256.to_string();
    assert!(directory.path().join(&name[..2]).join(&name[2..]).is_file());
    assert_eq!(store.stored_bytes().await.unwrap(), 3_000_000);
}

#[tokio::test]
async fn an_upload_can_be_read_before_it_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let mut upload = store.begin().await.unwrap();
    upload.write(Bytes::from_static(b"hello ")).await.unwrap();
    assert_eq!(upload.read(0, 100).await.unwrap(), "hello ");
    upload.write(Bytes::from_static(b"world")).await.unwrap();
    assert_eq!(upload.read(3, 5).await.unwrap(), "lo wo");
    assert_eq!(upload.read(11, 5).await.unwrap(), "");
    let body = upload.commit().await.unwrap();
    assert_eq!(get(&store, &body, 4).await, b"hello world");
}

#[tokio::test]
async fn an_upload_that_is_dropped_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let options = BodyOptions {
        uploads_bytes_max: 10,
        write_piece_bytes: 4,
        ..BodyOptions::default()
    };
    let store = store_with(directory.path(), options);
    let mut upload = store.begin().await.unwrap();
    upload.write(Bytes::from_static(b"12345678")).await.unwrap();
    let over = upload.write(Bytes::from_static(b"901")).await;
    assert!(matches!(over, Err(BodyError::NoRoom(_))), "{over:?}");
    let mut other = store.begin().await.unwrap();
    let over = other.write(Bytes::from_static(b"abc")).await;
    assert!(
        matches!(over, Err(BodyError::NoRoom(_))),
        "the quota is for all uploads: {over:?}"
    );
    drop(upload);
    other.write(Bytes::from_static(b"0123456789")).await.unwrap();
    drop(other);
    assert_eq!(files(directory.path()), Vec::<PathBuf>::new());
    put(&store, &[b"0123456789"]).await;
    put(&store, &[b"9876543210"]).await;
}

#[tokio::test]
async fn a_crash_during_an_upload_leaves_nothing_after_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let store_before = store(directory.path());
    let kept = put(&store_before, &[b"kept"]).await;
    let mut upload = store_before.begin().await.unwrap();
    upload.write(Bytes::from(vec![7; 600_000])).await.unwrap();
    std::mem::forget(upload);
    assert_eq!(files(directory.path()).len(), 2);
    let reader = DirectoryBodyStore::open_for_reading(directory.path());
    assert_eq!(get(&reader, &kept, 10).await, b"kept");
    assert!(reader.begin().await.is_err(), "a reader took an upload");
    assert_eq!(files(directory.path()).len(), 2, "a reader removed something");
    let store_after = store(directory.path());
    assert_eq!(files(directory.path()).len(), 1);
    assert_eq!(get(&store_after, &kept, 10).await, b"kept");
}

#[tokio::test]
async fn putting_an_existing_body_refreshes_and_heals_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let body = put(&store, &[b"same"]).await;
    let path = store.path_of(&body.sha256);
    fs::write(&path, b"sam").unwrap();
    age(&path, 2 * SWEEP_AGE);
    assert!(!store.verify_body(&body).await.unwrap());
    let damaged = store.read(&body, 0, 10).await;
    assert!(matches!(damaged, Err(BodyError::Io { .. })), "{damaged:?}");
    assert_eq!(put(&store, &[b"sa", b"me"]).await, body);
    assert!(store.verify_body(&body).await.unwrap());
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    assert!(modified.elapsed().unwrap() < SWEEP_AGE);
    assert_eq!(store.stored_bytes().await.unwrap(), 4);
}

#[tokio::test]
async fn a_store_that_is_not_there_is_trouble_and_no_missing_body() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let body = BodyRef {
        sha256: ContentHash::of(b"kept"),
        bytes: 4,
    };
    std::fs::remove_dir_all(directory.path()).unwrap();
    let read = store.read(&body, 0, 10).await;
    assert!(matches!(read, Err(BodyError::Io { .. })), "{read:?}");
}

#[tokio::test]
async fn a_body_that_is_not_there_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let body = BodyRef {
        sha256: ContentHash::of(b"nobody"),
        bytes: 6,
    };
    let read = store.read(&body, 0, 10).await;
    assert!(
        matches!(read, Err(BodyError::Missing(hash)) if hash == body.sha256),
        "{read:?}"
    );
    assert!(matches!(
        store.verify_body(&body).await,
        Err(BodyError::Missing(_))
    ));
}

#[tokio::test]
async fn at_the_disks_floor_no_upload_begins() {
    let directory = tempfile::tempdir().unwrap();
    let room = RoomHandle::default();
    let store = DirectoryBodyStore::open(directory.path(), BodyOptions::default(), room.clone()).unwrap();
    room.set(crate::budget::Room::Floor);
    assert!(matches!(store.begin().await, Err(BodyError::NoRoom(_))));
    room.set(crate::budget::Room::Tight);
    put(&store, &[b"fits"]).await;
}

#[tokio::test]
async fn many_uploads_of_one_body_at_once_keep_it_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let uploads = (0..16).map(|_| {
        let store = store.clone();
        tokio::spawn(async move { put(&store, &[&[1; 300_000], &[2; 300_000]]).await })
    });
    let mut bodies = HashSet::new();
    for upload in uploads.collect::<Vec<_>>() {
        bodies.insert(upload.await.unwrap());
    }
    assert_eq!(bodies.len(), 1);
    assert_eq!(files(directory.path()).len(), 1);
    assert_eq!(store.stored_bytes().await.unwrap(), 600_000);
}

#[test]
fn a_directory_whose_name_is_not_durable_is_not_taken_for_one_that_is() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("ab");
    let failed = super::file::make_durable(&path, || Err(io::Error::other("the disk does not answer")));
    assert!(failed.is_err());
    let mut synced = false;
    super::file::make_durable(&path, || {
        synced = true;
        Ok(())
    })
    .unwrap();
    assert!(synced && path.is_dir());
}

#[tokio::test]
async fn a_sweep_moves_only_old_bodies_that_nobody_names() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(&directory.path().join("bodies"));
    let trash = directory.path().join("trash");
    let (named, young, old) = (
        put(&store, &[b"named"]).await,
        put(&store, &[b"young"]).await,
        put(&store, &[b"old one"]).await,
    );
    age(&store.path_of(&named.sha256), 2 * SWEEP_AGE);
    age(
        &store.path_of(&young.sha256),
        SWEEP_AGE - Duration::from_secs(3600),
    );
    age(&store.path_of(&old.sha256), SWEEP_AGE + Duration::from_secs(3600));
    let referenced: HashSet<ContentHash> = [named.sha256].into();
    let expected = Swept {
        seen: 3,
        moved: 1,
        moved_bytes: 7,
        young: 1,
        restored: 0,
    };
    assert_eq!(
        store.sweep(referenced.clone(), &trash, true).await.unwrap(),
        expected
    );
    assert_eq!(get(&store, &old, 10).await, b"old one", "a dry run moved it");
    assert_eq!(
        store.sweep(referenced.clone(), &trash, false).await.unwrap(),
        expected
    );
    assert!(matches!(store.read(&old, 0, 1).await, Err(BodyError::Missing(_))));
    assert_eq!(fs::read(trash.join(old.sha256.to_string())).unwrap(), b"old one");
    assert_eq!(get(&store, &named, 10).await, b"named");
    assert_eq!(get(&store, &young, 10).await, b"young");
    assert_eq!(store.sweep(referenced, &trash, false).await.unwrap().moved, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn however_a_body_is_cut_its_name_and_bytes_are_the_same(
        pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..12),
        write_piece_bytes in 1_usize..400,
        read_piece_bytes in 1_usize..500,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let options = BodyOptions { write_piece_bytes, ..BodyOptions::default() };
            let store = store_with(directory.path(), options);
            let cut: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let whole = pieces.concat();
            let body = put(&store, &cut).await;
            assert_eq!(body, BodyRef { sha256: ContentHash::of(&whole), bytes: whole.len() as u64 });
            assert_eq!(get(&store, &body, read_piece_bytes).await, whole);
        });
    }
}
