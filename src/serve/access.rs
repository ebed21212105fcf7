//! What is listened on, and what the access to it stands on: the certificate, the socket of the data directory's owner, the
//! secret of logins, and whether there are keys.

use std::sync::Arc;
use std::time::Duration;

use domain::Keys as _;
use infra::access::KeyKeeper;
use infra::data_dir::DataDir;
use query_api::SessionSecret;
use secrecy::ExposeSecret as _;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use super::http::tls::Tls;
use super::http::{Listeners, owner};

/// How long the banner waits for the keys to be read.
const KEYS_WAIT: Duration = Duration::from_secs(2);

/// What is listened on. A certificate is followed from now on.
pub(crate) fn listeners(
    data: &DataDir,
    network: TcpListener,
    tls: Option<Arc<Tls>>,
    stop: &CancellationToken,
) -> Listeners {
    if let Some(tls) = &tls {
        tokio::spawn(Arc::clone(tls).follow(stop.clone()));
    }
    Listeners {
        network,
        tls,
        owner: owner_socket(data),
    }
}

/// The socket by which the owner of the data directory gets in. Without it everything else works.
fn owner_socket(data: &DataDir) -> Option<UnixListener> {
    match owner::bind(data.path()) {
        Ok(listener) => Some(listener),
        Err(error) => {
            let socket = owner::path(data.path());
            tracing::warn!(%error, socket = %socket.display(), "there is no socket for the owner of the data directory");
            None
        }
    }
}

/// What signs login cookies; in a folder that only we may read.
pub(crate) fn session_secret(data: &DataDir) -> anyhow::Result<SessionSecret> {
    let secret = data.session_secret()?;
    Ok(SessionSecret::new(secret.expose_secret().as_bytes()))
}

/// Whether there never was an API key; none when the log takes too long to say.
pub(crate) async fn keyless(keys: &KeyKeeper) -> Option<bool> {
    let reading = async {
        loop {
            if let Some(directory) = keys.directory() {
                return directory.is_keyless();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(KEYS_WAIT, reading).await.ok()
}
