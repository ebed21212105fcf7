//! What every body store does: a directory, and an object store in memory and in a directory.

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;

use super::*;

async fn put(store: &dyn BodyStore, pieces: &[&[u8]]) -> BodyRef {
    let mut upload = store.begin().await.unwrap();
    for piece in pieces {
        upload.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    upload.commit().await.unwrap()
}

async fn get(store: &dyn BodyStore, body: &BodyRef, piece_bytes: usize) -> Vec<u8> {
    let mut whole = Vec::new();
    loop {
        let piece = store.read(body, whole.len() as u64, piece_bytes).await.unwrap();
        if piece.is_empty() {
            return whole;
        }
        whole.extend_from_slice(&piece);
    }
}

/// Runs every rule against a fresh store.
async fn keeps_the_contract(make: impl AsyncFn(PathBuf) -> Arc<dyn BodyStore>) {
    let folder = tempfile::tempdir().unwrap();
    let store = make(folder.path().join("bodies")).await;
    // Of one part, of exactly one, of several.
    for bytes in [0_usize, 1, 300_000, 8 * 1024 * 1024, 20_000_001] {
        let body: Vec<u8> = (0..bytes).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let pieces: Vec<&[u8]> = body.chunks(700_001).collect();
        let kept = put(&*store, &pieces).await;
        assert_eq!((kept.sha256, kept.bytes), (ContentHash::of(&body), bytes as u64));
        assert!(get(&*store, &kept, 3_000_000).await == body, "{bytes} bytes");
    }
    let kept = store.stored_bytes().await.unwrap();
    assert_eq!(kept, 1 + 300_000 + 8 * 1024 * 1024 + 20_000_001);

    let mut upload = store.begin().await.unwrap();
    upload.write(Bytes::from_static(b"hello world")).await.unwrap();
    assert_eq!(upload.read(3, 5).await.unwrap(), "lo wo");
    drop(upload);
    assert_eq!(
        store.stored_bytes().await.unwrap(),
        kept,
        "a dropped upload leaves nothing"
    );

    let uploads = (0..8).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { put(&*store, &[&[1; 300_000], b"end"]).await })
    });
    let mut bodies = HashSet::new();
    for upload in uploads.collect::<Vec<_>>() {
        bodies.insert(upload.await.unwrap());
    }
    assert_eq!(bodies.len(), 1);
    assert_eq!(store.stored_bytes().await.unwrap(), kept + 300_003);

    let nobody = BodyRef {
        sha256: ContentHash::of(b"nobody"),
        bytes: 6,
    };
    let missing = store.read(&nobody, 0, 10).await;
    assert!(
        matches!(missing, Err(BodyError::Missing(hash)) if hash == nobody.sha256),
        "{missing:?}"
    );
}

