//! What is told of a request that somebody asks about: the right check, a hint that helps, and nothing that is secret.

mod law;
mod recoded;
mod schemes;
mod secrecy;
mod tenants;

use domain::Timestamp;
use poem::http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    Asker, CheckName, CheckOutcome, Explainer, Explanation, IngestOptions, Question, SchemeKind, Secret,
    Sender, Sent, SourceOptions, WouldBe,
};

/// When everything here is signed, and asked about unless a test says otherwise.
const NOW: Timestamp = Timestamp::from_millis(1_763_766_000_000);

/// A source of a scheme with these secrets, named a, b and so on.
fn source(name: &str, scheme: SchemeKind, secrets: &[&str]) -> SourceOptions {
    let named = ["a", "b", "c"].iter().zip(secrets);
    let secrets = named.map(|(id, value)| Secret::new(id, value)).collect();
    SourceOptions {
        scheme,
        ..SourceOptions::new(name.parse().unwrap(), secrets)
    }
}

/// A request, signed by the first secret of its source.
fn signed(source: &SourceOptions, event: &str, body: impl AsRef<[u8]>) -> Question {
    let sent = Sent {
        event,
        delivery_id: "d-1",
        body: body.as_ref(),
        now: NOW,
    };
    let mut headers = HeaderMap::new();
    for (name, value) in Sender::build(source).unwrap().sign(&sent).unwrap() {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(&value).unwrap());
    }
    Question {
        asker: Asker::Instance,
        source: source.name.to_string(),
        connection: None,
        headers,
        body: body.as_ref().to_vec().into(),
        at: None,
    }
}

fn with(mut question: Question, name: &'static str, value: &str) -> Question {
    question
        .headers
        .insert(name, HeaderValue::from_str(value).unwrap());
    question
}

fn without(mut question: Question, name: &str) -> Question {
    assert!(question.headers.remove(name).is_some(), "there is no {name}");
    question
}

fn now<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

fn explained(sources: &[SourceOptions], question: &Question) -> Explanation {
    let explainer = Explainer::build(IngestOptions::default(), sources.to_vec()).unwrap();
    now(explainer.explain(question, NOW))
}

/// What has to be told.
#[derive(Debug, Clone, Copy)]
enum Told<'a> {
    /// That it is taken, by the secret of this id.
    Fits(&'a str),
    /// That this check fails, with these words in the message, and these in the hint.
    Fails(CheckName, &'a str, &'a str),
}

#[track_caller]
fn check(sources: &[SourceOptions], question: &Question, told: Told<'_>) {
    let explanation = explained(sources, question);
    let failed: Vec<_> = explanation
        .checks
        .iter()
        .filter(|check| check.outcome == CheckOutcome::Failed)
        .collect();
    match told {
        Told::Fits(id) => {
            assert!(failed.is_empty() && explanation.verified, "{explanation:#?}");
            assert_eq!(explanation.secret_id.as_deref(), Some(id));
            assert_eq!(explanation.would_be, WouldBe::Accepted);
        }
        Told::Fails(name, message, hint) => {
            let [failed] = failed.as_slice() else {
                panic!("not one that fails: {explanation:#?}");
            };
            let said = failed.hint.as_deref().unwrap_or_default();
            assert!(
                failed.name == name && failed.message.contains(message) && said.contains(hint),
                "{name:?}, {message:?}, {hint:?}: {failed:#?}"
            );
            assert_eq!(explanation.would_be, WouldBe::Rejected);
            assert!(!explanation.verified);
            // What comes after it was not looked at.
            let after = explanation.checks.iter().filter(|check| check.name > name);
            assert!(
                after
                    .into_iter()
                    .all(|check| check.outcome == CheckOutcome::Skipped)
            );
        }
    }
}
