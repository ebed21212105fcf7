//! One append by a call of its own.

use std::future::pending;

use tonic::{Status, Streaming};

use crate::fault::{Fault, count};
use crate::protocol::event_store::client::Empty;
use crate::protocol::event_store::client::streams::append_req::options::ExpectedStreamRevision;
use crate::protocol::event_store::client::streams::append_req::{Content, Options};
use crate::protocol::event_store::client::streams::append_resp::wrong_expected_version::{
    CurrentRevisionOption, ExpectedRevisionOption,
};
use crate::protocol::event_store::client::streams::append_resp::{
    Position, Success, WrongExpectedVersion, success,
};
use crate::protocol::event_store::client::streams::{AppendReq, AppendResp, append_resp};
use crate::service::{Service, name, not_leader, wire_uuid};
use crate::store::{APPEND_BYTES_MAX, Expected, Proposed, Refused, Written};

pub(crate) async fn append(
    service: &Service,
    mut request: Streaming<AppendReq>,
) -> Result<AppendResp, Status> {
    count(&service.faults.counters.appends);
    let mut options: Option<Options> = None;
    let mut events = Vec::new();
    while let Some(message) = request.message().await? {
        match message.content {
            Some(Content::Options(given)) => options = Some(given),
            Some(Content::ProposedMessage(event)) => events.push(Proposed {
                id: event
                    .id
                    .and_then(wire_uuid)
                    .ok_or_else(|| Status::invalid_argument("an event needs an id"))?,
                metadata: event.metadata,
                custom_metadata: event.custom_metadata,
                data: event.data,
            }),
            None => return Err(Status::invalid_argument("an empty message")),
        }
    }
    let options = options.ok_or_else(|| Status::invalid_argument("an append needs options"))?;
    let stream = name(options.stream_identifier)?;
    let expected = match options.expected_stream_revision {
        Some(ExpectedStreamRevision::Revision(revision)) => Expected::Revision(revision),
        Some(ExpectedStreamRevision::NoStream(_)) => Expected::NoStream,
        Some(ExpectedStreamRevision::Any(_)) | None => Expected::Any,
        Some(ExpectedStreamRevision::StreamExists(_)) => Expected::StreamExists,
    };
    // As on a real server, a write that has begun goes on when the client gives it up.
    let service = service.clone();
    let writing = tokio::spawn(async move { write(&service, &stream, expected, events).await });
    let written = writing
        .await
        .map_err(|error| Status::internal(error.to_string()))?;
    answer(written, expected)
}

/// What is said with a code that a test asked for.
pub(crate) const SAID: &str = "as a test asked for it";

/// Why there is no answer in the protocol's own words.
pub(crate) enum NoAnswer {
    /// The store refuses.
    Refused(Refused),
    /// The call ends with a status.
    Status(Box<Status>),
    /// This append alone ends with a code.
    Code(i32),
}

/// Writes, unless a fault comes between.
pub(crate) async fn write(
    service: &Service,
    stream: &str,
    expected: Expected,
    events: Vec<Proposed>,
) -> Result<Written, NoAnswer> {
    let unavailable = || NoAnswer::Status(Box::new(Status::unavailable("the server is going away")));
    let fault = service.faults.take_append(stream);
    match &fault {
        Some(Fault::Unavailable) => return Err(unavailable()),
        Some(Fault::NotLeader(port)) => return Err(NoAnswer::Status(Box::new(not_leader(*port)))),
        Some(Fault::HangBeforeWrite) => return pending().await,
        Some(Fault::Hold(gate)) => gate.pass().await,
        Some(Fault::LoseAnswer | Fault::HangAfterWrite | Fault::Code { .. } | Fault::NoRevision) | None => {}
    }
    if let Some(Fault::Code { code, written: false }) = fault {
        return Err(NoAnswer::Code(code));
    }
    let written = service.store.append(stream, expected, events);
    match fault {
        Some(Fault::LoseAnswer) => Err(unavailable()),
        Some(Fault::HangAfterWrite) => pending().await,
        Some(Fault::Code { code, .. }) => Err(NoAnswer::Code(code)),
        Some(Fault::NoRevision) => written
            .map(|written| Written {
                revision: None,
                ..written
            })
            .map_err(NoAnswer::Refused),
        Some(Fault::Unavailable | Fault::NotLeader(_) | Fault::HangBeforeWrite | Fault::Hold(_)) | None => {
            written.map_err(NoAnswer::Refused)
        }
    }
}

fn answer(written: Result<Written, NoAnswer>, expected: Expected) -> Result<AppendResp, Status> {
    let result = match written {
        Ok(written) => append_resp::Result::Success(Success {
            current_revision_option: written
                .revision
                .map(success::CurrentRevisionOption::CurrentRevision),
            position_option: Some(success::PositionOption::Position(Position {
                commit_position: written.position,
                prepare_position: written.position,
            })),
        }),
        Err(NoAnswer::Refused(Refused::WrongVersion(current))) => {
            append_resp::Result::WrongExpectedVersion(wrong_version(current, expected))
        }
        Err(NoAnswer::Refused(Refused::TooLarge)) => return Err(too_large()),
        Err(NoAnswer::Refused(Refused::Failed)) => {
            return Err(Status::internal("the data file can't be written"));
        }
        Err(NoAnswer::Status(status)) => return Err(*status),
        Err(NoAnswer::Code(code)) => return Err(Status::new(code.into(), SAID)),
    };
    Ok(AppendResp { result: Some(result) })
}

fn wrong_version(current: Option<u64>, expected: Expected) -> WrongExpectedVersion {
    let current = match current {
        Some(revision) => CurrentRevisionOption::CurrentRevision(revision),
        None => CurrentRevisionOption::CurrentNoStream(Empty {}),
    };
    let expected = match expected {
        Expected::Any => ExpectedRevisionOption::ExpectedAny(Empty {}),
        Expected::NoStream => ExpectedRevisionOption::ExpectedNoStream(Empty {}),
        Expected::StreamExists => ExpectedRevisionOption::ExpectedStreamExists(Empty {}),
        Expected::Revision(revision) => ExpectedRevisionOption::ExpectedRevision(revision),
    };
    WrongExpectedVersion {
        current_revision_option: Some(current),
        expected_revision_option: Some(expected),
        ..WrongExpectedVersion::default()
    }
}

fn too_large() -> Status {
    let mut metadata = tonic::metadata::MetadataMap::new();
    let kind = tonic::metadata::MetadataValue::from_static("maximum-append-size-exceeded");
    metadata.insert("exception", kind);
    metadata.insert("maximum-append-size", (APPEND_BYTES_MAX as u64).into());
    Status::with_metadata(
        tonic::Code::InvalidArgument,
        "maximum append size exceeded",
        metadata,
    )
}
