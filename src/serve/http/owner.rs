//! The socket in the data directory: whoever can open it owns the directory and may do everything, whatever keys there are.
//! It is the way back in when the last key is lost. Its connections have places of their own, so that a flood on the
//! network does not keep the owner out.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use poem::Addr;
use poem::http::uri::Scheme;
use poem::web::{LocalAddr, RemoteAddr};
use query_api::LocalOwner;
use tokio::net::UnixListener;
use tokio_util::task::TaskTracker;

use super::guests::Guests;
use super::{ACCEPT_PAUSE, Caller, Hall};

/// Connections of the owner at once.
const CONNECTIONS_MAX: usize = 16;
/// A socket has no address.
const NOWHERE: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// Where the socket of a data directory is.
pub(crate) fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("run").join("hooklog.sock")
}

/// Listens on the socket. The directory is private before the socket is there, so nobody else can be quicker.
///
/// # Errors
/// When the file system says no; a path over about a hundred bytes is too long for a socket.
pub(crate) fn bind(data_dir: &Path) -> io::Result<UnixListener> {
    let socket = path(data_dir);
    if let Some(folder) = socket.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    // The directory is ours alone, so a socket that is there is of a process that is gone.
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&socket)?;
    std::fs::set_permissions(&socket, Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Takes connections until the stop.
pub(super) async fn welcome(hall: Hall, listener: UnixListener, connections: TaskTracker) {
    let guests = Guests::new(CONNECTIONS_MAX, 0);
    loop {
        let place = tokio::select! {
            () = hall.stop.cancelled() => return,
            place = guests.place() => place,
        };
        let accepted = tokio::select! {
            () = hall.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let seat = place.and_then(|place| guests.seat(NOWHERE, true, place));
        match (accepted, seat) {
            (Ok((socket, _)), Some(seat)) => {
                let uid = socket.peer_cred().ok().map(|peer| peer.uid());
                let caller = Caller {
                    addresses: (LocalAddr(Addr::default()), RemoteAddr(Addr::default())),
                    scheme: Scheme::HTTP,
                    owner: Some(LocalOwner { uid }),
                    seat: Arc::new(seat),
                };
                connections.spawn(hall.clone().converse(socket, caller));
            }
            (Err(error), _) => {
                tracing::warn!(%error, "a connection to the socket could not be taken");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            (Ok(_), None) => {}
        }
    }
}
