//! Rows into the tables: those of every table first, the progress last.

use domain::{RecordedEvent, Rows, TableError};
use futures_util::{StreamExt as _, stream};
use uuid::Uuid;

use super::Worker;
use super::board::Post;
use super::open::Slot;
use super::project::Hand;
use crate::backoff::Backoff;
use crate::builds::BuildRow;
use crate::model::RowBatch;
use crate::progress;

/// Rows ready to be written, and what is true once they are.
pub(crate) struct Batch {
    /// The partitions of builds that it is for.
    parts: Vec<(BuildRow, u32)>,
    rows: Vec<TableRows>,
    upto: Option<Upto>,
}

/// Where a batch ends; a piece of one that is not whole ends nowhere, as not all tables have what is before that.
struct Upto {
    last: RecordedEvent,
    /// How many events it is about.
    events: u64,
}

struct TableRows {
    /// The build's incarnation.
    build: Uuid,
    /// With its database.
    table: String,
    rows: Rows,
}

/// A build whose rows the store does not take.
pub(crate) struct Refusal {
    /// The build's incarnation.
    pub(crate) build: Uuid,
    pub(crate) error: TableError,
}

impl Batch {
    /// What the models of the slots have given since the last one, and where it ends. One that fails in this is left out.
    pub(crate) fn of(slots: &mut [Slot], last: RecordedEvent, events: u64) -> Self {
        Self::given(slots, Some(Upto { last, events }), Hand::finish)
    }

    /// A piece of the next batch, ahead of it: the rows of the tables that have at least so many.
    pub(crate) fn ahead(slots: &mut [Slot], rows_min: usize) -> Self {
        Self::given(slots, None, |hand| Ok(hand.rows.take_large(rows_min)))
    }

    fn given(
        slots: &mut [Slot],
        upto: Option<Upto>,
        give: impl Fn(&mut Hand) -> Result<RowBatch, TableError>,
    ) -> Self {
        let (mut parts, mut rows) = (Vec::new(), Vec::<TableRows>::new());
        for slot in slots.iter_mut().filter(|slot| slot.defect.is_none()) {
            let given = match slot.hand.as_mut().map(&give) {
                Some(Ok(given)) => given,
                Some(Err(defect)) => {
                    slot.defect = Some(defect.to_string());
                    continue;
                }
                None => continue,
            };
            // A piece without rows of a build says nothing of how the store takes them.
            if upto.is_none() && given.bytes() == 0 {
                continue;
            }
            parts.push((slot.row.clone(), slot.partition));
            for (table, of_table) in given.into_rows() {
                let table = format!("hooklog.{}", slot.row.table(table));
                // The partitions of a build that are fed together are written together.
                let beside = rows.iter_mut().find(|one| one.table == table);
                let left = match beside {
                    Some(one) => one.rows.append(of_table).err(),
                    None => Some(of_table),
                };
                rows.extend(left.map(|rows| TableRows {
                    build: slot.row.incarnation,
                    table,
                    rows,
                }));
            }
        }
        rows.retain(|one| !one.rows.is_empty());
        Self { parts, rows, upto }
    }

    /// Leaves out what is not of these slots: one that left the lane while this was gathered may lack what was before it.
    pub(crate) fn only(mut self, slots: &[Slot]) -> Self {
        let stays = |build: &Uuid| slots.iter().any(|slot| slot.row.incarnation == *build);
        self.parts.retain(|(row, _)| stays(&row.incarnation));
        self.rows.retain(|one| stays(&one.build));
        self
    }
}

impl Worker {
    /// Writes a batch, or a piece of one. Waits for as long as the store can't be reached; an insert in doubt is done again, which changes
    /// nothing. Builds whose rows are refused are told and make no progress; the others don't suffer.
    ///
    /// # Errors
    /// When the store refuses the progress too, or the rows of every build: then it is not about the rows.
    pub(crate) async fn write(&self, posts: &[Post], batch: Batch) -> Result<Vec<Refusal>, TableError> {
        let count: usize = batch.rows.iter().map(|one| one.rows.len()).sum();
        let mut refused: Vec<Refusal> = stream::iter(batch.rows)
            .map(|TableRows { build, table, rows }| async move {
                let error = self.insert(posts, table, rows).await.err()?;
                Some(Refusal { build, error })
            })
            .buffer_unordered(self.options.inserts_max.max(1))
            .filter_map(std::future::ready)
            .collect()
            .await;
        let taken = |build: &Uuid| refused.iter().all(|refusal| refusal.build != *build);
        let written: Vec<(BuildRow, u32)> = batch
            .parts
            .into_iter()
            .filter(|(row, _)| taken(&row.incarnation))
            .collect();
        if written.is_empty() {
            return refused.pop().map_or(Ok(Vec::new()), |refusal| Err(refusal.error));
        }
        metrics::counter!("hooklog_projection_rows_total").increment(count as u64);
        let Some(Upto { last, events }) = batch.upto else {
            return Ok(refused);
        };
        let parts = written.iter().map(|(row, partition)| (row, *partition));
        let progress = progress::rows(parts, &last, self.clock.as_ref())?;
        self.insert(posts, format!("hooklog.{}", progress::PROGRESS), progress)
            .await?;
        metrics::counter!("hooklog_projection_batches_total").increment(1);
        posts
            .iter()
            .filter(|post| {
                let of_post = |(row, _): &(BuildRow, u32)| row.incarnation == post.incarnation();
                written.iter().any(of_post)
            })
            .for_each(|post| post.reached(&last, events));
        Ok(refused)
    }

    async fn insert(&self, posts: &[Post], table: String, rows: Rows) -> Result<(), TableError> {
        let mut backoff = self.backoff();
        loop {
            match self.tables.insert(&table, rows.clone()).await {
                Ok(()) => return Ok(()),
                Err(TableError::Unavailable(why)) => {
                    tracing::warn!(table, why, "projection_insert_failed: trying again");
                    posts
                        .iter()
                        .for_each(|post| post.failed(&format!("the read store can't be reached: {why}")));
                    backoff.wait().await;
                }
                Err(refused @ (TableError::Refused(_) | TableError::Encoding(_))) => return Err(refused),
            }
        }
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff::new(self.options.retry_ms_min, self.options.retry_ms_max)
    }
}
