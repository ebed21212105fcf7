//! Follows the live stream of a server: connects again when it breaks off, goes on where it was, and says when something may be
//! missing.

use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use domain::LogId;
use futures_util::{Stream, StreamExt as _, stream};
use reqwest::StatusCode;
use serde_json::Value;
use sse_stream::{Sse, SseByteStream};
use tokio::time::{sleep, timeout};

use super::client::{Client, Refused};
use super::table::{cell, clean, field};
use crate::telemetry;

/// The server says something every few seconds; after so much silence the connection is taken for dead.
const SILENCE_MAX: Duration = Duration::from_secs(60);
/// The pauses between two tries to connect.
const PAUSE_FIRST: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// What the server answers where the place to go on from is none of its log.
const GAPS: [&str; 2] = ["LOG_CHANGED", "POSITION_BEYOND_HEAD"];

type Pieces = Pin<Box<dyn Stream<Item = reqwest::Result<Bytes>>>>;

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// A delivery, as lists show it.
    Delivery(Value),
    /// What became of one.
    Change(Value),
    /// Nothing, but the log has gone on: everything up to [`Live::at`] was heard, or left out by the filter.
    Further,
    /// The connection is gone, and why; it is tried again.
    Lost(String),
    /// It is there again, right after what was heard last.
    Back,
    /// It can't go on from where it was, and why: something may be missing.
    Gap(String),
}

/// Where to begin.
#[derive(Debug)]
pub(super) enum Begin {
    /// With what comes in from now on.
    Now,
    /// After a place that somebody typed: where there is none such, they are told so.
    Typed(String),
    /// After a place that was written down: where there is none such any more, something may be missing.
    Remembered(String),
}

/// Reads a place: a position, or `<logId>:<position>`.
pub(super) fn place(text: &str) -> Result<String, String> {
    let position = match text.split_once(':') {
        Some((log, position)) if log.parse::<LogId>().is_ok() => position,
        Some(_) => "",
        None => text,
    };
    let is_number = position.bytes().all(|byte| byte.is_ascii_digit()) && position.parse::<u64>().is_ok();
    if is_number {
        Ok(text.to_owned())
    } else {
        Err("a position of the log is expected, or <logId>:<position>".to_owned())
    }
}

/// A place was typed that the log does not have.
#[derive(Debug, thiserror::Error)]
#[error("--after {after}: {refused}")]
struct Misplaced {
    after: String,
    refused: String,
}

/// The exit code where the error is that the command was used wrongly.
pub(super) fn wrong_usage(error: anyhow::Error) -> anyhow::Result<ExitCode> {
    if !error.is::<Misplaced>() {
        return Err(error);
    }
    telemetry::print_error(&error);
    Ok(ExitCode::from(2))
}

