//! The body store on an object store, which several processes share: S3, Google Cloud Storage, Azure, or a directory.
//!
//! A body is written to a file of this process while it is hashed, and put under its hash when it is whole; only then may an
//! event name it. Never here: deleting a body of which there is no copy; sweeping copies it to the trash first.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use domain::{BodyError, BodyRef, BodyStore, BodyUpload, ContentHash};
use futures_util::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt as _, ObjectStoreScheme, PutMode,
    PutOptions, PutPayload, WriteMultipart,
};
use secrecy::{ExposeSecret as _, SecretString};

use super::sweep::{SWEEP_AGE, Swept};
use super::upload::Upload;
use super::{BodyOptions, DirectoryBodyStore};
use crate::budget::RoomHandle;

/// Longer bodies are put in parts of this size. S3 takes none under 5 MiB but the last.
const PART_BYTES: usize = 8 * 1024 * 1024;
/// How many parts of a body are under way at the same time.
const PARTS_IN_FLIGHT: usize = 2;
/// What tells a store without a body from one that is not there.
const MARKER: &str = "hooklog-bodies";

/// Why the object store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ObjectStoreError {
    /// The address is none. What was given is not repeated: it may hold a key.
    #[error(
        "it is no address of an object store such as s3://bucket/folder, gs://…, az://… or file:///folder"
    )]
    Address,
    /// It can't be used.
    #[error("the object store can't be used")]
    Store(#[source] object_store::Error),
    /// The folder for uploads can't be used.
    #[error("the folder for uploads can't be used")]
    Uploads(#[source] BodyError),
}

/// Bodies in an object store. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ObjectBodyStore {
    objects: Arc<dyn ObjectStore>,
    folder: Path,
    /// Where uploads are until they are put.
    uploads: Arc<DirectoryBodyStore>,
}

impl ObjectBodyStore {
    /// Opens the store at `options.url`. `environment` holds what the provider's own tools take from the environment, as
    /// `AWS_ACCESS_KEY_ID`; `uploads` is a folder of this process.
    ///
    /// # Errors
    /// When the address is none, or the store can't be written.
    pub async fn open(
        options: BodyOptions,
        environment: &[(String, SecretString)],
        uploads: impl Into<PathBuf>,
        room: RoomHandle,
    ) -> Result<Self, ObjectStoreError> {
        let url = options.url.parse().map_err(|_| ObjectStoreError::Address)?;
        let (scheme, folder) = ObjectStoreScheme::parse(&url).map_err(|_| ObjectStoreError::Address)?;
        if matches!(scheme, ObjectStoreScheme::Local) {
            // What is acknowledged is synced, which this store does only when it is asked.
            let objects = LocalFileSystem::new().with_fsync(true);
            return Self::over(Arc::new(objects), folder, options, uploads, room).await;
        }
        let environment = environment
            .iter()
            .map(|(name, value)| (name.to_lowercase(), value.expose_secret().to_owned()));
        let (objects, folder) =
            object_store::parse_url_opts(&url, environment).map_err(ObjectStoreError::Store)?;
        Self::over(objects.into(), folder, options, uploads, room).await
    }

    /// Opens a folder of any object store.
    ///
    /// # Errors
    /// When the store can't be written.
    pub async fn over(
        objects: Arc<dyn ObjectStore>,
        folder: Path,
        options: BodyOptions,
        uploads: impl Into<PathBuf>,
        room: RoomHandle,
    ) -> Result<Self, ObjectStoreError> {
        let uploads = DirectoryBodyStore::open(uploads, options, room).map_err(ObjectStoreError::Uploads)?;
        let store = Self {
            objects,
            folder,
            uploads: Arc::new(uploads),
        };
        let create = PutOptions {
            mode: PutMode::Create,
            ..PutOptions::default()
        };
        let (marker, mark) = (store.marker(), PutPayload::from_static(b"1"));
        let marked = store.objects.put_opts(&marker, mark, create);
        match marked.await {
            Ok(_) | Err(Error::AlreadyExists { .. }) => Ok(store),
            Err(error) => Err(ObjectStoreError::Store(error)),
        }
    }

    fn marker(&self) -> Path {
        self.folder.clone().join(MARKER)
    }

    fn bodies(&self) -> Path {
        self.folder.clone().join("bodies")
    }

    fn path_of(&self, hash: &ContentHash) -> Path {
        let name = hash.to_string();
        let (first, rest) = name.split_at_checked(2).unwrap_or((&name, ""));
        self.bodies().join(first).join(rest)
    }

    fn trash(&self) -> Path {
        self.folder.clone().join("trash")
    }

