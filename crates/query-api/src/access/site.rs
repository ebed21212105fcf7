//! Whether a request that a browser made comes from a page of ours. A cookie is sent by the browser, whoever wrote the page;
//! so what changes something is only done for pages of this very origin.

use poem::Request;
use poem::http::{HeaderName, header};

use super::caller::single;
use super::rule::is_safe;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether it would change something for the page of another origin. Without either header no browser of the last years
/// made it.
pub(crate) fn is_foreign(request: &Request, own_origins: &[String]) -> bool {
    !is_safe(request.method()) && is_of_another_page(request, own_origins)
}

/// Whether the page of another origin made it, whatever it asks for: what answers may be kept from by the browser, a
/// WebSocket is not.
pub(crate) fn is_of_another_page(request: &Request, own_origins: &[String]) -> bool {
    let headers = request.headers();
    let origin = single(headers, header::ORIGIN);
    if origin.is_some_and(|origin| own_origins.iter().any(|own| own == origin)) {
        return false;
    }
    if headers.contains_key(SEC_FETCH_SITE) {
        let site = single(headers, SEC_FETCH_SITE);
        return !matches!(site, Some("same-origin" | "none"));
    }
    if !headers.contains_key(header::ORIGIN) {
        return false;
    }
    let host = single(headers, header::HOST).or_else(|| request.uri().authority().map(|a| a.as_str()));
    let of_origin = origin
        .and_then(|origin| origin.split_once("://"))
        .map(|(_, host)| host);
    match (of_origin, host) {
        (Some(origin), Some(host)) => !origin.eq_ignore_ascii_case(host),
        _ => true,
    }
}

/// Whether the browser reached us over HTTPS, as far as can be told.
pub(crate) fn is_secure(request: &Request) -> bool {
    let forwarded = single(request.headers(), HeaderName::from_static("x-forwarded-proto"));
    let first = forwarded.and_then(|all| all.split(',').next());
    *request.scheme() == poem::http::uri::Scheme::HTTPS
        || first.is_some_and(|p| p.trim().eq_ignore_ascii_case("https"))
}

#[cfg(test)]
mod tests {
    use poem::http::Method;

    use super::*;

    #[track_caller]
    fn check(headers: &[(&'static str, &str)], foreign: bool) {
        let mut request = Request::builder()
            .method(Method::POST)
            .header("host", "hooks.example.com");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let own = ["https://ops.example.com".to_owned()];
        assert_eq!(is_foreign(&request.finish(), &own), foreign, "{headers:?}");
    }

    #[test]
    fn a_page_of_another_origin_changes_nothing() {
        check(&[], false);
        check(&[("sec-fetch-site", "same-origin")], false);
        check(&[("sec-fetch-site", "none")], false);
        check(&[("sec-fetch-site", "same-site")], true);
        check(&[("sec-fetch-site", "cross-site")], true);
        check(
            &[
                ("sec-fetch-site", "cross-site"),
                ("origin", "https://hooks.example.com"),
            ],
            true,
        );
        check(&[("origin", "https://hooks.example.com")], false);
        check(&[("origin", "https://hooks.example.com:444")], true);
        check(&[("origin", "https://evil.example")], true);
        check(&[("origin", "null")], true);
        check(
            &[
                ("origin", "https://hooks.example.com"),
                ("origin", "https://evil.example"),
            ],
            true,
        );
        check(
            &[
                ("origin", "https://ops.example.com"),
                ("sec-fetch-site", "cross-site"),
            ],
            false,
        );
    }

    #[test]
    fn what_only_looks_is_left_to_the_browser() {
        let request = Request::builder().header("sec-fetch-site", "cross-site").finish();
        assert!(!is_foreign(&request, &[]));
    }
}