/// A stream that is followed.
pub(super) struct Live {
    client: Client,
    query: Vec<(&'static str, String)>,
    /// The id of the last event.
    at: Option<String>,
    stream: Option<SseByteStream<Pieces>>,
    pause: Duration,
    /// Why the server is about to end the stream.
    notice: Option<String>,
    /// Whether somebody typed where it begins.
    is_typed: bool,
    /// Whether there ever was a connection, and whether the loss of it was told.
    was_connected: bool,
    lost: bool,
}

impl Live {
    /// Follows from there on.
    pub(super) fn new(client: Client, query: Vec<(&'static str, String)>, begin: Begin) -> Self {
        let (at, is_typed) = match begin {
            Begin::Now => (None, false),
            Begin::Typed(place) => (Some(place), true),
            Begin::Remembered(place) => (Some(place), false),
        };
        Self {
            client,
            query,
            at,
            is_typed,
            stream: None,
            pause: PAUSE_FIRST,
            notice: None,
            was_connected: false,
            lost: false,
        }
    }

    /// Up to where everything was heard, as `<logId>:<position>`.
    pub(super) fn at(&self) -> Option<&str> {
        self.at.as_deref()
    }

    /// The server, for what the stream does not say.
    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// What is heard next.
    pub(super) async fn next(&mut self) -> anyhow::Result<Heard> {
        loop {
            let Some(stream) = &mut self.stream else {
                if let Some(heard) = self.connect().await? {
                    return Ok(heard);
                }
                continue;
            };
            // An event that is cut off, or no text, is one that did not come.
            let Some(Ok(event)) = stream.next().await else {
                self.stream = None;
                let why = self.notice.take();
                return Ok(self.lose(why.unwrap_or_else(|| "the connection broke off".to_owned())));
            };
            if let Some(heard) = self.take(event)? {
                return Ok(heard);
            }
        }
    }

    /// What an event says.
    fn take(&mut self, event: Sse) -> anyhow::Result<Option<Heard>> {
        let has_id = event.id.is_some();
        self.at = event.id.or(self.at.take());
        let Some(data) = event.data else {
            return Ok(has_id.then_some(Heard::Further));
        };
        let data: Value = serde_json::from_str(&data).context("the stream holds what is no JSON")?;
        let name = event.event.as_deref().unwrap_or_default();
        // Only what brings something shows that it is well, not why it ends.
        if name != "notice" {
            self.pause = PAUSE_FIRST;
        }
        Ok(match name {
            "" | "message" => Some(Heard::Delivery(data)),
            "status" => Some(Heard::Change(data)),
            "notice" => {
                let (code, message) = (cell(field(&data, "code")), cell(field(&data, "message")));
                self.notice = Some(clean(&format!("{message} ({code})")));
                None
            }
            // Of a later version.
            _ => None,
        })
    }

    fn lose(&mut self, why: String) -> Heard {
        self.lost = true;
        Heard::Lost(why)
    }

    /// Connects; something is heard where that is news.
    async fn connect(&mut self) -> anyhow::Result<Option<Heard>> {
        if self.lost {
            sleep(self.pause).await;
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
        let asking = self
            .client
            .stream("/webhooks/stream", &self.query, self.at.as_deref());
        let answered = timeout(SILENCE_MAX, asking).await;
        let answered = answered.unwrap_or_else(|_| Err(anyhow::anyhow!("the server does not answer")));
        match answered {
            Ok(answer) => {
                let pieces = living(answer.bytes_stream());
                self.stream = Some(SseByteStream::new(pieces));
                let back = if self.at.is_some() || !self.was_connected {
                    Heard::Back
                } else {
                    Heard::Gap("where the stream broke off is not known".to_owned())
                };
                self.was_connected = true;
                Ok(std::mem::take(&mut self.lost).then_some(back))
            }
            Err(error) => self.not_connected(error).map(Some),
        }
    }

    fn not_connected(&mut self, error: anyhow::Error) -> anyhow::Result<Heard> {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            if GAPS.contains(&refused.code.as_str())
                && let Some(after) = self.at.take()
            {
                if self.is_typed && !self.was_connected {
                    let refused = refused.to_string();
                    return Err(Misplaced { after, refused }.into());
                }
                // From what is there now on: nobody knows what came in between. That is told, and coming back no news then.
                self.lost = false;
                return Ok(Heard::Gap(refused.to_string()));
            }
            let later = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
            if !later.contains(&refused.status) {
                return Err(error);
            }
        } else if !self.was_connected {
            return Err(error);
        }
        Ok(self.lose(format!("{error:#}")))
    }
}

/// The pieces of an answer, up to where nothing comes any more: the server says something every few seconds, if it is only a
/// comment.
fn living(pieces: impl Stream<Item = reqwest::Result<Bytes>> + 'static) -> Pieces {
    let pieces = Box::pin(pieces);
    Box::pin(stream::unfold(pieces, |mut pieces| async {
        let piece = timeout(SILENCE_MAX, pieces.next()).await.ok()??;
        Some((piece, pieces))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_a_position_with_or_without_its_log() {
        let own = "8f4f3a1e-8d0a-4f1c-9d5e-0a6c4b7e2f11:41";
        for good in ["0", "41", own] {
            assert_eq!(place(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "x",
            "-1",
            "+1",
            "1.5",
            "41:",
            ":41",
            "x:41",
            "18446744073709551616",
        ] {
            assert!(place(bad).is_err(), "{bad}");
        }
    }
}
