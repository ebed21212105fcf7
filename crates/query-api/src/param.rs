//! Types of parameters. Each says what it takes, in the OpenAPI document and in the error when it gets something else.

use std::borrow::Cow;

use domain::catalogue::Category;
use domain::{AuditOutcome, DeliveryStatus, SourceName, Timestamp};
use poem::Request;
use poem_openapi::registry::{MetaSchema, MetaSchemaRef};
use poem_openapi::types::{ParseError, ParseFromParameter, ParseResult, Type};

use crate::failure::Failure;

/// A parameter: its name in error texts, its schema, and how its text is read.
macro_rules! parameter {
    ($(#[$doc:meta])* $name:ident($inner:ty), $word:literal, $schema:expr, $parse:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub(crate) struct $name(pub(crate) $inner);

        impl Type for $name {
            const IS_REQUIRED: bool = true;
            type RawValueType = Self;
            type RawElementValueType = Self;

            fn name() -> Cow<'static, str> {
                $word.into()
            }

            fn schema_ref() -> MetaSchemaRef {
                MetaSchemaRef::Inline(Box::new($schema))
            }

            fn as_raw_value(&self) -> Option<&Self> {
                Some(self)
            }

            fn raw_element_iter<'a>(&'a self) -> Box<dyn Iterator<Item = &'a Self> + 'a> {
                Box::new(std::iter::once(self))
            }
        }

        impl ParseFromParameter for $name {
            fn parse_from_parameter(text: &str) -> ParseResult<Self> {
                let parse: fn(&str) -> Result<$inner, Cow<'static, str>> = $parse;
                parse(text).map(Self).map_err(ParseError::custom)
            }
        }
    };
}

fn text_schema(format: Option<&'static str>) -> MetaSchema {
    MetaSchema {
        format,
        ..MetaSchema::new("string")
    }
}

fn number_schema(minimum: f64) -> MetaSchema {
    MetaSchema {
        minimum: Some(minimum),
        ..MetaSchema::new_with_format("integer", "int64")
    }
}

fn choice_schema(words: &[&str]) -> MetaSchema {
    MetaSchema {
        enum_items: words.iter().map(|word| (*word).into()).collect(),
        ..MetaSchema::new("string")
    }
}

parameter!(
    /// A time; a date alone is its start.
    Time(Timestamp),
    "time",
    text_schema(Some("date-time")),
    |text| parse_time(text).ok_or(Cow::Borrowed(
        "a time such as 2026-11-21T08:30:00Z, or a date such as 2026-11-21, is expected"
    ))
);

/// Reads a time; a date alone is its start.
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    // A `+` of an offset that was not escaped arrives as a space.
    let text = text.replace(' ', "+");
    let date_alone = text.len() == "2026-11-21".len();
    let text = if date_alone {
        format!("{text}T00:00:00Z")
    } else {
        text
    };
    text.parse().ok()
}

parameter!(
    /// A whole number from 1.
    Count(u32),
    "count",
    number_schema(1.0),
    |text| match text.parse::<u64>() {
        Ok(number) if number > 0 => Ok(u32::try_from(number).unwrap_or(u32::MAX)),
        _ => Err(Cow::Borrowed("a whole number from 1 is expected")),
    }
);

/// The most rows of a page that the contract allows.
const ROWS_MAX: u32 = 1000;

parameter!(
    /// Rows of a page: from 1; more than the most is clamped to it.
    Limit(u32),
    "limit",
    number_schema(1.0),
    |text| match text.parse::<u64>() {
        Ok(number) if number > 0 => Ok(u32::try_from(number).unwrap_or(u32::MAX).min(ROWS_MAX)),
        _ => Err(Cow::Borrowed(
            "a whole number from 1 to 1000 is expected; more is clamped"
        )),
    }
);

parameter!(
    /// A whole number from 0.
    Number(u32),
    "number",
    number_schema(0.0),
    |text| text
        .parse()
        .map_err(|_| Cow::Borrowed("a whole number from 0 is expected"))
);

