//! A node: it starts, stops as if it were killed, and starts again on its port.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tonic::transport::{Identity, Server, ServerTlsConfig};

use crate::fault::Faults;
use crate::protocol::event_store::client::gossip::gossip_server::GossipServer;
use crate::protocol::event_store::client::server_features::server_features_server::ServerFeaturesServer;
use crate::protocol::event_store::client::streams::streams_server::StreamsServer;
use crate::service::Service;
use crate::store::Store;

/// Messages of the protocol are let in up to this size, so that the limit of an append is what refuses one.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a port may stay taken by the node that stopped.
const BIND_DEADLINE: Duration = Duration::from_secs(10);

/// Who may call.
#[derive(Debug, Clone)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The password.
    pub password: String,
}

/// What a node shows of itself over TLS, in PEM.
#[derive(Debug, Clone)]
pub struct TlsIdentity {
    /// Its certificate.
    pub certificate: String,
    /// The certificate's key.
    pub key: String,
}

/// How a node is to be.
#[derive(Debug, Clone, Default)]
pub struct NodeOptions {
    /// Its port on 127.0.0.1; 0 for any.
    pub port: u16,
    /// Who may call; everybody if none.
    pub login: Option<Login>,
    /// TLS, if any.
    pub tls: Option<TlsIdentity>,
    /// The ports of the cluster's nodes, the leader first; it alone if none.
    pub members: Vec<u16>,
}

/// A node.
pub struct Node {
    /// What it does wrong.
    pub faults: Arc<Faults>,
    store: Arc<Store>,
    options: NodeOptions,
    port: u16,
    running: Mutex<Option<Runtime>>,
}

impl Node {
    /// Starts a node over a store.
    ///
    /// # Errors
    /// When its port is taken, or TLS can't be set up.
    pub async fn start(store: Arc<Store>, options: NodeOptions) -> io::Result<Self> {
        let mut node = Self {
            faults: Arc::default(),
            store,
            port: options.port,
            options,
            running: Mutex::default(),
        };
        node.port = node.run().await?;
        Ok(node)
    }

    /// A node that is not there yet, on a port that is free now.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn stopped(store: Arc<Store>, options: NodeOptions) -> io::Result<Self> {
        let node = Self::start(store, options).await?;
        node.stop();
        Ok(node)
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Where a client finds it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("esdb://127.0.0.1:{}?tls=false", self.port)
    }

    /// Stops at once, as if killed: connections break, and whatever is under way is never answered.
    pub fn stop(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = running {
            runtime.shutdown_background();
        }
    }

    /// Starts again, on the same port and with what was kept.
    ///
    /// # Errors
    /// When the port was taken by another program meanwhile.
    pub async fn restart(&self) -> io::Result<()> {
        self.stop();
        self.run().await.map(|_| ())
    }

    async fn run(&self) -> io::Result<u16> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let listener = bind(&runtime, self.port).await?;
        let port = listener.local_addr()?.port();
        let members = match self.options.members.as_slice() {
            [] => vec![port],
            members => members.to_vec(),
        };
        let service = Service {
            store: Arc::clone(&self.store),
            faults: Arc::clone(&self.faults),
            login: self.options.login.clone(),
            members,
        };
        let mut server = Server::builder();
        if let Some(tls) = &self.options.tls {
            let identity = Identity::from_pem(&tls.certificate, &tls.key);
            let tls = ServerTlsConfig::new().identity(identity);
            server = server.tls_config(tls).map_err(io::Error::other)?;
        }
        let streams = StreamsServer::new(service.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let router = server
            .add_service(streams)
            .add_service(ServerFeaturesServer::new(service.clone()))
            .add_service(GossipServer::new(service));
        runtime.spawn(router.serve_with_incoming(incoming(listener)));
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(runtime);
        Ok(port)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Waits until the node that stopped has let go of its port.
async fn bind(runtime: &Runtime, port: u16) -> io::Result<TcpListener> {
    let deadline = Instant::now() + BIND_DEADLINE;
    loop {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // The listener belongs to the runtime that is dropped with it.
        let bound = runtime
            .spawn(TcpListener::bind(address))
            .await
            .map_err(io::Error::other)?;
        match bound {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            bound => return bound,
        }
    }
}

fn incoming(listener: TcpListener) -> impl futures_util::Stream<Item = io::Result<TcpStream>> {
    futures_util::stream::unfold(listener, async |listener| {
        let accepted = match listener.accept().await {
            Ok((stream, _)) => stream.set_nodelay(true).map(|()| stream),
            Err(error) => Err(error),
        };
        Some((accepted, listener))
    })
}