    fn trash_of(&self, hash: &ContentHash) -> Path {
        self.trash().join(hash.to_string())
    }

    /// Tells a body that is not there from a store that is not there.
    async fn missing(&self, body: &BodyRef, error: Error) -> BodyError {
        if !matches!(error, Error::NotFound { .. }) {
            return failed("read a body")(error);
        }
        match self.objects.head(&self.marker()).await {
            Ok(_) => BodyError::Missing(body.sha256),
            Err(error) => failed("read a body")(error),
        }
    }

    async fn put(&self, body: &BodyRef, upload: &mut Upload) -> Result<(), BodyError> {
        let path = self.path_of(&body.sha256);
        if body.bytes <= PART_BYTES as u64 {
            let mut pieces = Vec::new();
            let mut at = 0;
            while at < body.bytes {
                let piece = piece(upload, at).await?;
                at += piece.len() as u64;
                pieces.push(piece);
            }
            let put = self.objects.put(&path, PutPayload::from_iter(pieces)).await;
            return put.map(|_| ()).map_err(failed("keep a body"));
        }
        let begun = self
            .objects
            .put_multipart(&path)
            .await
            .map_err(failed("keep a body"))?;
        let mut parts = WriteMultipart::new_with_chunk_size(begun, PART_BYTES);
        match fill(body, upload, &mut parts).await {
            Ok(()) => parts.finish().await.map(|_| ()).map_err(failed("keep a body")),
            Err(error) => {
                // What can't be taken back is taken back by the provider's rule for unfinished uploads.
                let _left = parts.abort().await;
                Err(error)
            }
        }
    }

    /// Moves bodies older than [`SWEEP_AGE`] that are not in `referenced` to the trash, and what is referenced back from there.
    /// `referenced` must have been read from the whole log up to its head. One that is put again at the very moment in which it is
    /// moved is found in the trash by those who read it, and moved back by the next sweep.
    ///
    /// # Errors
    /// When an object can't be read or moved; what was moved before stays in the trash.
    pub async fn sweep(&self, referenced: &HashSet<ContentHash>, dry_run: bool) -> Result<Swept, BodyError> {
        self.sweep_at(referenced, dry_run, SystemTime::now()).await
    }

    pub(super) async fn sweep_at(
        &self,
        referenced: &HashSet<ContentHash>,
        dry_run: bool,
        now: SystemTime,
    ) -> Result<Swept, BodyError> {
        let mut swept = Swept {
            restored: self.restore(referenced, dry_run).await?,
            ..Swept::default()
        };
        let mut listed = self.objects.list(Some(&self.bodies()));
        while let Some(object) = listed.try_next().await.map_err(failed("list bodies"))? {
            let Some(hash) = hash_of(&object.location) else {
                continue;
            };
            swept.seen += 1;
            if referenced.contains(&hash) {
                continue;
            }
            // It may have been refreshed since it was listed.
            if !is_old(&object, now) || !self.is_old_still(&object.location, now).await? {
                swept.young += 1;
                continue;
            }
            if !dry_run {
                let trash = self.trash_of(&hash);
                let copied = self.objects.copy(&object.location, &trash).await;
                copied.map_err(failed("move a body to the trash"))?;
                let deleted = self.objects.delete(&object.location).await;
                deleted.map_err(failed("move a body to the trash"))?;
            }
            swept.moved += 1;
            swept.moved_bytes += object.size;
        }
        Ok(swept)
    }

    /// Copies back what an earlier sweep took while it was put again. The copy in the trash stays: it is whoever empties it who
    /// deletes.
    async fn restore(&self, referenced: &HashSet<ContentHash>, dry_run: bool) -> Result<u64, BodyError> {
        let mut restored = 0;
        let mut listed = self.objects.list(Some(&self.trash()));
        while let Some(object) = listed.try_next().await.map_err(failed("list the trash"))? {
            let hash = object.location.filename().and_then(|name| name.parse().ok());
            let Some(hash) = hash.filter(|hash| referenced.contains(hash)) else {
                continue;
            };
            match self.objects.head(&self.path_of(&hash)).await {
                Ok(_) => continue,
                Err(Error::NotFound { .. }) => restored += 1,
                Err(error) => return Err(failed("look at a body")(error)),
            }
            if !dry_run {
                let copied = self.objects.copy(&object.location, &self.path_of(&hash)).await;
                copied.map_err(failed("move a body back"))?;
            }
        }
        Ok(restored)
    }

    async fn is_old_still(&self, path: &Path, now: SystemTime) -> Result<bool, BodyError> {
        let object = self.objects.head(path).await.map_err(failed("look at a body"))?;
        Ok(is_old(&object, now))
    }
}

