use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const PATHS: [Path; 3] = [
    Path::of(&["action"]),
    Path::of(&["repository", "full_name"]),
    Path::of(&["issue", "id"]),
];

fn scan(document: &[u8], piece: usize) -> Result<Found, NotJson> {
    let mut scanner = Scanner::new(PATHS.to_vec());
    for piece in document.chunks(piece.max(1)) {
        scanner.feed(piece)?;
    }
    scanner.finish()
}

fn text(value: &str) -> Option<Scalar> {
    Some(Scalar::Text(value.to_owned()))
}

fn check(document: &str, expected: [Option<Scalar>; 3]) {
    for piece in 1..=document.len() {
        let found = scan(document.as_bytes(), piece).unwrap_or_else(|e| panic!("{document}: {e:?}"));
        assert_eq!(found.values, expected, "{document} in pieces of {piece}");
    }
}

#[test]
fn facts_are_found_where_they_stand() {
    check(
        r#"{"action":"opened","repository":{"id":1,"full_name":"a/b"},"issue":{"id":42}}"#,
        [text("opened"), text("a/b"), Some(Scalar::Number("42".into()))],
    );
    check(" { } ", [None, None, None]);
    check(
        r#"{"x":{"action":"no","full_name":"no","repository":{"full_name":"no"}}}"#,
        [None, None, None],
    );
    check(
        r#"{"repository":[{"full_name":"no"}],"issue":[[1]]}"#,
        [None, None, None],
    );
    check(
        r#"{"repository":{"owner":{"full_name":"no"},"full_name":"a/b"}}"#,
        [None, text("a/b"), None],
    );
    check(
        r#"{"full_name":"no","repository":"no","issue":null}"#,
        [None, None, None],
    );
}

