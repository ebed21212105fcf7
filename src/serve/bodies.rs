//! Where long bodies are: in the data directory, or in a store that several processes share.

use std::sync::Arc;

use anyhow::Context as _;
use domain::BodyStore;
use infra::body::{DirectoryBodyStore, ObjectBodyStore};
use infra::budget::RoomHandle;
use infra::data_dir::DataDir;

use crate::settings::{self, Settings};

/// Opens the store of the settings.
///
/// # Errors
/// When the directory or the object store can't be used.
pub(crate) async fn open(
    settings: &Settings,
    data: &DataDir,
    room: RoomHandle,
) -> anyhow::Result<Arc<dyn BodyStore>> {
    if settings.bodies.url.is_empty() {
        return Ok(Arc::new(directory(settings, data, room)?));
    }
    Ok(Arc::new(shared(settings, data, room).await?))
}

/// The store of this data directory.
///
/// # Errors
/// When the directory can't be used.
pub(crate) fn directory(
    settings: &Settings,
    data: &DataDir,
    room: RoomHandle,
) -> anyhow::Result<DirectoryBodyStore> {
    Ok(DirectoryBodyStore::open(
        data.bodies(),
        settings.bodies.clone(),
        room,
    )?)
}

/// The store that `bodies.url` names. Uploads are in the data directory until they are whole.
///
/// # Errors
/// When it can't be written.
pub(crate) async fn shared(
    settings: &Settings,
    data: &DataDir,
    room: RoomHandle,
) -> anyhow::Result<ObjectBodyStore> {
    let environment = settings::provider_environment();
    let opened = ObjectBodyStore::open(settings.bodies.clone(), &environment, data.uploads(), room);
    opened.await.context("setting bodies.url")
}