/// A clock that was set back makes a body young, never old.
fn is_old(object: &ObjectMeta, now: SystemTime) -> bool {
    let age = now.duration_since(SystemTime::from(object.last_modified));
    age.is_ok_and(|age| age > SWEEP_AGE)
}

/// The body that an object is.
fn hash_of(path: &Path) -> Option<ContentHash> {
    let mut parts: Vec<String> = path.parts().map(|part| part.as_ref().to_owned()).collect();
    let rest = parts.pop()?;
    let first = parts.pop()?;
    format!("{first}{rest}").parse().ok()
}

fn failed(operation: &'static str) -> impl Fn(Error) -> BodyError {
    move |error| BodyError::Io {
        operation,
        source: io::Error::other(error),
    }
}

async fn piece(upload: &mut Upload, at: u64) -> Result<Bytes, BodyError> {
    let piece = upload.read(at, PART_BYTES).await?;
    if piece.is_empty() {
        return Err(BodyError::Io {
            operation: "keep a body",
            source: io::ErrorKind::UnexpectedEof.into(),
        });
    }
    Ok(piece)
}

async fn fill(body: &BodyRef, upload: &mut Upload, parts: &mut WriteMultipart) -> Result<(), BodyError> {
    let mut at = 0;
    while at < body.bytes {
        let piece = piece(upload, at).await?;
        at += piece.len() as u64;
        let room = parts.wait_for_capacity(PARTS_IN_FLIGHT).await;
        room.map_err(failed("keep a body"))?;
        parts.put(piece);
    }
    Ok(())
}

#[async_trait]
impl BodyStore for ObjectBodyStore {
    async fn begin(&self) -> Result<Box<dyn BodyUpload>, BodyError> {
        Ok(Box::new(ObjectUpload {
            upload: self.uploads.begin_upload().await?,
            store: self.clone(),
        }))
    }

    async fn read(&self, body: &BodyRef, offset: u64, bytes_max: usize) -> Result<Bytes, BodyError> {
        let left = body.bytes.saturating_sub(offset);
        let most = bytes_max.min(self.uploads.options().read_piece_bytes_max) as u64;
        let wanted = left.min(most);
        if wanted == 0 {
            return Ok(Bytes::new());
        }
        let range = || GetOptions {
            range: Some(GetRange::Bounded(offset..offset + wanted)),
            ..GetOptions::default()
        };
        let mut found = self.objects.get_opts(&self.path_of(&body.sha256), range()).await;
        if matches!(found, Err(Error::NotFound { .. })) {
            // A sweep may have taken it while it was put again.
            let in_trash = self.objects.get_opts(&self.trash_of(&body.sha256), range()).await;
            found = in_trash.or(found);
        }
        let found = match found {
            Ok(found) => found,
            Err(error) => return Err(self.missing(body, error).await),
        };
        let bytes = found.bytes().await.map_err(failed("read a body"))?;
        // Shorter than its name promises: damaged, and not to be taken for the end.
        if bytes.len() as u64 == wanted {
            Ok(bytes)
        } else {
            Err(BodyError::Io {
                operation: "read a body",
                source: io::ErrorKind::UnexpectedEof.into(),
            })
        }
    }

    async fn stored_bytes(&self) -> Result<u64, BodyError> {
        let mut bytes = 0;
        let mut listed = self.objects.list(Some(&self.bodies()));
        while let Some(object) = listed.try_next().await.map_err(failed("list bodies"))? {
            bytes += object.size;
        }
        Ok(bytes)
    }
}

/// An upload under way.
struct ObjectUpload {
    upload: Upload,
    store: ObjectBodyStore,
}

#[async_trait]
impl BodyUpload for ObjectUpload {
    async fn write(&mut self, bytes: Bytes) -> Result<(), BodyError> {
        self.upload.write(bytes).await
    }

    async fn read(&mut self, offset: u64, bytes_max: usize) -> Result<Bytes, BodyError> {
        self.upload.read(offset, bytes_max).await
    }

    async fn commit(mut self: Box<Self>) -> Result<BodyRef, BodyError> {
        let began = std::time::Instant::now();
        let body = self.upload.finish().await?;
        self.store.put(&body, &mut self.upload).await?;
        metrics::counter!("hooklog_bodies_kept_total").increment(1);
        metrics::counter!("hooklog_bodies_kept_bytes_total").increment(body.bytes);
        metrics::histogram!("hooklog_body_keep_duration_seconds").record(began.elapsed().as_secs_f64());
        Ok(body)
    }
}
