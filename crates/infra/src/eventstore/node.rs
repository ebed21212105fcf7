//! The node of the cluster that is asked, by calls that do not go through the client.
//!
//! The client leaves small packets to wait for one another (40 ms for each read, and for each append by a call of its own),
//! and never notices that a subscription ended without an error: it asks on in a loop that nothing can leave. So what is
//! read, followed and appended one by one is asked for here, over a connection of its own.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use eventstore::{ClientSettings, Error, StreamState};
use futures_util::stream;
use http::Uri;
use http::uri::PathAndQuery;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Deserialize;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codec::ProstCodec;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Status, Streaming};

use super::error::Failure;
use super::server_event::NewServerEvent;
use super::wire::{
    AppendContent, AppendOptions, AppendReq, AppendResp, ReadOptions, ReadReq, ReadResp, StreamIdentifier,
};
use crate::tls::TlsFiles;

/// The most bytes of one message from the server: an event of its limit is far below.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a connection that is used is tried, and how long the answer may take: as the client has it.
const KEEPALIVE: Duration = Duration::from_secs(10);

type Http = Client<HttpsConnector<HttpConnector>, Body>;

/// A connection to one node, which may learn that another one leads.
#[derive(Clone)]
pub(super) struct Node {
    http: Http,
    at: Arc<Mutex<Uri>>,
    settings: Arc<ClientSettings>,
    authorization: Option<MetadataValue<Ascii>>,
}

impl Node {
    /// The node to be asked at the n-th try: each time the next host of the address.
    pub(super) fn new(settings: &Arc<ClientSettings>, n: u64) -> Result<Self, String> {
        let hosts = settings.hosts();
        let place = usize::try_from(n).unwrap_or_default() % hosts.len().max(1);
        let host = hosts.get(place).ok_or("the address has no host")?;
        Ok(Self {
            http: http(settings)?,
            at: Arc::new(Mutex::new(settings.to_uri(host))),
            authorization: authorization(settings)?,
            settings: Arc::clone(settings),
        })
    }

    fn at(&self) -> MutexGuard<'_, Uri> {
        self.at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn grpc(&self) -> Grpc<Http> {
        let origin = self.at().clone();
        Grpc::with_origin(self.http.clone(), origin).max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Reads, or subscribes.
    pub(super) async fn read(&self, options: ReadOptions) -> Result<Answers, Failure> {
        let request = self.request(ReadReq {
            options: Some(options),
        });
        let path = PathAndQuery::from_static("/event_store.client.streams.Streams/Read");
        let mut grpc = self.grpc();
        ready(&mut grpc).await?;
        let called = grpc.server_streaming(request, path, ProstCodec::default()).await;
        Ok(Answers {
            answers: called.map_err(|status| self.failure(status))?.into_inner(),
            node: self.clone(),
        })
    }

    /// Appends, by a call of its own.
    pub(super) async fn append(
        &self,
        stream: &str,
        expected: StreamState,
        events: Vec<NewServerEvent>,
        timeout: Duration,
    ) -> Result<AppendResp, Failure> {
        let options = AppendOptions {
            stream: Some(StreamIdentifier::of(stream)),
            expected: Some(expected.into()),
        };
        let contents = std::iter::once(AppendContent::Options(options))
            .chain(events.into_iter().map(|event| AppendContent::Event(event.into())));
        let messages: Vec<_> = contents
            .map(|content| AppendReq {
                content: Some(content),
            })
            .collect();
        let mut request = self.request(stream::iter(messages));
        request.set_timeout(timeout);
        let path = PathAndQuery::from_static("/event_store.client.streams.Streams/Append");
        let mut grpc = self.grpc();
        ready(&mut grpc).await?;
        let called = grpc.client_streaming(request, path, ProstCodec::default()).await;
        Ok(called.map_err(|status| self.failure(status))?.into_inner())
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        let metadata = request.metadata_mut();
        metadata.insert("requires-leader", MetadataValue::from_static("true"));
        if let Some(authorization) = &self.authorization {
            metadata.insert("authorization", authorization.clone());
        }
        request
    }

    /// What a refusal means. The node that leads is asked from now on, if it is named.
    fn failure(&self, status: Status) -> Failure {
        let error = Error::from_grpc(status);
        if let Error::NotLeaderException(leader) = &error {
            *self.at() = self.settings.to_uri(leader);
        }
        Failure::of(&error)
    }
}

async fn ready(grpc: &mut Grpc<Http>) -> Result<(), Failure> {
    let ready = grpc.ready().await;
    ready.map_err(|error| Failure::NotSent(error.to_string()))
}

/// What the server answers to a read, message by message.
pub(super) struct Answers {
    answers: Streaming<ReadResp>,
    node: Node,
}

impl Answers {
    /// The next message; `None` where the server ended it.
    pub(super) async fn next(&mut self) -> Result<Option<ReadResp>, Failure> {
        let next = self.answers.message().await;
        next.map_err(|status| self.node.failure(status))
    }
}

fn http(settings: &ClientSettings) -> Result<Http, String> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let path = |text: &String| std::path::PathBuf::from(text);
    let authorities = settings.tls_ca_file().map(path);
    let certificate = settings
        .user_certificate()
        .map(|(certificate, key)| (path(certificate), path(key)));
    let files = TlsFiles {
        authorities: authorities
            .as_deref()
            .filter(|_| settings.is_secure_mode_enabled()),
        certificate: certificate
            .as_ref()
            .map(|(certificate, key)| (certificate.as_path(), key.as_path())),
        server_name: None,
    };
    if !settings.is_tls_certificate_verification_enabled() && settings.is_secure_mode_enabled() {
        return Err("certificates are always verified: name the authority in tlsCaFile".to_owned());
    }
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(files.config().map_err(|error| error.to_string())?)
        .https_or_http()
        .enable_http2()
        .wrap_connector(connector);
    Ok(Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .http2_only(true)
        .http2_keep_alive_interval(KEEPALIVE)
        .http2_keep_alive_timeout(KEEPALIVE)
        .build(connector))
}

/// Name and password, which the client shows to nobody, but writes down.
#[derive(Deserialize)]
struct Login {
    login: Vec<u8>,
    password: Vec<u8>,
}

fn authorization(settings: &ClientSettings) -> Result<Option<MetadataValue<Ascii>>, String> {
    let Some(credentials) = settings.default_authenticated_user() else {
        return Ok(None);
    };
    let unusable = "name and password of the address can't be used";
    let login = serde_json::to_value(credentials).and_then(serde_json::from_value::<Login>);
    let login = login.map_err(|_| unusable)?;
    let plain = [login.login.as_slice(), b":", login.password.as_slice()].concat();
    let mut value: MetadataValue<Ascii> = format!("Basic {}", STANDARD.encode(plain))
        .parse()
        .map_err(|_| unusable)?;
    value.set_sensitive(true);
    Ok(Some(value))
}
