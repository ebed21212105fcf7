//! From the body of a request to an order: what is not as it should be is refused here, by the name of its field, before
//! anything is asked to act on it.

pub(crate) mod source;

use domain::{
    Cause, DeliveryStatus, DestinationName, ErrorCode, Position, ReplayFilter, ReplayMatch, ReplayOrder,
    ReplayTo, RetryDead, SourceName,
};
use poem_openapi::{Enum, Object};
use serde::{Deserialize, Serialize};

use crate::access::Caller;
use crate::failure::Failure;
use crate::json_body::Command;
use crate::param::parse_time;

/// The longest reason, in characters.
const REASON_CHARS_MAX: usize = 500;
/// The longest text of a filter, in bytes.
const TEXT_BYTES_MAX: usize = 300;
/// The most destinations that an order may name.
const DESTINATIONS_MAX: usize = 100;

/// Where a replay goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename = "ReplayTo", rename_all = "lowercase")]
pub(crate) enum To {
    /// To the destinations, again.
    #[default]
    Processing,
    /// To the subjects of the live stream, again; the status stays as it is.
    Subjects,
}

impl From<To> for ReplayTo {
    fn from(to: To) -> Self {
        match to {
            To::Processing => Self::Processing,
            To::Subjects => Self::Subjects,
        }
    }
}

impl From<ReplayTo> for To {
    fn from(to: ReplayTo) -> Self {
        match to {
            ReplayTo::Processing => Self::Processing,
            ReplayTo::Subjects => Self::Subjects,
        }
    }
}

/// A status that deliveries are chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename = "ReplayedStatus", rename_all = "lowercase")]
pub(crate) enum Status {
    /// In the log, its destinations are due.
    Received,
    /// Some destinations done, others open without a failure.
    Processing,
    /// A failure, and a next attempt planned.
    Retrying,
    /// All done.
    Processed,
    /// Given up.
    Dead,
    /// The same as dead.
    Failed,
}

impl From<Status> for DeliveryStatus {
    fn from(status: Status) -> Self {
        match status {
            Status::Received => Self::Received,
            Status::Processing => Self::Processing,
            Status::Retrying => Self::Retrying,
            Status::Processed => Self::Processed,
            Status::Dead | Status::Failed => Self::Dead,
        }
    }
}

/// Which deliveries; what is left out does not narrow.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[oai(rename = "ReplayFilterRequest", rename_all = "camelCase")]
pub(crate) struct FilterRequest {
    /// `owner/name`, or a glob: a star stays within its part of the name, two cross the slashes.
    repository: Option<String>,
    /// The configured sender.
    source: Option<String>,
    /// An event type, `event` or `event.action`.
    event: Option<String>,
    /// The action within the event.
    action: Option<String>,
    /// The status that it has at `toPosition`.
    status: Option<Status>,
    /// Received at or after; a date alone is its start.
    from: Option<String>,
    /// Received before; a date alone is its start.
    to: Option<String>,
}

/// A replay of all that fits a filter.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[oai(rename_all = "camelCase")]
pub(crate) struct ReplayRequest {
    /// Which deliveries; `{}` is all of them. Needed.
    filter: Option<FilterRequest>,
    /// `processing` unless given.
    to: Option<To>,
    /// Only to these destinations; to all that want the delivery unless given.
    destinations: Option<Vec<String>>,
    /// The most deliveries a second, 200 unless given; it yields to the lag of live deliveries.
    rate: Option<u32>,
    /// The last position that it is about, as a dry run answered it; the present head unless given.
    to_position: Option<u64>,
    /// Only count.
    pub(crate) dry_run: bool,
    /// Why, for the audit record. Needed unless it is a dry run.
    reason: Option<String>,
}

impl Command for ReplayRequest {
    const WHAT: &'static str = "What to replay, where to, and why";
    const EXPECTED: &'static str = "a JSON object with filter {repository, source, event, action, status, from, to}, to, \
                                    destinations, rate, toPosition, dryRun and reason is expected";
    const REQUIRED: bool = true;
}

/// A replay of one delivery; everything may be left out, and so may the whole.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[oai(rename_all = "camelCase")]
pub(crate) struct ReplayOneRequest {
    /// Why.
    pub(crate) reason: Option<String>,
    /// `processing` unless given.
    pub(crate) to: Option<To>,
    /// Only to these destinations; to all that want it unless given.
    pub(crate) destinations: Option<Vec<String>>,
}

impl Command for ReplayOneRequest {
    const WHAT: &'static str = "Why, where to";
    const EXPECTED: &'static str =
        "a JSON object with reason, to and destinations is expected, each optional, or no body at all";
}

/// Why something is done; may be left out, and so may the whole.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[oai(rename_all = "camelCase")]
pub(crate) struct ReasonRequest {
    /// Why.
    pub(crate) reason: Option<String>,
}

impl Command for ReasonRequest {
    const WHAT: &'static str = "Why";
    const EXPECTED: &'static str = "a JSON object with reason is expected, or no body at all";
}

