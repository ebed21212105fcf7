//! The page at `/docs`: Swagger UI, whole in one page and working offline.
//!
//! Swagger UI is the one explorer bundled with poem-openapi that names no other host: RapiDoc, Redoc and OpenAPI Explorer
//! link web fonts, Stoplight Elements loads itself from a CDN, and Scalar brings fonts and a proxy of its makers. The
//! content security policy makes sure of it: the page can reach its own origin and nothing else.

use bytes::Bytes;
use poem::http::header;
use poem::{Endpoint, Response, endpoint::make_sync};

/// Inline scripts and styles are the page itself; nothing may be loaded, and only this origin may be asked.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    img-src 'self' data:; font-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// The page for a document, in place of the one that the library put into it.
pub(crate) fn endpoint(
    swagger_ui: &str,
    (plain, document): (&str, &str),
) -> impl Endpoint<Output = Response> + 'static {
    let page = swagger_ui
        .replacen(plain, document, 1)
        .replacen("<title>Swagger UI</title>", "<title>Hooklog API</title>", 1)
        .trim_start()
        .to_owned();
    let page = Bytes::from(format!("<!doctype html>\n{page}"));
    make_sync(move |_| {
        Response::builder()
            .header(header::CONTENT_TYPE, "text/html; charset=utf-8")
            .header(header::CONTENT_SECURITY_POLICY, POLICY)
            .body(page.clone())
    })
}
