//! How long a destination asks us to wait: `Retry-After`, in both of its forms (RFC 9110 §10.2.3).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use domain::Timestamp;
use http::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

/// The wait, at most `bound`. A date is counted from the answer's own `Date`, so that a clock that is off on either side
/// does no harm, and from `now` where it has none. What can't be read asks for nothing.
pub(crate) fn retry_after(headers: &HeaderMap, now: Timestamp, bound: Duration) -> Option<Duration> {
    let text = text(headers, &RETRY_AFTER)?;
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are a very long time all the same.
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(bound));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let from = self::text(headers, &DATE)
        .and_then(|date| httpdate::parse_http_date(date).ok())
        .unwrap_or_else(|| system_time(now));
    Some(until.duration_since(from).unwrap_or_default().min(bound))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn system_time(time: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(time.as_micros()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2015-10-21T07:28:00Z, as the examples of the specification have it.
    const NOW_MS: i64 = 1_445_412_480_000;

    fn wait(retry_after: &str, date: Option<&str>) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, retry_after.parse().unwrap());
        if let Some(date) = date {
            headers.insert(DATE, date.parse().unwrap());
        }
        let now = Timestamp::from_millis(NOW_MS);
        super::retry_after(&headers, now, Duration::from_secs(3600)).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_read_and_bounded() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("120", Some(120)),
            (" 7 ", Some(7)),
            ("999999", Some(3600)),
            ("99999999999999999999999999", Some(3600)),
            ("Wed, 21 Oct 2015 07:28:30 GMT", Some(30)),
            ("Wednesday, 21-Oct-15 07:29:00 GMT", Some(60)),
            ("Wed Oct 21 07:30:00 2015", Some(120)),
            ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
            ("Wed, 21 Oct 2099 07:27:00 GMT", Some(3600)),
            ("", None),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
        ] {
            assert_eq!(wait(text, None), seconds, "{text:?}");
        }
        let without = super::retry_after(&HeaderMap::new(), Timestamp::default(), Duration::MAX);
        assert_eq!(without, None);
    }

    #[test]
    fn a_date_is_counted_from_the_clock_of_the_answer() {
        let until = "Wed, 21 Oct 2015 08:00:10 GMT";
        assert_eq!(wait(until, Some("Wed, 21 Oct 2015 08:00:00 GMT")), Some(10));
        assert_eq!(wait(until, Some("nonsense")), Some(1930));
    }
}
