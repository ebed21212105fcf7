//! The scanner of facts, against a parser that builds the whole document.

use serde_json::Value;

use crate::json::{Found, NotJson, Path, Scalar, Scanner};

/// A string of fewer bytes is captured whatever its escapes.
const SURELY_CAPTURED_BYTES: usize = 128;

/// The first byte says how the document is cut into pieces, the rest is the document. However it is cut, it is taken exactly
/// when the other parser takes it, and the same values stand in it.
///
/// # Panics
/// On a finding.
pub fn json(data: &[u8]) {
    let Some((piece, document)) = data.split_first() else {
        return;
    };
    let whole = scan(document, document.len());
    let cut = scan(document, usize::from(*piece));
    match (&whole, &cut) {
        (Ok(whole), Ok(cut)) => assert_eq!(whole, cut),
        (Err(_), Err(_)) => {}
        _ => panic!("it depends on the pieces: {whole:?} {cut:?}"),
    }
    match (whole, serde_json::from_slice::<Value>(document)) {
        (Ok(found), Ok(value)) => same(&found, &value),
        (Err(_), Err(_)) => {}
        // Half a surrogate pair, numbers beyond f64 and deep nesting are JSON, but not for that parser.
        (Ok(_), Err(error)) => {
            let why = error.to_string();
            let excuses = ["surrogate", "out of range", "recursion limit", "hex escape"];
            assert!(excuses.iter().any(|excuse| why.contains(excuse)), "{why}");
        }
        (Err(error), Ok(_)) => panic!("refused: {error:?}"),
    }
}

fn scan(document: &[u8], piece: usize) -> Result<Found, NotJson> {
    let mut scanner = Scanner::new(PATHS.map(Path::of).to_vec());
    for piece in document.chunks(piece.max(1)) {
        scanner.feed(piece)?;
    }
    scanner.finish()
}

/// What is looked for: members, members of members, one of an element of a list.
const PATHS: [&[&str]; 5] = [
    &["action"],
    &["repository", "full_name"],
    &["issue", "id"],
    &["repository", "id"],
    &["commits", "1", "id"],
];

/// The other parser does not always take the nearest number that a double can be.
fn near(ours: Option<f64>, theirs: Option<f64>) -> bool {
    let (Some(ours), Some(theirs)) = (ours, theirs) else {
        return false;
    };
    (ours - theirs).abs() <= ours.abs() * 1e-12
}

fn same(found: &Found, value: &Value) {
    assert_eq!(found.object, value.is_object());
    for (path, ours) in PATHS.iter().zip(&found.values) {
        let theirs = value.pointer(&format!("/{}", path.join("/")));
        let agree = match (ours, theirs) {
            (Some(Scalar::Text(ours)), Some(Value::String(theirs))) => ours == theirs,
            (Some(Scalar::Number(ours)), Some(Value::Number(theirs))) => {
                near(ours.parse::<f64>().ok(), theirs.as_f64())
            }
            // A long one counts as absent.
            (None, Some(Value::String(theirs))) => theirs.len() >= SURELY_CAPTURED_BYTES,
            (None, Some(Value::Number(_))) => false,
            (None, _) => true,
            (Some(_), _) => false,
        };
        assert!(agree, "{path:?}: {ours:?} {theirs:?}");
    }
}
