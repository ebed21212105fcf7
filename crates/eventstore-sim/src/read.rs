//! Reads and subscriptions.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use crate::fault::count;
use crate::protocol::event_store::client::streams::read_req::Options;
use crate::protocol::event_store::client::streams::read_req::options::all_options::AllOption;
use crate::protocol::event_store::client::streams::read_req::options::filter_options::Filter;
use crate::protocol::event_store::client::streams::read_req::options::stream_options::RevisionOption;
use crate::protocol::event_store::client::streams::read_req::options::{
    AllOptions, CountOption, FilterOption, ReadDirection, StreamOption, StreamOptions,
};
use crate::protocol::event_store::client::streams::read_resp::{
    CaughtUp, Checkpoint, Content, ReadEvent, StreamNotFound, SubscriptionConfirmation, read_event,
};
use crate::protocol::event_store::client::streams::{ReadReq, ReadResp};
use crate::service::{Service, identifier, name, wire_record};
use crate::store::{Record, Store};

/// So many records that the filter of a subscription leaves out are told by a checkpoint.
const CHECKPOINT_EVERY: usize = 4;

type Answers = mpsc::Sender<Result<ReadResp, Status>>;

pub(crate) fn read(
    service: &Service,
    request: ReadReq,
) -> Result<ReceiverStream<Result<ReadResp, Status>>, Status> {
    let options = request
        .options
        .ok_or_else(|| Status::invalid_argument("a read needs options"))?;
    let (answers, stream) = mpsc::channel(64);
    let (count_option, target) = (options.count_option, options.stream_option.clone());
    match (count_option, target) {
        (Some(CountOption::Count(events_max)), Some(target)) => {
            count(&service.faults.counters.reads);
            let events_max = usize::try_from(events_max).unwrap_or(usize::MAX);
            let records = match target {
                StreamOption::Stream(of) => of_stream(&service.store, &options, of)?,
                StreamOption::All(all) => Some(of_all(&service.store, &options, &all, events_max)?),
            };
            let broken_after = service.faults.take_broken_read();
            tokio::spawn(send(records, events_max, broken_after, answers));
        }
        (Some(CountOption::Subscription(_)), Some(StreamOption::All(all))) => {
            count(&service.faults.counters.subscriptions);
            let from = subscription_start(&service.store, &all)?;
            tokio::spawn(subscribe(service.clone(), Prefixes::of(&options), from, answers));
        }
        (Some(CountOption::Subscription(_)), Some(StreamOption::Stream(_))) => {
            return Err(Status::unimplemented("nobody under test subscribes to a stream"));
        }
        (None, _) | (_, None) => return Err(Status::invalid_argument("a read needs a target and a count")),
    }
    Ok(ReceiverStream::new(stream))
}

/// Which streams a read is about; all where there is no filter.
struct Prefixes(Option<Vec<String>>);

impl Prefixes {
    fn of(options: &Options) -> Self {
        match &options.filter_option {
            Some(FilterOption::Filter(filter)) => match &filter.filter {
                Some(Filter::StreamIdentifier(expression)) => Self(Some(expression.prefix.clone())),
                Some(Filter::EventType(_)) | None => Self(None),
            },
            Some(FilterOption::NoFilter(_)) | None => Self(None),
        }
    }

    fn fit(&self, record: &Record) -> bool {
        let Self(Some(prefixes)) = self else {
            return true;
        };
        prefixes
            .iter()
            .any(|prefix| record.stream.starts_with(prefix.as_str()))
    }
}

fn is_backwards(options: &Options) -> bool {
    options.read_direction == ReadDirection::Backwards as i32
}

fn of_stream(
    store: &Store,
    options: &Options,
    of: StreamOptions,
) -> Result<Option<Vec<Arc<Record>>>, Status> {
    let stream = name(of.stream_identifier)?;
    let Some(mut records) = store.stream(&stream) else {
        return Ok(None);
    };
    let at = |revision: u64| usize::try_from(revision).unwrap_or(usize::MAX);
    if is_backwards(options) {
        if let Some(RevisionOption::Revision(revision)) = of.revision_option {
            records.truncate(at(revision).saturating_add(1));
        }
        records.reverse();
    } else if let Some(RevisionOption::Revision(revision)) = of.revision_option {
        records.drain(..at(revision).min(records.len()));
    }
    Ok(Some(records))
}

