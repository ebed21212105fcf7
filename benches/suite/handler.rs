//! The ceiling of receiving: a poem handler that reads the body, checks its signature, takes event, action and repository
//! out of it with borrowed structs, and keeps nothing. The durable handler is the same, and keeps the delivery before it answers:
//! what a receiver costs that does only what cannot be left out.

use std::borrow::Cow;
use std::path::Path;

use hmac::{Hmac, KeyInit as _, Mac as _};
use poem::http::StatusCode;
use poem::listener::TcpListener;
use poem::{Endpoint, Request, Response, Server};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::durable::Keeper;
use super::server::SECRET;

const BODY_BYTES_MAX: usize = 25 * 1024 * 1024;
/// About what the product keeps beside a body.
const METADATA_BYTES: usize = 700;
/// The faster one.
const GROUND: super::disk::Ground = super::disk::Ground::Grown;

#[derive(Deserialize)]
struct Payload<'a> {
    #[serde(borrow)]
    action: Option<Cow<'a, str>>,
    #[serde(borrow)]
    repository: Option<Repository<'a>>,
}

#[derive(Deserialize)]
struct Repository<'a> {
    #[serde(borrow)]
    full_name: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
struct Taken<'a> {
    success: bool,
    event: &'a str,
    action: Option<&'a str>,
    repository: Option<&'a str>,
}

struct Bare {
    keyed: Hmac<Sha256>,
    keeper: Option<Keeper>,
}

impl Endpoint for Bare {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let body = request.take_body().into_bytes_limit(BODY_BYTES_MAX).await?;
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let mut mac = self.keyed.clone();
        mac.update(&body);
        let given = header("X-Hub-Signature-256").and_then(|value| value.strip_prefix("sha256="));
        let given = given
            .and_then(|digest| hex::decode(digest).ok())
            .unwrap_or_default();
        if mac.verify_slice(&given).is_err() {
            return Ok(Response::builder().status(StatusCode::UNAUTHORIZED).finish());
        }
        let Ok(payload) = serde_json::from_slice::<Payload<'_>>(&body) else {
            return Ok(Response::builder().status(StatusCode::BAD_REQUEST).finish());
        };
        let taken = Taken {
            success: true,
            event: header("X-GitHub-Event").unwrap_or_default(),
            action: payload.action.as_deref(),
            repository: payload.repository.as_ref().and_then(|of| of.full_name.as_deref()),
        };
        if let Some(keeper) = &self.keeper {
            // The contract keeps a hash of each body.
            let mut metadata = Vec::with_capacity(METADATA_BYTES);
            metadata.extend_from_slice(&Sha256::digest(&body));
            metadata.resize(METADATA_BYTES, b' ');
            keeper.keep(metadata, body.clone()).await;
        }
        let json = serde_json::to_vec(&taken).unwrap_or_default();
        Ok(Response::builder().content_type("application/json").body(json))
    }
}

/// Serves until it is killed; with a folder, keeps there what it takes.
pub(crate) fn run(port: u16, folder: Option<&Path>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let bare = Bare {
        keyed: Hmac::new_from_slice(SECRET.as_bytes()).expect("any key will do"),
        keeper: folder.map(|folder| Keeper::start(folder, GROUND).0),
    };
    let serving = Server::new(TcpListener::bind(("127.0.0.1", port))).run(bare);
    runtime.block_on(serving).expect("the handler serves");
}
