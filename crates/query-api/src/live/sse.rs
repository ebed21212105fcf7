//! One stream of server-sent events, at the pace of its client: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
//!
//! A task of its own reads and writes into a short queue that the connection empties. Who takes nothing for too long loses
//! the stream, never an event: it goes on from its last id.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use domain::Position;
use futures_util::stream;
use poem::Body;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::HangUp;
use super::filter::Filter;
use super::item::{Item, Kind};
use super::notice::Notice;
use super::pass::Pass;
use super::places::Place;
use super::reader::Reader;
use super::resume::token;
use crate::state::State;

/// Pieces that may wait for the connection.
const PIECES_MAX: usize = 2;
/// How long the last words may take to leave.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a client should wait before it connects again, in milliseconds.
const RETRY_MS: u64 = 2000;

/// A stream that was asked for.
pub(crate) struct Stream {
    pub(crate) state: Arc<State>,
    pub(crate) pass: Pass,
    pub(crate) filter: Filter,
    /// Where it begins.
    pub(crate) after: Position,
    pub(crate) place: Place,
    /// Ends the connection below.
    pub(crate) hang_up: Option<HangUp>,
}

/// Why it goes no further.
enum End {
    /// The client went.
    Gone,
    Told(Notice),
}

struct Writer {
    pieces: mpsc::Sender<Bytes>,
    gone: CancellationToken,
    stall: Duration,
}

impl Stream {
    /// Begins to stream.
    pub(crate) fn start(self) -> Body {
        // One place more than is used, so that there is always room for the last words.
        let (pieces, queue) = mpsc::channel(PIECES_MAX + 1);
        let gone = CancellationToken::new();
        let held = gone.clone().drop_guard();
        tokio::spawn(self.run(pieces, gone));
        Body::from_bytes_stream(stream::unfold((queue, held), |(mut queue, held)| async {
            let piece = queue.recv().await?;
            Some((Ok::<_, std::io::Error>(piece), (queue, held)))
        }))
    }

    async fn run(self, pieces: mpsc::Sender<Bytes>, gone: CancellationToken) {
        let Ok(last) = pieces.clone().reserve_owned().await else {
            return;
        };
        let writer = Writer {
            pieces,
            gone: gone.clone(),
            stall: Duration::from_millis(self.state.live.options.stall_timeout_ms),
        };
        let reader = Reader::new(Arc::clone(&self.state.live), self.after);
        let end = self.go_on(reader, writer).await;
        let End::Told(notice) = end else {
            return;
        };
        metrics::counter!("hooklog_live_ended_total", "kind" => "sse", "reason" => notice.code())
            .increment(1);
        let words = format!("event: notice\ndata: {}\n\n", notice.json());
        // With it goes the last sender, so that the answer ends here.
        drop(last.send(words.into()));
        if timeout(LAST_WORDS, gone.cancelled()).await.is_err()
            && let Some(HangUp(connection)) = &self.hang_up
        {
            connection.cancel();
        }
        drop(self.place);
    }

    async fn go_on(&self, mut reader: Reader, writer: Writer) -> End {
        let log = self.state.log.id();
        // A client that is cut off before its first event goes on from here.
        let opening = format!("retry: {RETRY_MS}\nid: {}\n\n", token(log, self.after));
        if let Err(end) = writer.put(opening.into()).await {
            return end;
        }
        let mut told = self.after;
        let runs_out = self.pass.clone().runs_out(Arc::clone(&self.state));
        tokio::pin!(runs_out);
        let mut beat = interval(Duration::from_millis(self.state.live.options.heartbeat_ms.max(1)));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        beat.reset();
        loop {
            let piece = tokio::select! {
                biased;
                notice = &mut runs_out => return End::Told(notice),
                () = writer.gone.cancelled() => return End::Gone,
                _ = beat.tick() => {
                    // An id is a sign of life for parsers that yield no comments, too.
                    told = told.max(reader.at());
                    format!("id: {}\n\n", token(log, told)).into()
                }
                items = reader.next() => match items {
                    Ok(items) => self.piece(&items, &mut told),
                    Err(error) => {
                        self.state.live.report(&error);
                        return End::Told(Notice::LogUnreadable);
                    }
                },
            };
            if piece.is_empty() {
                continue;
            }
            tokio::select! {
                biased;
                put = writer.put(piece) => if let Err(end) = put {
                    return end;
                },
                notice = &mut runs_out => return End::Told(notice),
            }
        }
    }

    /// What a client is shown of some events; `told` becomes the last position that it is told.
    fn piece(&self, items: &[Arc<Item>], told: &mut Position) -> Bytes {
        let log = self.state.log.id();
        let mut piece = BytesMut::new();
        let mut count = 0;
        for item in items.iter().filter(|item| self.filter.wants(item)) {
            let (head, row) = match &item.kind {
                Kind::Delivery(delivery) => ("id: ", &delivery.row),
                Kind::Change(change) => ("event: status\nid: ", &change.row),
                Kind::Other => continue,
            };
            piece.extend_from_slice(head.as_bytes());
            piece.extend_from_slice(token(log, item.position).as_bytes());
            piece.extend_from_slice(b"\ndata: ");
            piece.extend_from_slice(row);
            piece.extend_from_slice(b"\n\n");
            *told = item.position;
            count += 1;
        }
        metrics::counter!("hooklog_live_events_total", "kind" => "sse").increment(count);
        piece.freeze()
    }
}

impl Writer {
    /// Hands a piece to the connection, once it has taken those before.
    async fn put(&self, piece: Bytes) -> Result<(), End> {
        match timeout(self.stall, self.pieces.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_gone)) => Err(End::Gone),
            Err(_) => Err(End::Told(Notice::SlowClient)),
        }
    }
}
