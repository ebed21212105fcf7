//! Appends in a session: many in flight, each answered when it is done.

use futures_util::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::append::{NoAnswer, SAID, write};
use crate::fault::count;
use crate::protocol::event_store::client::AllStreamPosition;
use crate::protocol::event_store::client::streams::batch_append_req::options::ExpectedStreamPosition;
use crate::protocol::event_store::client::streams::batch_append_resp::{Success, success};
use crate::protocol::event_store::client::streams::{BatchAppendReq, BatchAppendResp, batch_append_resp};
use crate::protocol::google::rpc;
use crate::service::{Service, identifier, name, wire_uuid};
use crate::store::{Expected, Proposed, Refused, Written};

type Answers = mpsc::Sender<Result<BatchAppendResp, Status>>;

/// Serves a session until the client or a fault ends it.
pub(crate) fn serve(
    service: Service,
    mut requests: Streaming<BatchAppendReq>,
) -> impl Stream<Item = Result<BatchAppendResp, Status>> + Send + use<> {
    let (answers, stream) = mpsc::channel(64);
    tokio::spawn(async move {
        let mut closed = service.faults.closings();
        loop {
            let request = tokio::select! {
                request = requests.message() => request,
                () = answers.closed() => return,
                _ = closed.changed() => {
                    let _gone = answers.send(Err(Status::unavailable("the server is going away"))).await;
                    return;
                }
            };
            match request {
                Ok(Some(request)) => take(&service, &answers, request).await,
                Ok(None) | Err(_) => return,
            }
        }
    });
    ReceiverStream::new(stream)
}

/// Appends are begun in the order in which they came; one that is held holds no other.
async fn take(service: &Service, answers: &Answers, request: BatchAppendReq) {
    count(&service.faults.counters.batched);
    let (service, answers) = (service.clone(), answers.clone());
    let mut append = Box::pin(async move {
        let answer = append(&service, request).await;
        let _gone = answers.send(answer).await;
    });
    if futures_util::poll!(&mut append).is_pending() {
        tokio::spawn(append);
    }
}

async fn append(service: &Service, request: BatchAppendReq) -> Result<BatchAppendResp, Status> {
    let options = request
        .options
        .ok_or_else(|| Status::invalid_argument("an append needs options"))?;
    let stream = name(options.stream_identifier)?;
    let expected = match options.expected_stream_position {
        Some(ExpectedStreamPosition::StreamPosition(revision)) => Expected::Revision(revision),
        Some(ExpectedStreamPosition::NoStream(())) => Expected::NoStream,
        Some(ExpectedStreamPosition::Any(())) | None => Expected::Any,
        Some(ExpectedStreamPosition::StreamExists(())) => Expected::StreamExists,
    };
    let mut events = Vec::new();
    for event in request.proposed_messages {
        events.push(Proposed {
            id: event
                .id
                .and_then(wire_uuid)
                .ok_or_else(|| Status::invalid_argument("an event needs an id"))?,
            metadata: event.metadata,
            custom_metadata: event.custom_metadata,
            data: event.data,
        });
    }
    let result = match write(service, &stream, expected, events).await {
        Ok(written) => batch_append_resp::Result::Success(success(written)),
        Err(NoAnswer::Refused(refused)) => batch_append_resp::Result::Error(error(refused)),
        Err(NoAnswer::Code(code)) => batch_append_resp::Result::Error(rpc::Status {
            code,
            message: SAID.to_owned(),
            details: None,
        }),
        Err(NoAnswer::Status(status)) => return Err(*status),
    };
    Ok(BatchAppendResp {
        correlation_id: request.correlation_id,
        stream_identifier: Some(identifier(&stream)),
        expected_stream_position: None,
        result: Some(result),
    })
}

fn success(written: Written) -> Success {
    Success {
        current_revision_option: written
            .revision
            .map(success::CurrentRevisionOption::CurrentRevision),
        position_option: Some(success::PositionOption::Position(AllStreamPosition {
            commit_position: written.position,
            prepare_position: written.position,
        })),
    }
}

/// The client shows of this the code and the message only.
fn error(refused: Refused) -> rpc::Status {
    let (code, message) = match refused {
        Refused::WrongVersion(_) => (Code::FailedPrecondition, "wrong expected version"),
        Refused::TooLarge => (Code::InvalidArgument, "maximum append size exceeded"),
        Refused::Failed => (Code::Internal, "the data file can't be written"),
    };
    rpc::Status {
        code: i32::from(code),
        message: message.to_owned(),
        details: None,
    }
}
