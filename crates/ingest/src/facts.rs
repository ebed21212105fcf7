//! What a verified body says: one pass over it, in memory or in the body store, however large.

use domain::{BodyUpload, Entity, EventFilter};

use crate::body::{ReceivedBody, unwritable};
use crate::form::FormPayload;
use crate::json::{Found, NotJson, Path, Scalar, Scanner};
use crate::rejection::Rejection;
use crate::signature::{Claim, FactPaths, VerifiedRequest};
use crate::source::Source;

/// How much of a stored body is looked at in one step, in bytes.
const STEP_BYTES: usize = 256 * 1024;

/// The name of an event whose sender names none.
const UNKNOWN: &str = "unknown";

/// What a delivery says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Facts {
    /// The event type.
    pub(crate) event: String,
    /// The action within it.
    pub(crate) action: Option<String>,
    /// The repository, as the sender spells it.
    pub(crate) repository: Option<String>,
    /// Whoever caused it.
    pub(crate) sender: Option<String>,
    /// What it is about.
    pub(crate) entity: Option<Entity>,
}

impl Facts {
    /// Whether a filter wants a delivery with these facts.
    pub(crate) fn are_wanted(&self, filter: &EventFilter) -> bool {
        filter.wants(&self.event, self.action.as_deref(), self.repository.as_deref())
    }
}

/// Reads the facts of a request. A body that is not what its scheme requires is refused; anywhere else it is just a body
/// without facts.
pub(crate) async fn read(source: &Source, request: &mut VerifiedRequest) -> Result<Facts, Rejection> {
    let claim = request.claim().clone();
    let paths = source.scheme.paths(&claim);
    let mut document = Document::new(&paths, claim.form, source.body_bytes_max);
    let read = match request.body() {
        ReceivedBody::Memory(bytes) => document.feed(bytes),
        ReceivedBody::Spooled { upload, bytes } => stored(&mut document, upload.as_mut(), *bytes).await,
    };
    match read.and_then(|()| document.finish()) {
        Ok(found) if found.object || !paths.object_required => Ok(facts_of(&claim, &paths, found)),
        Err(Unreadable::NotJson(_)) if !paths.object_required => {
            let values = Vec::new();
            Ok(facts_of(
                &claim,
                &paths,
                Found {
                    object: false,
                    values,
                },
            ))
        }
        Ok(_) => Err(Rejection::NotJsonObject("it is another JSON value")),
        Err(Unreadable::NotJson(NotJson(why))) => Err(Rejection::NotJsonObject(why)),
        Err(Unreadable::Refused(rejection)) => Err(rejection),
    }
}

enum Unreadable {
    NotJson(NotJson),
    Refused(Rejection),
}

async fn stored(document: &mut Document, upload: &mut dyn BodyUpload, bytes: u64) -> Result<(), Unreadable> {
    let mut offset = 0;
    while offset < bytes {
        let piece = upload.read(offset, STEP_BYTES).await;
        let piece = piece.map_err(|e| Unreadable::Refused(unwritable(e)))?;
        if piece.is_empty() {
            return Err(Unreadable::Refused(Rejection::Unavailable(
                "a large body can't be read back",
            )));
        }
        document.feed(&piece)?;
        offset += piece.len() as u64;
    }
    Ok(())
}

/// The JSON document inside a body.
struct Document {
    scanner: Scanner,
    form: Option<FormPayload>,
    decoded: Vec<u8>,
    decoded_bytes: u64,
    bytes_max: u64,
}

impl Document {
    fn new(paths: &FactPaths, form: bool, bytes_max: u64) -> Self {
        Self {
            scanner: Scanner::new(asked(paths)),
            form: form.then(FormPayload::new),
            decoded: Vec::new(),
            decoded_bytes: 0,
            bytes_max,
        }
    }

    fn feed(&mut self, piece: &[u8]) -> Result<(), Unreadable> {
        let Some(form) = &mut self.form else {
            return self.scanner.feed(piece).map_err(Unreadable::NotJson);
        };
        self.decoded.clear();
        form.feed(piece, &mut self.decoded);
        self.scan_decoded()
    }

    fn scan_decoded(&mut self) -> Result<(), Unreadable> {
        self.decoded_bytes += self.decoded.len() as u64;
        if self.decoded_bytes > self.bytes_max {
            return Err(Unreadable::Refused(Rejection::BodyTooLarge(self.bytes_max)));
        }
        self.scanner.feed(&self.decoded).map_err(Unreadable::NotJson)
    }

    fn finish(mut self) -> Result<Found, Unreadable> {
        if let Some(form) = self.form.take() {
            self.decoded.clear();
            if !form.finish(&mut self.decoded) {
                return Err(Unreadable::NotJson(NotJson("the form has no field payload")));
            }
            self.scan_decoded()?;
        }
        self.scanner.finish().map_err(Unreadable::NotJson)
    }
}

/// The paths in the order in which [`facts_of`] takes their values.
fn asked(paths: &FactPaths) -> Vec<Path> {
    let entity = paths.entity.as_ref().map(|(_, path)| *path);
    let all = [paths.event, paths.action, paths.repository, paths.sender, entity];
    all.into_iter().flatten().collect()
}

fn facts_of(claim: &Claim, paths: &FactPaths, found: Found) -> Facts {
    let mut values = found.values.into_iter();
    let mut take = |asked: bool| if asked { values.next().flatten() } else { None };
    let event = text(take(paths.event.is_some()));
    let action = text(take(paths.action.is_some()));
    let repository = text(take(paths.repository.is_some()));
    let sender = text(take(paths.sender.is_some()));
    let id = take(paths.entity.is_some()).and_then(id_of);
    Facts {
        event: claim
            .event
            .clone()
            .or(event)
            .unwrap_or_else(|| UNKNOWN.to_owned()),
        action,
        repository,
        sender,
        entity: paths.entity.zip(id).map(|((kind, _), id)| Entity {
            kind: kind.to_owned(),
            id,
        }),
    }
}

fn text(value: Option<Scalar>) -> Option<String> {
    match value {
        Some(Scalar::Text(text)) if !text.is_empty() => Some(text),
        Some(Scalar::Text(_) | Scalar::Number(_)) | None => None,
    }
}

/// An id is a string or a whole number.
fn id_of(value: Scalar) -> Option<String> {
    match value {
        Scalar::Text(text) => (!text.is_empty()).then_some(text),
        Scalar::Number(number) => number.parse::<u64>().is_ok().then_some(number),
    }
}
