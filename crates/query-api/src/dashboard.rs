//! The dashboard at `/dashboard/`: files that are part of the program, made by `make dashboard`.
//!
//! There is no data in them, so they are open to all; whatever the pages show, they ask of the API, which decides. The
//! content security policy lets them run their own files, ask their own origin, and nothing else.
//!
//! Never here: a file of the disk. What can be had is what was there when the program was built.

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use poem::http::{HeaderValue, StatusCode, header};
use poem::{Endpoint, Request, Response, endpoint::make_sync};
use sha2::{Digest, Sha256};

use crate::failure::Failure;

/// Where the pages are.
pub(crate) const PREFIX: &str = "/dashboard";

/// Styles that scripts set on an element go through the object model, which `style-src 'self'` allows.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Vite puts the hash of a file into its name below here, so such a file never changes.
const HASHED: &str = "assets/";
const INDEX: &str = "index.html";

type Built = (&'static str, &'static [u8]);

static BUILT: &[Built] = include!(concat!(env!("OUT_DIR"), "/dashboard.rs"));

static FILES: LazyLock<Arc<[File]>> = LazyLock::new(|| BUILT.iter().map(File::new).collect());

/// One file, as it is served.
struct File {
    name: &'static str,
    body: Bytes,
    /// Smaller, for those who take it; made when the dashboard is built.
    gzip: Option<Bytes>,
    tag: String,
}

impl File {
    fn new(&(name, body): &Built) -> Self {
        let zipped = format!("{name}.gz");
        let gzip = BUILT.iter().find(|(other, _)| *other == zipped);
        let hash = Sha256::digest(body);
        let short = hash
            .iter()
            .take(12)
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        Self {
            name,
            body: Bytes::from_static(body),
            gzip: gzip.map(|(_, bytes)| Bytes::from_static(bytes)),
            tag: format!("\"{short}\""),
        }
    }

    fn caching(&self) -> &'static str {
        if self.name.starts_with(HASHED) {
            "public, max-age=31536000, immutable"
        } else {
            "no-cache"
        }
    }

    fn content_type(&self) -> &'static str {
        match self.name.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("woff2") => "font/woff2",
            Some("json") => "application/json; charset=utf-8",
            Some("txt") => "text/plain; charset=utf-8",
            _ => "application/octet-stream",
        }
    }
}

/// Sends the bare path to where the pages are, so that it stands for the same page.
pub(crate) fn entrance() -> impl Endpoint<Output = Response> + 'static {
    make_sync(|_| {
        Response::builder()
            .status(StatusCode::PERMANENT_REDIRECT)
            .header(header::LOCATION, format!("{PREFIX}/"))
            .header(header::CACHE_CONTROL, "no-cache")
            .finish()
    })
}

/// The files, and the one page for every address that is none of them: the pages have addresses of their own.
pub(crate) fn files() -> impl Endpoint<Output = Response> + 'static {
    let files = Arc::clone(&FILES);
    make_sync(move |request: Request| -> poem::Result<Response> {
        let path = request.uri().path();
        let name = path.strip_prefix(PREFIX).unwrap_or(path);
        let name = name.strip_prefix('/').unwrap_or(name);
        let known = |wanted: &str| files.iter().find(|file| file.name == wanted);
        let file = known(name)
            .or_else(|| is_a_page(name).then(|| known(INDEX)).flatten())
            .ok_or_else(|| Failure::of_status(StatusCode::NOT_FOUND))?;
        Ok(answer(file, &request))
    })
}

/// Whether a page may have the address: no browser asks for one with dots or nothing between its slashes.
fn is_a_page(name: &str) -> bool {
    let steps = name.strip_suffix('/').unwrap_or(name).split('/');
    let plain = |step: &str| !matches!(step, "" | "." | "..");
    name.is_empty() || (!name.starts_with(HASHED) && steps.into_iter().all(plain))
}

fn answer(file: &File, request: &Request) -> Response {
    let response = Response::builder()
        .header(header::ETAG, &file.tag)
        .header(header::CACHE_CONTROL, file.caching())
        .header(header::CONTENT_SECURITY_POLICY, POLICY)
        .header(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    if names(request, header::IF_NONE_MATCH, &file.tag) {
        return response.status(StatusCode::NOT_MODIFIED).finish();
    }
    let response = response.header(header::CONTENT_TYPE, file.content_type());
    match &file.gzip {
        Some(gzip) if names(request, header::ACCEPT_ENCODING, "gzip") => response
            .header(header::CONTENT_ENCODING, "gzip")
            .body(gzip.clone()),
        _ => response.body(file.body.clone()),
    }
}

/// Whether one of the things in a list is this one, leaving their weights and weakness aside.
fn names(request: &Request, name: header::HeaderName, wanted: &str) -> bool {
    let lists = request.headers().get_all(name);
    lists.iter().filter_map(|list| list.to_str().ok()).any(|list| {
        list.split(',').any(|item| {
            let (item, weight) = item.split_once(';').unwrap_or((item, ""));
            item.trim().trim_start_matches("W/") == wanted && weight.trim() != "q=0"
        })
    })
}
