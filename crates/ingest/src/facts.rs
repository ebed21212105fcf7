//! What a verified body says: one pass over it, in memory or in the body store, however large.

use domain::{BodyUpload, Entity, EventFilter};

use crate::body::{ReceivedBody, unwritable};
use crate::form::FormPayload;
use crate::json::{Found, NotJson, Path, Scalar, Scanner};
use crate::rejection::Rejection;
use crate::signature::{Claim, FactPaths, Stamp, TimeUnit, VerifiedRequest};
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
    let found = match read.and_then(|()| document.finish()) {
        Ok(found) if found.object || !paths.object_required => found.values,
        Err(Unreadable::NotJson(_)) if !paths.object_required => Vec::new(),
        Ok(_) => return Err(Rejection::NotJsonObject("it is another JSON value")),
        Err(Unreadable::NotJson(NotJson(why))) => return Err(Rejection::NotJsonObject(why)),
        Err(Unreadable::Refused(rejection)) => return Err(rejection),
    };
    let Said {
        facts,
        delivery_id,
        signed_at,
    } = said(&claim, &paths, found);
    request.complete(delivery_id, signed_at);
    Ok(facts)
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

/// What a document says.
struct Said {
    facts: Facts,
    delivery_id: Option<String>,
    signed_at: Option<Stamp>,
}

/// The paths in the order in which [`said`] takes their values.
fn asked(paths: &FactPaths) -> Vec<Path> {
    let lists = [&paths.event, &paths.action, &paths.repository, &paths.sender];
    let entity = paths.entity.iter().map(|(_, path)| path);
    let single = [&paths.delivery_id, &paths.signed_at].into_iter().flatten();
    lists
        .into_iter()
        .flatten()
        .chain(entity)
        .chain(single)
        .cloned()
        .collect()
}

fn said(claim: &Claim, paths: &FactPaths, found: Vec<Option<Scalar>>) -> Said {
    let mut values = found.into_iter();
    let mut next = || values.next().flatten();
    let mut first = |paths: &[Path]| {
        // All of them are taken, wherever the first text is.
        let texts = paths.iter().map(|_| text(next()));
        texts.fold(None, Option::or)
    };
    let event = first(&paths.event).or_else(|| claim.event.clone());
    let event = event.unwrap_or_else(|| UNKNOWN.to_owned());
    let (action, repository, sender) = (
        first(&paths.action),
        first(&paths.repository),
        first(&paths.sender),
    );
    let entities = paths.entity.iter().map(|(kind, _)| {
        let id = next().and_then(id_of)?;
        let kind = kind.unwrap_or(&event).to_owned();
        Some(Entity { kind, id })
    });
    let entity = entities.fold(None, Option::or);
    let delivery_id = paths.delivery_id.as_ref().and_then(|_| next()).and_then(id_of);
    let signed_at = paths.signed_at.as_ref().and_then(|_| next()).and_then(stamp_of);
    Said {
        facts: Facts {
            event,
            action,
            repository,
            sender,
            entity,
        },
        delivery_id,
        signed_at,
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

/// A time in a document is a number of milliseconds.
fn stamp_of(value: Scalar) -> Option<Stamp> {
    match value {
        Scalar::Text(_) => None,
        Scalar::Number(number) => Stamp::parse(&number, TimeUnit::Milliseconds),
    }
}
