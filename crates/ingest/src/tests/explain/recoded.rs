//! A body that something re-encoded on its way.

use std::io::Write as _;

use super::Told::Fails;
use super::{check, explained, now, signed, source, with};
use crate::CheckName::Signature;
use crate::{
    CheckOutcome, ExplainOptions, Explainer, Explanation, IngestOptions, Question, SchemeKind, SourceOptions,
};

const SENT: &str = "{\n  \"b\": \"\\u003c1\\u003e\",\n  \"a\": [\n    1.0,\n    null\n  ]\n}";

fn github() -> SourceOptions {
    source("github", SchemeKind::Github, &["a secret", "another"])
}

fn arrived(source: &SourceOptions, sent: &str, arrived: &[u8]) -> Question {
    Question {
        body: arrived.to_vec().into(),
        ..signed(source, "push", sent)
    }
}

#[test]
fn what_was_done_to_a_body_is_said() {
    let github = [github()];
    for (sent, came, words) in [
        ("{\"a\":1}", "{\"a\": 1}", "as JSON without white space"),
        ("{\"a\": 1, \"b\": 2}", "{\"a\":1,\"b\":2}", "as Python writes it"),
        ("{\"a\":1}", "{\"a\":1}\n", "without the line breaks at its end"),
        ("{\"a\":1}\n", "{\"a\":1}", "with a line feed at its end"),
        ("{\n\"a\":1}", "{\r\n\"a\":1}", "LF in place of its CRLF"),
        (
            "{\"a\":\"\\u00fc\"}",
            "{\"a\":\"ü\"}",
            "escapes for all that is not ASCII",
        ),
        ("{\"a\":1,\"b\":2}", "{\"b\":2,\"a\":1}", "keys sorted"),
        ("payload=%7B%22a%22%3A1%7D", "{\"a\":1}", "of a form"),
        ("{\"a\":\"ü\"}", "{\"a\":\"\u{c3}\u{bc}\"}", "encoded twice"),
        ("", "{}", "left empty"),
        (
            SENT,
            "{\"b\":\"\\u003c1\\u003e\",\"a\":[1.0,null]}",
            "indented by two spaces",
        ),
    ] {
        let hint = format!("{words} ");
        let question = arrived(&github[0], sent, came.as_bytes());
        let said = explained(&github, &question);
        let failed = said
            .checks
            .iter()
            .find(|check| check.outcome == CheckOutcome::Failed)
            .unwrap();
        let hint_said = failed.hint.as_deref().unwrap_or_default();
        assert!(
            failed.name == Signature && hint_said.contains(hint.trim()) && hint_said.contains("secret a"),
            "{sent:?} {came:?}: {failed:#?}"
        );
        assert!(hint_said.ends_with("re-encoded it"), "{hint_said}");
    }
}

#[test]
fn a_signature_over_the_encoded_body_is_recognised() {
    let github = github();
    let mut gzip = Vec::new();
    // A stored block: no library is needed to write one.
    let body = b"{\"a\":1}";
    gzip.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1, 7, 0, 0xf8, 0xff])
        .unwrap();
    gzip.write_all(body).unwrap();
    gzip.write_all(&crc32(body).to_le_bytes()).unwrap();
    gzip.write_all(&7_u32.to_le_bytes()).unwrap();
    let question = with(signed(&github, "push", &gzip), "content-encoding", "gzip");
    check(
        std::slice::from_ref(&github),
        &question,
        Fails(Signature, "", "as it was encoded, by the secret a"),
    );
    let mut decoded = with(signed(&github, "push", body), "content-encoding", "gzip");
    decoded.body = gzip.into();
    assert!(explained(&[github], &decoded).verified);
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xedb8_8320
            } else {
                crc >> 1
            }
        })
    })
}

fn bounded(explain: ExplainOptions, question: &Question) -> Explanation {
    let options = IngestOptions {
        explain,
        ..IngestOptions::default()
    };
    let explainer = Explainer::build(options, vec![github()]).unwrap();
    now(explainer.explain(question, super::NOW))
}

#[test]
fn what_is_tried_has_bounds_and_says_so() {
    let question = arrived(&github(), "{\"a\":1}", b"{\"a\": 1}");
    let hint = |explain: ExplainOptions| {
        let explanation = bounded(explain, &question);
        let failed = explanation
            .checks
            .into_iter()
            .find(|check| check.outcome == CheckOutcome::Failed);
        failed.unwrap().hint.unwrap()
    };
    assert!(hint(ExplainOptions::default()).contains("without white space"));
    let short = hint(ExplainOptions {
        reencode_bytes_max: 7,
        ..ExplainOptions::default()
    });
    assert!(short.contains("not everything was tried"), "{short}");
    let lazy = hint(ExplainOptions {
        work_bytes_max: 1000,
        ..ExplainOptions::default()
    });
    assert!(lazy.contains("not everything was tried"), "{lazy}");
}

#[test]
fn a_right_signature_costs_no_search() {
    let github = github();
    let question = signed(&github, "push", "{}");
    let none = ExplainOptions {
        reencode_bytes_max: 0,
        secrets_max: 0,
        work_bytes_max: 0,
    };
    assert!(bounded(none, &question).verified);
}