parameter!(
    /// Yes or no.
    Flag(bool),
    "flag",
    MetaSchema::new("boolean"),
    |text| match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Cow::Borrowed("one of true, false is expected")),
    }
);

parameter!(
    /// The name of a source.
    Source(SourceName),
    "source",
    MetaSchema {
        pattern: Some("^[a-z0-9_-]{1,63}$".into()),
        ..MetaSchema::new("string")
    },
    |text| text.parse().map_err(|_| Cow::Borrowed(
        "the name of a source is expected: 1 to 63 of the characters a-z, 0-9, _ and -"
    ))
);

/// The longest text of a filter, in bytes.
const TEXT_BYTES_MAX: usize = 300;

parameter!(
    /// Text to compare with.
    Text(String),
    "text",
    MetaSchema {
        max_length: Some(TEXT_BYTES_MAX),
        ..MetaSchema::new("string")
    },
    |text| if text.is_empty() || text.len() > TEXT_BYTES_MAX {
        Err(Cow::Borrowed("a text of 1 to 300 bytes is expected"))
    } else {
        Ok(text.to_owned())
    }
);

parameter!(
    /// What events are about.
    OfCategory(Category),
    "category",
    choice_schema(&Category::ALL.map(Category::as_str)),
    |text| Category::ALL
        .into_iter()
        .find(|category| category.as_str().eq_ignore_ascii_case(text))
        .ok_or_else(|| one_of(&Category::ALL.map(Category::as_str)))
);

/// Words of `status` for deliveries, with what they stand for.
const STATUSES: [&str; 7] = [
    "received",
    "processing",
    "retrying",
    "processed",
    "dead",
    "pending",
    "failed",
];

parameter!(
    /// What became of deliveries: a status, `pending` for the first three, or `failed` for dead.
    Statuses(Vec<DeliveryStatus>),
    "status",
    choice_schema(&STATUSES),
    |text| parse_statuses(text).ok_or_else(|| one_of(&STATUSES))
);

fn parse_statuses(text: &str) -> Option<Vec<DeliveryStatus>> {
    use DeliveryStatus::{Dead, Processing, Received, Retrying};
    match text {
        "pending" => Some(vec![Received, Processing, Retrying]),
        "failed" => Some(vec![Dead]),
        _ => DeliveryStatus::ALL
            .into_iter()
            .find(|s| s.as_str() == text)
            .map(|s| vec![s]),
    }
}

/// The states of a job as GitHub names them, and two words for groups of them.
const JOB_STATES: [&str; 6] = [
    "queued",
    "waiting",
    "in_progress",
    "completed",
    "pending",
    "running",
];

