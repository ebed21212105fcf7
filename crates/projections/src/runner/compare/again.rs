//! Reading rows again that several partitions write.
//!
//! Partitions are at different positions while they are filled. A row that more than one of them writes, such as that of a job
//! that two deliveries announce, then shows what one of them says and not yet what another one does: a state that the log was
//! in at no position. Once the one behind has come as far it is right, or wrong for good.

use std::time::Duration;

use tokio::time::sleep;

use super::fold::Fold;
use super::{Aside, Comparison, Halt};
use crate::models::rows_of;
use crate::progress;
use crate::verify::VerifyError;
use crate::verify::digest::{Digest, Standing};

const PAUSE: Duration = Duration::from_millis(500);
/// So often it is waited for a partition that is behind.
const PAUSES_MAX: u32 = 120;
/// So often a row must have been read wrong since no partition was behind.
const EVEN_READS: u32 = 3;

impl Comparison<'_> {
    /// Leaves those that are still not what the fold says when every partition is where the furthest was.
    pub(super) async fn read_again(&self, fold: &mut Fold, aside: &mut Vec<Aside>) -> Result<(), Halt> {
        let reached = progress::read(self.worker.tables.as_ref(), self.row).await?;
        let furthest = reached
            .values()
            .map(|progress| progress.upto)
            .max()
            .unwrap_or_default();
        let mut even = 0;
        for _ in 0..PAUSES_MAX {
            sleep(PAUSE).await;
            even += u32::from(self.reached().await? >= furthest);
            let head = self.worker.log.head().await?;
            self.feed(fold, head, true).await?;
            let mut still = Vec::new();
            for one in aside.drain(..) {
                let one = self.row_again(one).await?;
                if fold.judge(&one.digest) != Standing::Right {
                    still.push(one);
                }
            }
            *aside = still;
            if aside.is_empty() || even >= EVEN_READS {
                return Ok(());
            }
        }
        Err(VerifyError::TooBusy.into())
    }

    /// A row as it is now.
    async fn row_again(&self, one: Aside) -> Result<Aside, Halt> {
        let Some(layout) = self.layouts.get(one.table) else {
            return Ok(one);
        };
        let query = layout.row(&self.row.table(layout.name), &one.identity);
        let found = self.worker.tables.query_json(&query).await?;
        let Some(row) = rows_of(layout.name, &found).next().transpose()? else {
            return Ok(one);
        };
        Ok(Aside {
            digest: Digest::of(layout, &row)?,
            row,
            ..one
        })
    }
}
