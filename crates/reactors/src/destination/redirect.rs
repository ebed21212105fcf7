//! Redirects: 307 and 308 are followed, as they keep method and body; all others would make another request of it.

use http::StatusCode;
use http::header::{HeaderMap, LOCATION};
use url::Url;

/// Where a redirect leads.
pub(crate) enum Hop {
    /// It is none.
    None,
    /// To this URL. What the settings add goes along only to the same origin.
    To {
        /// The URL.
        url: Url,
        /// Whether scheme, host and port are those of before.
        same_origin: bool,
    },
    /// It is not followed, for this reason.
    Refused(&'static str),
}

/// Where an answer leads. Its target is checked like the first address before anything is sent there.
pub(crate) fn hop(status: StatusCode, headers: &HeaderMap, from: &Url, followed: usize, max: usize) -> Hop {
    match status.as_u16() {
        307 | 308 => {}
        301..=303 => {
            return Hop::Refused("it would turn the request into a GET; give the address it leads to");
        }
        _ => return Hop::None,
    }
    if followed >= max {
        return Hop::Refused("it is one more than redirects_max");
    }
    let location = headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let Some(mut to) = location.and_then(|location| from.join(location).ok()) else {
        return Hop::Refused("it says no address to go to");
    };
    if !matches!(to.scheme(), "http" | "https") {
        return Hop::Refused("it leads to something else than http or https");
    }
    if from.scheme() == "https" && to.scheme() == "http" {
        return Hop::Refused("it leads from https to http");
    }
    // Credentials that a redirect brings along are not ours to send.
    if to.set_username("").is_err() || to.set_password(None).is_err() {
        return Hop::Refused("it says no host to go to");
    }
    Hop::To {
        same_origin: to.origin() == from.origin(),
        url: to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(status: u16, from: &str, location: Option<&str>) -> Result<(String, bool), &'static str> {
        let mut headers = HeaderMap::new();
        if let Some(location) = location {
            headers.insert(LOCATION, location.parse().unwrap());
        }
        let from = from.parse().unwrap();
        match hop(StatusCode::from_u16(status).unwrap(), &headers, &from, 0, 3) {
            Hop::None => Err("none"),
            Hop::To { url, same_origin } => Ok((url.into(), same_origin)),
            Hop::Refused(why) => Err(why),
        }
    }

    #[test]
    fn method_and_body_are_kept_or_it_is_not_followed() {
        let (from, to) = ("https://a.example/x", Some("/y"));
        for status in [307, 308] {
            assert_eq!(follow(status, from, to), Ok(("https://a.example/y".into(), true)));
        }
        for status in [301, 302, 303] {
            assert!(follow(status, from, to).unwrap_err().contains("GET"));
        }
        assert_eq!(follow(200, from, to), Err("none"));
        assert_eq!(follow(304, from, to), Err("none"));
    }

    #[test]
    fn another_origin_is_told_apart() {
        for (to, same) in [
            ("https://b.example/", false),
            ("https://a.example:8443/", false),
            ("//a.example/z", true),
            ("https://a.example:443/z", true),
        ] {
            assert_eq!(
                follow(307, "https://a.example/x", Some(to)).unwrap().1,
                same,
                "{to}"
            );
        }
        let up = follow(307, "http://a.example/", Some("https://a.example/"));
        assert_eq!(up, Ok(("https://a.example/".into(), false)));
    }

    #[test]
    fn where_it_must_not_lead_is_refused() {
        for to in [
            Some("http://a.example/"),
            Some("ftp://a.example/"),
            Some("file:///etc/passwd"),
            Some("https://"),
            None,
        ] {
            assert!(follow(307, "https://a.example/x", to).is_err(), "{to:?}");
        }
        let with_credentials = follow(307, "https://a.example/", Some("https://u:p@b.example/"));
        assert_eq!(with_credentials.unwrap().0, "https://b.example/");
    }

    #[test]
    fn the_count_of_hops_is_bounded() {
        let headers = HeaderMap::from_iter([(LOCATION, "/y".parse().unwrap())]);
        let from = "http://a.example/".parse().unwrap();
        let status = StatusCode::TEMPORARY_REDIRECT;
        assert!(matches!(hop(status, &headers, &from, 2, 3), Hop::To { .. }));
        assert!(matches!(hop(status, &headers, &from, 3, 3), Hop::Refused(_)));
        assert!(matches!(hop(status, &headers, &from, 0, 0), Hop::Refused(_)));
    }
}