/// A retry of dead letters; everything may be left out, and so may the whole.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
#[oai(rename_all = "camelCase")]
pub(crate) struct RetryRequest {
    /// Why.
    reason: Option<String>,
    /// Only what was given up at this destination.
    destination: Option<String>,
    /// Only what was given up with this error code.
    error_code: Option<String>,
    /// Only what was given up with this error, in the words of `GET /api/webhooks/failed/causes`.
    error: Option<String>,
}

impl Command for RetryRequest {
    const WHAT: &'static str = "Which dead letters, and why";
    const EXPECTED: &'static str = "a JSON object with reason, destination, errorCode and error is expected, each optional, or no body at all";
}

/// The retry that a request means.
pub(crate) fn retry(request: RetryRequest, caller: &Caller) -> Result<RetryDead, Failure> {
    let named = request.destination.map(|name| vec![name]);
    let code = request
        .error_code
        .map(|text| text.parse::<ErrorCode>())
        .transpose();
    let one_of = |_| {
        let known: Vec<&str> = ErrorCode::ALL.into_iter().map(ErrorCode::as_str).collect();
        Failure::field("errorCode", &format!("one of {} is expected", known.join(", ")))
    };
    // The words of an error are as long as errors are.
    let fits = |words: &String| !words.is_empty() && words.chars().count() <= REASON_CHARS_MAX;
    if request.error.as_ref().is_some_and(|words| !fits(words)) {
        return Err(Failure::field(
            "error",
            "a text of 1 to 500 characters is expected",
        ));
    }
    Ok(RetryDead {
        tenant: caller.tenant.clone(),
        destination: named_destinations("destination", named, ReplayTo::Processing)?.pop(),
        cause: Cause {
            code: code.map_err(one_of)?,
            wording: request.error,
        },
        requested_by: caller.name.clone(),
        reason: reason(request.reason)?,
    })
}

/// The order that a request means.
pub(crate) fn replay(request: ReplayRequest, caller: &Caller) -> Result<ReplayOrder, Failure> {
    let reason = reason(request.reason)?;
    if reason.is_none() && !request.dry_run {
        return Err(Failure::field(
            "reason",
            "say why: it is kept in the audit record; a dry run needs none",
        ));
    }
    let filter = request.filter.ok_or_else(|| {
        Failure::field(
            "filter",
            "say which deliveries, such as {\"repository\":\"octo-org/*\"}; {} is all",
        )
    })?;
    if request.rate == Some(0) {
        return Err(Failure::field("rate", "a whole number from 1 is expected"));
    }
    let to = request.to.unwrap_or_default().into();
    Ok(ReplayOrder {
        tenant: caller.tenant.clone(),
        filter: checked(filter)?,
        to,
        destinations: destinations(request.destinations, to)?,
        dead_only: false,
        rate_per_second: request.rate,
        to_position: request.to_position.map(Position::new),
        requested_by: caller.name.clone(),
        reason,
    })
}

fn checked(request: FilterRequest) -> Result<ReplayFilter, Failure> {
    let source = text("filter.source", request.source)?;
    let filter = ReplayFilter {
        delivery: None,
        repository: text("filter.repository", request.repository)?,
        source: source
            .map(|name| name.parse::<SourceName>())
            .transpose()
            .map_err(|error| Failure::field("filter.source", &error.to_string()))?,
        event: text("filter.event", request.event)?,
        action: text("filter.action", request.action)?,
        status: request.status.map(DeliveryStatus::from),
        error_code: None,
        error: None,
        from: time("filter.from", request.from.as_deref())?,
        to: time("filter.to", request.to.as_deref())?,
    };
    // The same reading that the replay does later.
    let matching = ReplayMatch::new(filter).map_err(|error| Failure::field("filter", &error.to_string()))?;
    Ok(matching.filter().clone())
}

fn text(field: &str, text: Option<String>) -> Result<Option<String>, Failure> {
    let fits = |text: &String| (1..=TEXT_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control);
    match text {
        Some(text) if !fits(&text) => Err(Failure::field(field, "a text of 1 to 300 bytes is expected")),
        text => Ok(text),
    }
}

fn time(field: &str, text: Option<&str>) -> Result<Option<domain::Timestamp>, Failure> {
    let Some(text) = text else {
        return Ok(None);
    };
    let time = parse_time(text).ok_or_else(|| {
        Failure::field(
            field,
            "a time such as 2026-11-21T08:30:00Z, or a date such as 2026-11-21, is expected",
        )
    })?;
    Ok(Some(time))
}

/// The destinations that an order is narrowed to.
pub(crate) fn destinations(
    named: Option<Vec<String>>,
    to: ReplayTo,
) -> Result<Vec<DestinationName>, Failure> {
    named_destinations("destinations", named, to)
}