#[test]
fn a_value_of_another_type_is_absent() {
    for other in [
        "null",
        "true",
        "false",
        "{}",
        "[]",
        r#"{"action":"x"}"#,
        r#"["x"]"#,
    ] {
        check(
            &format!(r#"{{"action":{other},"repository":{{"full_name":{other}}}}}"#),
            [None, None, None],
        );
    }
}

#[test]
fn of_repeated_members_the_last_counts() {
    check(r#"{"action":"a","action":"b"}"#, [text("b"), None, None]);
    check(r#"{"action":"a","action":[]}"#, [None, None, None]);
    check(
        r#"{"repository":{"full_name":"a/b"},"repository":5}"#,
        [None, None, None],
    );
    check(
        r#"{"repository":{"full_name":"a/b"},"repository":{"full_name":"c/d"}}"#,
        [None, text("c/d"), None],
    );
}

#[test]
fn escapes_and_characters_beyond_ascii_are_resolved() {
    check(
        r#"{"action":"\u00fc\n\"\\\/ \ud834\udd1e ☃"}"#,
        [text("ü\n\"\\/ 𝄞 ☃"), None, None],
    );
    check(r#"{"\u0061ction":"x"}"#, [text("x"), None, None]);
    // Half a pair does not make the document invalid, as GitHub cuts texts; it is just no fact.
    check(r#"{"action":"\ud834","title":"cut \udd1e"}"#, [None, None, None]);
}

#[test]
fn a_value_too_long_is_absent_and_costs_nothing() {
    let long = "x".repeat(CAPTURE_BYTES_MAX + 1);
    let document = format!(r#"{{"action":"{long}","{long}":1,"repository":{{"full_name":"a/b"}}}}"#);
    let found = scan(document.as_bytes(), 100).unwrap();
    assert_eq!(found.values, [None, text("a/b"), None]);
    let edge = "x".repeat(CAPTURE_BYTES_MAX);
    let found = scan(format!(r#"{{"action":"{edge}"}}"#).as_bytes(), 100).unwrap();
    assert_eq!(found.values, [text(&edge), None, None]);
}

#[test]
fn what_is_not_json_is_refused() {
    for bad in [
        "",
        " ",
        "{",
        "}",
        "[",
        "]",
        "{]",
        "[}",
        "{,}",
        "[,]",
        "[1,]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "{\"a\" 1}",
        "{\"a\"::1}",
        "{1:1}",
        "{} {}",
        "{}x",
        "nul",
        "nulll",
        "tru",
        "True",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "1.e1",
        "--1",
        "0x1",
        "NaN",
        "\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "\"\u{0}\"",
        "\u{feff}{}",
        "[1 2]",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1]",
        "[1}",
        "// x\n{}",
    ] {
        for piece in [1, 2, 100] {
            assert!(scan(bad.as_bytes(), piece).is_err(), "{bad:?}");
        }
    }
    for bad in [
        &b"{\"a\":\"\xff\"}"[..],
        b"{\"a\":\"\xc3\"}",
        b"{}\xc3",
        b"{\"a\":\"\xed\xa0\x80\"}",
        b"\xf0\x9f{}",
    ] {
        for piece in [1, 2, 100] {
            assert!(scan(bad, piece).is_err(), "{bad:?}");
        }
    }
}

#[test]
fn only_the_root_says_whether_it_is_an_object() {
    for (document, object) in [
        ("{}", true),
        ("[{}]", false),
        ("1", false),
        ("\"{}\"", false),
        ("null", false),
    ] {
        assert_eq!(scan(document.as_bytes(), 1).unwrap().object, object, "{document}");
    }
}

#[test]
fn depth_is_no_danger() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let depth = 100_000;
        let inner = if open == "[" { "" } else { "1" };
        let closed = format!(
            "{{\"x\":{}{inner}{},\"action\":\"a\"}}",
            open.repeat(depth),
            close.repeat(depth)
        );
        assert_eq!(
            scan(closed.as_bytes(), 4096).unwrap().values,
            [text("a"), None, None]
        );
        let unclosed = format!("{{\"x\":{}", open.repeat(depth));
        assert!(scan(unclosed.as_bytes(), 4096).is_err());
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let key = || {
        prop_oneof![
            Just("action".to_owned()),
            Just("repository".to_owned()),
            Just("full_name".to_owned()),
            Just("issue".to_owned()),
            Just("id".to_owned()),
            any::<String>(),
        ]
    };
    leaf.prop_recursive(4, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map(key(), inner, 0..6).prop_map(|m| m.into_iter().collect::<Value>()),
        ]
    })
}

fn scalar_of(value: &Value) -> Option<Scalar> {
    match value {
        Value::String(s) => Some(Scalar::Text(s.clone())),
        Value::Number(n) => Some(Scalar::Number(n.to_string())),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

proptest! {
    #[test]
    fn it_finds_what_a_parsed_document_holds(document in any_json(), piece in 1usize..40, pretty: bool) {
        let bytes = if pretty { serde_json::to_vec_pretty(&document) } else { serde_json::to_vec(&document) }.unwrap();
        let found = scan(&bytes, piece).unwrap();
        let expected = [&document["action"], &document["repository"]["full_name"], &document["issue"]["id"]];
        prop_assert_eq!(found.values, expected.map(scalar_of).to_vec());
        prop_assert_eq!(found.object, document.is_object());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), piece in 1usize..40) {
        let whole = scan(&bytes, bytes.len());
        prop_assert_eq!(scan(&bytes, piece).is_ok(), whole.is_ok());
    }

    /// Mutated documents are taken exactly when another parser takes them.
    #[test]
    fn it_takes_what_another_parser_takes(at in 0usize..80, byte: u8, piece in 1usize..40) {
        let mut bytes = json!({"action": "a\u{1}\u{fc}", "n": [1, -2.5e3, true, null, {}], "issue": {"id": 7}})
            .to_string()
            .into_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        let theirs = serde_json::from_slice::<Value>(&bytes);
        // Half surrogates and numbers beyond f64 are valid JSON which only that parser refuses.
        let ours = scan(&bytes, piece);
        if theirs.is_ok() {
            prop_assert!(ours.is_ok(), "{:?}", String::from_utf8_lossy(&bytes));
        }
        if ours.is_ok() {
            let refused = theirs.as_ref().err().map(ToString::to_string).unwrap_or_default();
            let excused = refused.is_empty() || refused.contains("out of range") || refused.contains("surrogate");
            prop_assert!(excused, "{}: {:?}", refused, String::from_utf8_lossy(&bytes));
        }
    }
}