async fn objects(objects: Arc<dyn object_store::ObjectStore>, uploads: PathBuf) -> ObjectBodyStore {
    let folder = ObjectPath::from("team/hooklog");
    let (options, room) = (BodyOptions::default(), RoomHandle::default());
    ObjectBodyStore::over(objects, folder, options, uploads, room)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_directory_keeps_the_contract_of_bodies() {
    keeps_the_contract(async |path| {
        let store = DirectoryBodyStore::open(path, BodyOptions::default(), RoomHandle::default());
        Arc::new(store.unwrap()) as Arc<dyn BodyStore>
    })
    .await;
}

#[tokio::test]
async fn an_object_store_keeps_the_contract_of_bodies() {
    keeps_the_contract(async |path| Arc::new(objects(Arc::new(InMemory::new()), path).await) as _).await;
    let folder = tempfile::tempdir().unwrap();
    keeps_the_contract(async |path| {
        let options = BodyOptions {
            url: format!("file://{}/objects", folder.path().display()),
            ..BodyOptions::default()
        };
        fs::create_dir_all(folder.path().join("objects")).unwrap();
        Arc::new(
            ObjectBodyStore::open(options, &[], path, RoomHandle::default())
                .await
                .unwrap(),
        ) as _
    })
    .await;
}

#[tokio::test]
async fn what_one_process_puts_another_reads_and_no_upload_is_left() {
    let shared: Arc<dyn object_store::ObjectStore> = Arc::new(InMemory::new());
    let folder = tempfile::tempdir().unwrap();
    let first = objects(Arc::clone(&shared), folder.path().join("a")).await;
    let second = objects(shared, folder.path().join("b")).await;
    let body = put(&first, &[&[7; 600_000]]).await;
    assert_eq!(get(&second, &body, 100_000).await, vec![7; 600_000]);
    let left = fs::read_dir(folder.path().join("a").join(INCOMING))
        .unwrap()
        .count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_store_that_is_gone_is_trouble_and_no_missing_body() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = folder.path().join("bucket");
    fs::create_dir_all(&bucket).unwrap();
    let local = Arc::new(LocalFileSystem::new_with_prefix(&bucket).unwrap());
    let store = objects(local, folder.path().join("uploads")).await;
    let body = put(&store, &[b"kept"]).await;
    fs::remove_dir_all(&bucket).unwrap();
    let read = store.read(&body, 0, 10).await;
    assert!(matches!(read, Err(BodyError::Io { .. })), "{read:?}");
}

#[tokio::test]
async fn a_sweep_of_objects_moves_only_old_ones_that_nobody_names() {
    let folder = tempfile::tempdir().unwrap();
    let store = objects(Arc::new(InMemory::new()), folder.path().join("uploads")).await;
    let named = put(&store, &[b"named"]).await;
    let orphan = put(&store, &[b"orphan"]).await;
    let referenced: HashSet<ContentHash> = [named.sha256].into();
    let (now, later) = (
        SystemTime::now(),
        SystemTime::now() + SWEEP_AGE + Duration::from_secs(60),
    );
    let young = store.sweep_at(&referenced, false, now).await.unwrap();
    assert_eq!((young.seen, young.young, young.moved), (2, 1, 0));
    for dry_run in [true, false] {
        let swept = store.sweep_at(&referenced, dry_run, later).await.unwrap();
        assert_eq!(
            (swept.seen, swept.moved, swept.moved_bytes),
            (2, 1, 6),
            "dry run: {dry_run}"
        );
    }
    assert_eq!(store.stored_bytes().await.unwrap(), 5);
    assert_eq!(get(&store, &named, 10).await, b"named");
    // In the trash it is still found, for the case that it was put again just then.
    assert_eq!(get(&store, &orphan, 10).await, b"orphan");
    assert_eq!(store.sweep_at(&referenced, false, later).await.unwrap().moved, 0);
    // An event named it in that very moment: the next sweep brings it back, and one more has nothing to do.
    let referenced: HashSet<ContentHash> = [named.sha256, orphan.sha256].into();
    for (dry_run, restored, bytes) in [(true, 1, 5), (false, 1, 11), (false, 0, 11)] {
        let swept = store.sweep_at(&referenced, dry_run, later).await.unwrap();
        assert_eq!((swept.restored, swept.moved), (restored, 0));
        assert_eq!(store.stored_bytes().await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn a_shared_folder_is_synced_before_a_body_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let options = BodyOptions {
        url: format!("file://{}/shared", folder.path().display()),
        ..BodyOptions::default()
    };
    let uploads = folder.path().join("uploads");
    let store = ObjectBodyStore::open(options, &[], uploads, RoomHandle::default()).await;
    // The store syncs only when it is asked; a test that kills the program could not tell.
    let told = format!("{:?}", store.unwrap());
    assert!(told.contains("fsync: true"), "{told}");
}

#[tokio::test]
async fn an_address_that_is_none_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    for url in ["nonsense with a key", "ftp://key@host/folder"] {
        let options = BodyOptions {
            url: url.into(),
            ..BodyOptions::default()
        };
        let opened = ObjectBodyStore::open(options, &[], folder.path(), RoomHandle::default()).await;
        let told = format!("{:?}", opened.unwrap_err());
        assert!(!told.contains("key"), "{told}");
    }
}