fn named_destinations(
    field: &str,
    named: Option<Vec<String>>,
    to: ReplayTo,
) -> Result<Vec<DestinationName>, Failure> {
    let named = match named {
        None => return Ok(Vec::new()),
        Some(named) => named,
    };
    // An empty list that meant all would be the opposite of what it says.
    if named.is_empty() || named.len() > DESTINATIONS_MAX {
        let expected =
            "1 to 100 names of destinations are expected; leave it out for all that want the delivery";
        return Err(Failure::field(field, expected));
    }
    if to == ReplayTo::Subjects {
        let expected = "only a replay to processing goes to destinations";
        return Err(Failure::field("destinations", expected));
    }
    let mut names = Vec::with_capacity(named.len());
    for name in named {
        let name: DestinationName = name
            .parse()
            .map_err(|error: domain::InvalidName| Failure::field(field, &error.to_string()))?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// The reason, if one was given. Blank is none.
pub(crate) fn reason(text: Option<String>) -> Result<Option<String>, Failure> {
    let text = text.map(|text| text.trim().to_owned());
    let text = text.filter(|text| !text.is_empty());
    let fits = |text: &String| text.chars().count() <= REASON_CHARS_MAX && !text.contains(char::is_control);
    match text {
        Some(text) if !fits(&text) => Err(Failure::field(
            "reason",
            "one line of at most 500 characters is expected",
        )),
        text => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(json: &str) -> Result<ReplayOrder, String> {
        let caller = Caller::loopback_for_test();
        let request = serde_json::from_str(json).map_err(|error| error.to_string())?;
        replay(request, &caller).map_err(|failure| failure.to_string())
    }

    #[test]
    fn an_order_holds_what_was_said_and_who_said_it() {
        let order = order(
            r#"{"filter":{"repository":"octo-org/*","source":"github","event":"push","action":"opened","status":"failed",
                "from":"2026-11-20","to":"2026-11-21T08:00:00Z"},"to":"processing","destinations":["ci","ci","chat"],
                "rate":50,"toPosition":4711,"reason":" the receiver was down "}"#,
        )
        .unwrap();
        assert_eq!(order.filter.status, Some(DeliveryStatus::Dead));
        assert_eq!(
            order.filter.from.map(|t| t.to_string()).as_deref(),
            Some("2026-11-20T00:00:00Z")
        );
        assert_eq!(order.destinations.len(), 2);
        assert_eq!(
            (order.rate_per_second, order.to_position),
            (Some(50), Some(Position::new(4711)))
        );
        assert_eq!(order.requested_by, "loopback");
        assert_eq!(order.reason.as_deref(), Some("the receiver was down"));
        assert!(!order.dead_only);
    }

    #[test]
    fn what_is_wrong_is_refused_by_its_name() {
        let because = r#""reason":"because""#;
        for (json, named) in [
            (r#"{"filter":{}}"#.to_owned(), "`reason`"),
            (r#"{"filter":{},"reason":"  "}"#.to_owned(), "`reason`"),
            (format!("{{{because}}}"), "`filter`"),
            (
                format!(r#"{{"filter":{{"repositry":"a/b"}},{because}}}"#),
                "`repositry`",
            ),
            (format!(r#"{{"filters":{{}},{because}}}"#), "`filters`"),
            (
                format!(r#"{{"filter":{{"status":"pending"}},{because}}}"#),
                "`pending`",
            ),
            (
                format!(r#"{{"filter":{{"from":"yesterday"}},{because}}}"#),
                "`filter.from`",
            ),
            (
                format!(r#"{{"filter":{{"from":"2026-11-21","to":"2026-11-20"}},{because}}}"#),
                "ends before it begins",
            ),
            (
                format!(r#"{{"filter":{{"repository":"["}},{because}}}"#),
                "no glob",
            ),
            (
                format!(r#"{{"filter":{{"source":"Not One"}},{because}}}"#),
                "`filter.source`",
            ),
            (
                format!(r#"{{"filter":{{"event":""}},{because}}}"#),
                "`filter.event`",
            ),
            (format!(r#"{{"filter":{{}},"rate":0,{because}}}"#), "`rate`"),
            (format!(r#"{{"filter":{{}},"rate":-1,{because}}}"#), "-1"),
            (
                format!(r#"{{"filter":{{}},"destinations":[],{because}}}"#),
                "`destinations`",
            ),
            (
                format!(r#"{{"filter":{{}},"to":"subjects","destinations":["ci"],{because}}}"#),
                "`destinations`",
            ),
            (
                format!(r#"{{"filter":{{}},"destinations":["No Name"],{because}}}"#),
                "No Name",
            ),
            (
                format!(r#"{{"filter":{{}},"to":"nowhere",{because}}}"#),
                "`nowhere`",
            ),
        ] {
            let message = order(&json).unwrap_err();
            assert!(message.contains(named), "{json}: {message}");
        }
    }

    #[test]
    fn a_dry_run_needs_no_reason() {
        assert!(order(r#"{"filter":{},"dryRun":true}"#).is_ok());
    }

    #[test]
    fn a_reason_is_one_line_of_bounded_length() {
        assert!(reason(Some("x".repeat(500))).is_ok());
        assert!(reason(Some("x".repeat(501))).is_err());
        assert!(reason(Some("a\nb".to_owned())).is_err());
        assert_eq!(reason(None).unwrap(), None);
    }
}