/// A forward read begins with the record at a position, a backward one with the record before it.
fn of_all(
    store: &Store,
    options: &Options,
    all: &AllOptions,
    events_max: usize,
) -> Result<Vec<Arc<Record>>, Status> {
    let filter = Prefixes::of(options);
    let at = match &all.all_option {
        Some(AllOption::Position(position)) => Some(record_at(store, position.commit_position)?),
        Some(AllOption::Start(_) | AllOption::End(_)) | None => None,
    };
    let fit = |record: &Record| filter.fit(record);
    Ok(if is_backwards(options) {
        store.last_before(at, events_max, fit)
    } else {
        store.first_from(at.unwrap_or(0), events_max, fit)
    })
}

/// A real server reads its files from there: a position in the midst of a record gives nothing sensible.
fn record_at(store: &Store, position: u64) -> Result<usize, Status> {
    store
        .index_of(position)
        .map_err(|_| Status::invalid_argument(format!("there is no record at {position}")))
}

async fn send(
    records: Option<Vec<Arc<Record>>>,
    events_max: usize,
    broken_after: Option<usize>,
    answers: Answers,
) {
    let Some(records) = records else {
        let not_found = Content::StreamNotFound(StreamNotFound {
            stream_identifier: Some(identifier("")),
        });
        let _gone = answers.send(Ok(content(not_found))).await;
        return;
    };
    for (n, record) in records.iter().take(events_max).enumerate() {
        if broken_after == Some(n) {
            break;
        }
        if answers.send(Ok(event(record))).await.is_err() {
            return;
        }
    }
    if broken_after.is_some() {
        let _gone = answers
            .send(Err(Status::unavailable("the server is going away")))
            .await;
        return;
    }
    // A client has to leave out what it does not know.
    if let Some(last) = records.last() {
        let last = Content::LastStreamPosition(last.revision);
        let _gone = answers.send(Ok(content(last))).await;
    }
}

/// The index of the first record of a subscription: what is behind a position, not what stands at it.
fn subscription_start(store: &Store, all: &AllOptions) -> Result<usize, Status> {
    match &all.all_option {
        Some(AllOption::Position(position)) => Ok(record_at(store, position.commit_position)? + 1),
        Some(AllOption::End(_)) => Ok(store.records(0).len()),
        Some(AllOption::Start(_)) | None => Ok(0),
    }
}

async fn subscribe(service: Service, filter: Prefixes, mut next: usize, answers: Answers) {
    let mut closed = service.faults.closings();
    let mut ending = service.faults.endings();
    let mut count = service.store.watch();
    let confirmation = Content::Confirmation(SubscriptionConfirmation {
        subscription_id: uuid::Uuid::new_v4().to_string(),
    });
    if answers.send(Ok(content(confirmation))).await.is_err() {
        return;
    }
    let mut left_out = 0;
    let mut is_live = false;
    loop {
        count.borrow_and_update();
        for record in service.store.records(next) {
            next += 1;
            let answer = if filter.fit(&record) {
                left_out = 0;
                event(&record)
            } else if left_out + 1 == CHECKPOINT_EVERY {
                left_out = 0;
                checkpoint(&record)
            } else {
                left_out += 1;
                continue;
            };
            if answers.send(Ok(answer)).await.is_err() {
                return;
            }
        }
        if !std::mem::replace(&mut is_live, true) {
            let _gone = answers
                .send(Ok(content(Content::CaughtUp(CaughtUp::default()))))
                .await;
        }
        tokio::select! {
            _ = count.changed() => {}
            () = answers.closed() => return,
            () = async { drop(ending.wait_for(|ending| *ending).await) } => return,
            _ = closed.changed() => {
                let _gone = answers.send(Err(Status::unavailable("the server closed the subscription"))).await;
                return;
            }
        }
    }
}

fn content(content: Content) -> ReadResp {
    ReadResp {
        content: Some(content),
    }
}

fn event(record: &Record) -> ReadResp {
    content(Content::Event(ReadEvent {
        event: Some(wire_record(record)),
        link: None,
        position: Some(read_event::Position::CommitPosition(record.position)),
    }))
}

fn checkpoint(record: &Record) -> ReadResp {
    content(Content::Checkpoint(Checkpoint {
        commit_position: record.position,
        prepare_position: record.position,
        timestamp: None,
    }))
}
