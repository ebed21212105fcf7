//! The fold of the log that tables are compared with.

use std::collections::HashMap;

use bytes::Bytes;
use domain::{PageLimit, Position};

use super::{Comparison, Halt, PIECE_EVENTS};
use crate::model::{Projected, ReadModel, RowBatch};
use crate::models::{FoldError, FoldedRow, rows_of};
use crate::verify::VerifyError;
use crate::verify::digest::{Digest, Expected, Key, Standing};

/// A fold on its way through the log.
pub(super) struct Fold {
    model: Box<dyn ReadModel>,
    at: Position,
    pub(super) part: u32,
    pub(super) parts: u32,
    pub(super) sink: Sink,
}

/// What becomes of the rows.
pub(super) enum Sink {
    Digests(Expected),
    /// The rows of these identities as they are, with the table and the version.
    Rows(HashMap<Key, Option<(usize, u128, FoldedRow)>>),
}

impl Comparison<'_> {
    pub(super) fn fold(&self, part: u32, parts: u32, sink: Sink) -> Fold {
        Fold {
            model: (self.projection.factory)(self.row.shape()),
            at: Position::START,
            part,
            parts,
            sink,
        }
    }

    /// Folds the log up to a position: in pieces, or with every event by itself, so that no state in between is passed over.
    /// Returns how many events that were.
    pub(super) async fn feed(
        &self,
        fold: &mut Fold,
        upto: Position,
        one_by_one: bool,
    ) -> Result<usize, Halt> {
        let mut folded = 0;
        let options = &self.worker.options;
        let limit = PageLimit {
            events: options.batch_events_max.clamp(1, PIECE_EVENTS),
            bytes: options.batch_bytes_max,
        };
        while fold.at < upto {
            let page = self.worker.log.read_all(fold.at, limit).await?;
            let events: Vec<_> = page
                .events
                .into_iter()
                .filter(|event| event.position <= upto)
                .collect();
            let Some(last) = events.last().map(|event| event.position) else {
                return Err(VerifyError::Diverged(upto).into());
            };
            folded += events.len();
            let (mut piece, mut bytes) = (Vec::new(), 0);
            for event in events {
                let (mut projected, _) = Projected::of(event);
                let received = projected.received.as_ref();
                if received.is_some_and(|received| fold.model.wants_payload(received)) {
                    projected.payload = self.worker.payload(&[], &projected.event).await;
                }
                bytes += projected.payload.as_ref().map_or(0, Bytes::len);
                piece.push(projected);
                if one_by_one || bytes >= options.batch_bytes_max {
                    self.project(fold, &piece, one_by_one)?;
                    piece.clear();
                    bytes = 0;
                }
            }
            self.project(fold, &piece, one_by_one)?;
            fold.at = last;
            self.watch.folded(last, upto);
            tokio::task::yield_now().await;
        }
        Ok(folded)
    }

    fn project(&self, fold: &mut Fold, piece: &[Projected], later: bool) -> Result<(), Halt> {
        if piece.is_empty() {
            return Ok(());
        }
        let mut batch = RowBatch::readable();
        fold.model.project(piece, &mut batch)?;
        for (name, lines) in batch.into_lines() {
            let of_name = self
                .layouts
                .iter()
                .enumerate()
                .find(|(_, layout)| layout.name == name);
            let (table, layout) = of_name.ok_or_else(|| FoldError::Table(name.to_owned()))?;
            for row in rows_of(name, &lines) {
                let row = row?;
                let digest = Digest::of(layout, &row)?;
                if digest.part(fold.parts) == fold.part {
                    fold.sink.take(table, digest, row, later);
                }
            }
        }
        if fold.sink.len() > self.rows_max() {
            return Err(Halt::Full);
        }
        Ok(())
    }
}

impl Fold {
    pub(super) fn judge(&mut self, digest: &Digest) -> Standing {
        match &mut self.sink {
            Sink::Digests(expected) => expected.judge(digest),
            Sink::Rows(_) => Standing::Unknown,
        }
    }
}

impl Sink {
    fn len(&self) -> usize {
        match self {
            Self::Digests(expected) => expected.len(),
            // Never more than were wanted.
            Self::Rows(_) => 0,
        }
    }

    fn take(&mut self, table: usize, digest: Digest, row: FoldedRow, later: bool) {
        match self {
            Self::Digests(expected) if later => expected.write_later(digest),
            Self::Digests(expected) => expected.write(digest),
            Self::Rows(wanted) => {
                if let Some(kept) = wanted.get_mut(&digest.key)
                    && kept
                        .as_ref()
                        .is_none_or(|(_, version, _)| *version <= digest.version)
                {
                    *kept = Some((table, digest.version, row));
                }
            }
        }
    }

    pub(super) fn row(&self, key: &Key) -> Option<(usize, &FoldedRow)> {
        match self {
            Self::Digests(_) => None,
            Self::Rows(wanted) => {
                let (table, _, row) = wanted.get(key)?.as_ref()?;
                Some((*table, row))
            }
        }
    }
}
