//! Reading payloads that others wrote: a field that is missing, null or of the wrong type is empty, never an error.

use std::cell::Cell;

use domain::Timestamp;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The longest text kept in a column, in bytes.
const TEXT_BYTES_MAX: usize = 1000;

/// A field that may be anything; empty unless it is a `T`.
#[derive(Debug, Clone)]
pub(crate) struct Lenient<T>(Option<T>);

impl<T> Default for Lenient<T> {
    fn default() -> Self {
        Self(None)
    }
}

thread_local! {
    /// Whether a field of the wrong type is an error for now.
    static STRICT: Cell<bool> = const { Cell::new(false) };
}

/// Reads a payload, each field as what it is or empty.
///
/// To be able to pass over a field of the wrong type its text has to be found first and read then, which reads what is deep inside once
/// for each level. So all are first taken to be of the right type or null, as they nearly always are.
///
/// # Errors
/// When the text is not JSON, or no object.
pub(crate) fn read<'de, T: Deserialize<'de>>(payload: &'de [u8]) -> Result<T, serde_json::Error> {
    // What is passed over is not looked at when it is strict, and would be an error when it is not.
    if let Ok(text) = std::str::from_utf8(payload) {
        STRICT.set(true);
        let read = serde_json::from_str(text);
        STRICT.set(false);
        if read.is_ok() {
            return read;
        }
    }
    serde_json::from_slice(payload)
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if STRICT.get() {
            return Option::deserialize(deserializer).map(Self);
        }
        let raw = <&'de RawValue>::deserialize(deserializer)?;
        Ok(Self(serde_json::from_str(raw.get()).ok()))
    }
}

impl<T> Lenient<T> {
    pub(crate) const fn get(&self) -> Option<&T> {
        self.0.as_ref()
    }

    pub(crate) fn into_inner(self) -> Option<T> {
        self.0
    }
}

impl<T: Copy> Lenient<T> {
    pub(crate) const fn copied(&self) -> Option<T> {
        self.0
    }
}

impl Lenient<String> {
    /// The text, cut to what a column takes; empty without one.
    pub(crate) fn text(&self) -> String {
        self.0.as_deref().map(cut).unwrap_or_default()
    }
}

impl Lenient<PayloadTime> {
    pub(crate) fn time(&self) -> Option<Timestamp> {
        self.0.map(|time| time.0)
    }
}

impl Lenient<RubyTime> {
    pub(crate) fn moment(&self) -> Option<Timestamp> {
        self.0.map(|time| time.0)
    }
}

impl<T> Lenient<Vec<Lenient<T>>> {
    /// The elements of the right type, at most `max`.
    pub(crate) fn elements(&self, max: usize) -> impl Iterator<Item = &T> {
        self.0.iter().flatten().filter_map(Lenient::get).take(max)
    }
}

/// The start of a text, at most 1000 bytes.
pub(crate) fn cut(text: &str) -> String {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX))
        .unwrap_or_default()
        .to_owned()
}

/// A time in a payload: RFC 3339, or whole seconds since 1970. Times before 1970 (GitHub's year 1 for "never") and
/// after 2200 are no times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PayloadTime(Timestamp);

/// The start of 2200, in seconds.
const SECONDS_END: i64 = 7_258_118_400;

impl PayloadTime {
    fn checked<E: Error>(time: Timestamp) -> Result<Self, E> {
        if (0..SECONDS_END).contains(&time.as_secs()) {
            Ok(Self(time))
        } else {
            Err(E::custom("not a time between 1970 and 2200"))
        }
    }
}

impl<'de> Deserialize<'de> for PayloadTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimeVisitor)
    }
}

struct TimeVisitor;

impl Visitor<'_> for TimeVisitor {
    type Value = PayloadTime;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an RFC 3339 time or seconds since 1970")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<PayloadTime, E> {
        PayloadTime::checked(text.parse().map_err(E::custom)?)
    }

    fn visit_u64<E: Error>(self, seconds: u64) -> Result<PayloadTime, E> {
        let seconds = i64::try_from(seconds).map_err(E::custom)?;
        PayloadTime::checked(Timestamp::from_millis(seconds.saturating_mul(1000)))
    }
}

/// A time as GitLab writes it: RFC 3339, or as Ruby does, `2016-08-12 15:23:28 UTC` or `2016-08-12 17:23:28 +0200`. Bounded
/// as [`PayloadTime`] is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RubyTime(Timestamp);

impl<'de> Deserialize<'de> for RubyTime {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = rfc_3339(&text)
            .unwrap_or(text)
            .parse()
            .map_err(D::Error::custom)?;
        PayloadTime::checked(time).map(|time| Self(time.0))
    }
}

