//! What is said of each check. The words are of the caller's own request, of settings, and of ids of secrets.

use domain::Hold;

use super::walk::Walk;
use super::{Asker, CheckName, CheckOutcome, Finding, Known};
use crate::options::Secret;
use crate::rejection::Rejection;
use crate::signature::Shape;

/// The most names that are listed.
const NAMES_MAX: usize = 10;

/// What a sender would be told, and what that is answered.
pub(super) fn of(rejection: &Rejection) -> Finding {
    Finding::new(format!("{}; {}", rejection.message(), answered(rejection)))
}

fn answered(rejection: &Rejection) -> String {
    format!(
        "the sender is answered {} {}",
        rejection.status().as_u16(),
        rejection.code()
    )
}

/// A source that is not known, or is another tenant's, which is the same.
pub(super) fn unknown_source(known: &Known<'_>, asker: &Asker) -> Finding {
    let finding = of(&Rejection::UnknownSource);
    let names = known.sources.iter().filter(|source| asker.knows(source));
    let names: Vec<String> = names.map(|source| source.name.to_string()).collect();
    if names.is_empty() {
        return finding;
    }
    finding.with(format!(
        "there are: {}; what is paused takes no deliveries",
        listed(&names)
    ))
}

/// A source that takes nothing now.
pub(super) fn held(why: Hold) -> Finding {
    match why {
        Hold::Paused => {
            of(&Rejection::SourcePaused).with("hooklog source resume NAME lets it take deliveries again")
        }
        Hold::Unavailable => of(&Rejection::SourceUnavailable).with("hooklog source show NAME says why"),
    }
}

/// A connection without a secret that the caller may hear of.
pub(super) fn unknown_connection(walk: &Walk<'_>) -> Finding {
    let finding = Finding::new(
        "no secret of the source is bound to this connection, so that nothing can be received there",
    );
    let seen = walk.source.secrets().filter(|s| walk.question.asker.sees(s));
    let mut bound: Vec<String> = seen.filter_map(|secret| secret.hook.clone()).collect();
    bound.sort();
    bound.dedup();
    if bound.is_empty() {
        return finding.with("none is bound to any; leave the connection out");
    }
    finding.with(format!("secrets are bound to: {}", listed(&bound)))
}

/// The body is not encoded as its header says: often because it was decoded before it was shown to whoever asks.
pub(super) fn not_decodable(rejection: &Rejection) -> Finding {
    of(rejection).with("give the bytes as they were on the wire, or, if these are decoded already, leave Content-Encoding out")
}

/// Right, but signed too long ago.
pub(super) fn too_old(age_ms: Option<i64>, tolerance_ms: u64) -> Finding {
    let within = format!("up to {} is taken", duration(tolerance_ms));
    let answered = answered(&Rejection::TooOld { age_ms });
    match age_ms {
        None => Finding::new(format!(
            "the signature fits, but the time of signing is missing or can't be read; {answered}"
        )),
        Some(age) if age < 0 => Finding::new(format!(
            "the signature fits, but was made {} ahead of the time of receipt; {within}; {answered}",
            duration(age.unsigned_abs())
        ))
        .with("compare the clocks of both sides"),
        Some(age) => Finding::new(format!(
            "the signature fits, but was made {} before the time of receipt; {within}; {answered}",
            duration(age.unsigned_abs())
        ))
        .with(
            "an old request is checked as of its own time when that is given; else compare the clocks, and see tolerance_ms of \
             the source",
        ),
    }
}

/// The source does not keep such events.
pub(super) fn unwanted() -> Finding {
    Finding::new("the source does not want such an event: it is answered 200 and not kept")
        .with("see events and repositories of the source")
}

/// What is said of a check that did not fail.
pub(super) fn passed(walk: &Walk<'_>, name: CheckName) -> (CheckOutcome, String) {
    let passed = |message: String| (CheckOutcome::Passed, message);
    let skipped = |message: &str| (CheckOutcome::Skipped, message.to_owned());
    let source = walk.source;
    match name {
        CheckName::Source => passed(format!(
            "it receives webhooks by the scheme {}",
            source.scheme.name()
        )),
        CheckName::Connection => passed("secrets are bound to it".to_owned()),
        CheckName::UserAgent => passed("it is the sender's".to_owned()),
        CheckName::Headers => passed("those that the scheme needs are there".to_owned()),
        CheckName::ContentEncoding => {
            passed("the body can be decoded; the signature has to cover the decoded bytes".to_owned())
        }
        CheckName::SignatureForm | CheckName::Signature if !source.verify => {
            skipped("the source asks for no proof, and takes deliveries of true loopback clients only")
        }
        CheckName::SignatureForm => passed(match source.scheme.shape(walk.head, &walk.found.candidates) {
            Shape::Token(_) => "the header holds a token".to_owned(),
            Shape::Mac(_) | Shape::List(_) => "it is written as the scheme writes it".to_owned(),
        }),
        CheckName::Body => passed(match &walk.found.body {
            Some(body) => format!("{} bytes, within the limit", body.len()),
            None => "within the limit".to_owned(),
        }),
        CheckName::Signature => passed("it fits a secret".to_owned()),
        CheckName::JsonObject => match &walk.found.claim {
            Some(claim) if source.scheme.paths(claim).object_required => passed("the body is one".to_owned()),
            Some(_) | None => skipped("the scheme takes any body"),
        },
        CheckName::Freshness => freshness(walk),
        CheckName::EventFilter => passed("the source keeps such an event".to_owned()),
    }
}

fn freshness(walk: &Walk<'_>) -> (CheckOutcome, String) {
    let skipped = |message: &str| (CheckOutcome::Skipped, message.to_owned());
    let Some(request) = walk.found.request.as_ref().filter(|r| r.time_is_signed()) else {
        return skipped("the proof covers no time");
    };
    let tolerance_ms = walk.source.tolerance_ms;
    match request.claim().signed_at {
        Some(at) if tolerance_ms > 0 => {
            let age = duration(at.age_ms(walk.now).unsigned_abs());
            let within = duration(tolerance_ms);
            (
                CheckOutcome::Passed,
                format!("signed {age} from the time of receipt; up to {within} is taken"),
            )
        }
        Some(_) | None => skipped("the source takes any time"),
    }
}

/// Secrets by their ids.
pub(super) fn ids(secrets: &[&Secret]) -> String {
    let ids: Vec<String> = secrets.iter().map(|secret| secret.id.clone()).collect();
    listed(&ids)
}

fn listed(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(NAMES_MAX).map(String::as_str).collect();
    let more = names.len().saturating_sub(NAMES_MAX);
    match more {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn duration(millis: u64) -> String {
    if millis < 1000 {
        format!("{millis} ms")
    } else {
        format!("{} s", millis / 1000)
    }
}