parameter!(
    /// How far jobs are: a state, `pending` for queued or waiting, or `running` for in_progress.
    JobStates(Vec<&'static str>),
    "job status",
    choice_schema(&JOB_STATES),
    |text| match text {
        "pending" => Ok(vec!["queued", "waiting"]),
        "running" => Ok(vec!["in_progress"]),
        _ => JOB_STATES
            .iter()
            .find(|s| **s == text)
            .map(|s| vec![*s])
            .ok_or_else(|| one_of(&JOB_STATES)),
    }
);

const RUN_STATES: [&str; 6] = [
    "requested",
    "queued",
    "waiting",
    "pending",
    "in_progress",
    "completed",
];

parameter!(
    /// How far workflow runs are.
    RunState(&'static str),
    "run status",
    choice_schema(&RUN_STATES),
    |text| RUN_STATES
        .iter()
        .find(|s| **s == text)
        .copied()
        .ok_or_else(|| one_of(&RUN_STATES))
);

const CONCLUSIONS: [&str; 8] = [
    "success",
    "failure",
    "cancelled",
    "skipped",
    "timed_out",
    "action_required",
    "neutral",
    "stale",
];

parameter!(
    /// How workflow runs ended.
    Conclusion(&'static str),
    "conclusion",
    choice_schema(&CONCLUSIONS),
    |text| CONCLUSIONS
        .iter()
        .find(|s| **s == text)
        .copied()
        .ok_or_else(|| one_of(&CONCLUSIONS))
);

const OUTCOMES: [AuditOutcome; 4] = [
    AuditOutcome::Begun,
    AuditOutcome::Done,
    AuditOutcome::Failed,
    AuditOutcome::Refused,
];

parameter!(
    /// What came of an action.
    Outcome(AuditOutcome),
    "outcome",
    choice_schema(&OUTCOMES.map(AuditOutcome::as_str)),
    |text| OUTCOMES
        .into_iter()
        .find(|outcome| outcome.as_str() == text)
        .ok_or_else(|| one_of(&OUTCOMES.map(AuditOutcome::as_str)))
);

/// The steps of a time series.
const INTERVALS: [&str; 3] = ["minute", "hour", "day"];

parameter!(
    /// The step of a time series, in seconds.
    Interval(u32),
    "interval",
    choice_schema(&INTERVALS),
    |text| match text {
        "minute" => Ok(60),
        "hour" => Ok(3600),
        "day" => Ok(86_400),
        _ => Err(one_of(&INTERVALS)),
    }
);

fn one_of(words: &[&str]) -> Cow<'static, str> {
    format!("one of {} is expected", words.join(", ")).into()
}

/// How far from a known name a misspelt one may be.
const MISSPELT_MAX: usize = 2;

/// Refuses a query parameter that looks like a misspelt known one: a filter that is silently ignored answers with far
/// too much. Others are left alone.
pub(crate) fn spelt(request: &Request, known: &[&str]) -> Result<(), Failure> {
    let query = request.uri().query().unwrap_or_default();
    for pair in query.split('&') {
        let name = pair.split('=').next().unwrap_or_default();
        let near = |k: &&&str| {
            k.eq_ignore_ascii_case(name) || (name.len() > 3 && strsim::osa_distance(k, name) <= MISSPELT_MAX)
        };
        if known.contains(&name) || name.is_empty() {
            continue;
        }
        if let Some(meant) = known.iter().find(near) {
            return Err(Failure::parameter(
                name,
                &format!(
                    "not known; did you mean `{meant}`? allowed are {}",
                    known.join(", ")
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rfc_3339_or_a_date() {
        let micros = |text| parse_time(text).map(Timestamp::as_secs);
        assert_eq!(micros("2024-11-15T21:12:01Z"), Some(1_731_705_121));
        assert_eq!(micros("2024-11-15T22:12:01+01:00"), Some(1_731_705_121));
        assert_eq!(micros("2024-11-15T22:12:01 01:00"), Some(1_731_705_121));
        assert_eq!(micros("2024-11-15"), Some(1_731_628_800));
        for bad in ["", "yesterday", "2024-13-01", "2024-11-15T21:12:01", "1731705121"] {
            assert_eq!(micros(bad), None, "{bad}");
        }
    }

    #[test]
    fn pending_and_failed_stand_for_statuses() {
        assert_eq!(parse_statuses("pending").map(|s| s.len()), Some(3));
        assert_eq!(parse_statuses("failed"), Some(vec![DeliveryStatus::Dead]));
        assert_eq!(parse_statuses("processed"), Some(vec![DeliveryStatus::Processed]));
        assert_eq!(parse_statuses("Dead"), None);
    }

    #[test]
    fn a_misspelt_parameter_is_refused_and_a_foreign_one_is_not() {
        let check = |query: &str| {
            let uri = format!("/x?{query}").parse().unwrap();
            let request = Request::builder().uri(uri).finish();
            spelt(&request, &["repository", "limit"]).map_err(|f| f.to_string())
        };
        assert_eq!(check("repository=a&limit=1&utm_source=mail&_=1"), Ok(()));
        assert!(
            check("repositry=a")
                .unwrap_err()
                .contains("did you mean `repository`")
        );
        assert!(check("LIMIT=1").unwrap_err().contains("did you mean `limit`"));
    }
}