/// A time in Ruby's words, in those of RFC 3339.
fn rfc_3339(text: &str) -> Option<String> {
    let (date, rest) = text.split_once(' ')?;
    let (clock, zone) = rest.split_once(' ')?;
    if zone == "UTC" {
        return Some(format!("{date}T{clock}Z"));
    }
    let (hours, minutes) = zone.split_at_checked("+hh".len())?;
    Some(format!("{date}T{clock}{hours}:{minutes}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_ruby_writes_them() {
        let read = |text: &str| {
            let time: Lenient<RubyTime> = serde_json::from_str(&format!("\"{text}\"")).unwrap();
            time.moment().map(Timestamp::as_micros)
        };
        for text in [
            "2016-08-12 15:23:28 UTC",
            "2016-08-12 17:23:28 +0200",
            "2016-08-12T15:23:28Z",
            "2016-08-12T17:23:28.000+02:00",
        ] {
            assert_eq!(read(text), Some(1_471_015_408_000_000), "{text}");
        }
        assert_eq!(read("2021-02-23T02:41:37.886Z"), Some(1_614_048_097_886_000));
        for bad in [
            "",
            "soon",
            "2016-08-12",
            "2016-08-12 15:23:28",
            "2016-08-12 15:23:28 CEST",
            "0001-01-01 00:00:00 UTC",
        ] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[derive(Deserialize)]
    struct Fields {
        #[serde(default)]
        id: Lenient<u64>,
        #[serde(default)]
        name: Lenient<String>,
        #[serde(default)]
        at: Lenient<PayloadTime>,
        #[serde(default)]
        labels: Lenient<Vec<Lenient<String>>>,
    }

    fn read(json: &str) -> (Option<u64>, String, Option<i64>, Vec<String>) {
        let fields: Fields = serde_json::from_str(json).unwrap();
        let at = fields.at.time().map(Timestamp::as_secs);
        let labels = fields.labels.elements(2).cloned().collect();
        (fields.id.copied(), fields.name.text(), at, labels)
    }

    /// Whatever a payload holds, taking it to be right first gives what passing over every wrong field gives.
    #[test]
    fn what_is_right_is_read_the_same_at_once_and_field_by_field() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "they are compared as they are shown")]
        struct Outer {
            #[serde(default)]
            inner: Lenient<Inner>,
            #[serde(default)]
            list: Lenient<Vec<Lenient<Inner>>>,
            #[serde(default)]
            flags: Lenient<Vec<serde::de::IgnoredAny>>,
        }
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "they are compared as they are shown")]
        struct Inner {
            #[serde(default)]
            id: Lenient<u64>,
            #[serde(default)]
            at: Lenient<PayloadTime>,
        }
        let deep = format!(
            r#"{{"inner":{{"id":1,"x":{}1{}}}}}"#,
            "[".repeat(120),
            "]".repeat(120)
        );
        let texts = [
            r#"{"inner":{"id":7,"at":"2026-11-21T08:30:00Z"},"list":[{"id":1},{"id":null}],"flags":[1,null]}"#,
            r#"{"inner":{"id":7,"at":"0001-01-01T00:00:00Z"},"list":[{"id":1},7,null,{"id":2}]}"#,
            r#"{"inner":{"id":7.0,"at":3},"list":{},"flags":null}"#,
            r#"{"inner":{"id":7,"id":8},"list":null}"#,
            r#"{"inner":[1,2],"list":[{"id":-1}]}"#,
            r#"{"inner":{"id":18446744073709551616}}"#,
            r#"{"inner":{"id":1}} x"#,
            r#"{"inner":{"id":1}"#,
            r#"[{"id":1}]"#,
            "null",
            "",
            deep.as_str(),
        ];
        let bytes: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        let odd: [&[u8]; 2] = [
            b"{\"inner\":{\"id\":1,\"x\":\"\xff\"}}",
            b"{\"x\":\"\xff\",\"inner\":{\"id\":1}}",
        ];
        for payload in bytes.into_iter().chain(odd) {
            let told = |read: Result<Outer, serde_json::Error>| format!("{:?}", read.ok());
            assert_eq!(
                told(super::read(payload)),
                told(serde_json::from_slice(payload)),
                "{}",
                String::from_utf8_lossy(payload)
            );
        }
        assert!(!STRICT.get());
    }

    #[test]
    fn fields_of_the_right_type_are_read() {
        let json =
            r#"{"id":7,"name":"ü","at":"2026-11-21T08:30:00+01:00","labels":["a",3,"b","c"],"other":{}}"#;
        assert_eq!(
            read(json),
            (
                Some(7),
                "ü".into(),
                Some(1_795_246_200),
                vec!["a".into(), "b".into()]
            )
        );
        assert_eq!(read(r#"{"at":1795246200}"#).2, Some(1_795_246_200));
    }

    #[test]
    fn other_fields_are_empty() {
        for json in [
            "{}",
            r#"{"id":null,"name":null,"at":null,"labels":null}"#,
            r#"{"id":"7","name":7,"at":"yesterday","labels":"a"}"#,
            r#"{"id":-7,"name":{},"at":"0001-01-01T00:00:00Z","labels":{}}"#,
            r#"{"id":1.5,"name":[],"at":99999999999999999,"labels":[null]}"#,
        ] {
            assert_eq!(read(json), (None, String::new(), None, Vec::new()), "{json}");
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut(&"ü".repeat(600)), "ü".repeat(500));
        assert_eq!(cut(&format!("x{}", "ü".repeat(600))).len(), 999);
    }
}
