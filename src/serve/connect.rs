//! The engines as the followers of the log reach them: ours, or those of the settings.

use std::sync::Arc;
use std::time::Duration;

use domain::Tables;
use infra::clickhouse::ClickHouse;
use infra::engine::Endpoints;
use infra::jetstream::JetStream;

use crate::settings::Settings;

/// The tables. A server that is not there yet is reached later; files that can't be read yet may be there soon, so that is tried
/// again, and deliveries are taken meanwhile.
pub(crate) async fn tables(settings: &Settings, endpoints: &Endpoints) -> Arc<dyn Tables> {
    let options = settings.clickhouse.clone();
    let options = match &endpoints.clickhouse {
        Some(embedded) => {
            let password = embedded.password.clone();
            options.embedded(&embedded.url, &embedded.user, password, embedded.token.clone())
        }
        None => options,
    };
    loop {
        match ClickHouse::new(options.clone()) {
            Ok(tables) => return Arc::new(tables),
            Err(error) => {
                tracing::error!(%error, "clickhouse can't be asked; it is tried again");
                tokio::time::sleep(Duration::from_millis(settings.projections.retry_ms_max)).await;
            }
        }
    }
}

/// The stream, connected unless that takes long.
pub(crate) async fn stream(settings: &Settings, endpoints: &Endpoints) -> Arc<JetStream> {
    let options = settings.nats.clone();
    let options = match &endpoints.nats {
        Some(embedded) => options.embedded(embedded.url.clone(), embedded.token.clone()),
        None => options,
    };
    loop {
        match JetStream::connect(options.clone()).await {
            Ok(stream) => {
                // A moment's patience spares the first lines of the log a false alarm; nothing depends on it.
                let patience = Duration::from_millis(options.connect_timeout_ms);
                let connected = async {
                    while !stream.is_connected() {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                };
                let _ = tokio::time::timeout(patience, connected).await;
                return Arc::new(stream);
            }
            Err(error) => {
                tracing::error!(%error, "the stream can't be reached; it is tried again");
                tokio::time::sleep(Duration::from_millis(options.reconnect_delay_max_ms)).await;
            }
        }
    }
}
