//! What was found, in words: which row differs first, and in what.

use std::collections::HashMap;

use domain::Position;

use super::fold::{Fold, Sink};
use super::{Comparison, Findings, Halt};
use crate::models::FoldedRow;
use crate::verify::digest::Key;
use crate::verify::layout::Layout;
use crate::verify::{Difference, DifferenceKind, VerifiedTable, VerifyError, VerifyReport};

impl Comparison<'_> {
    pub(super) async fn report(&self, findings: Findings, passes: u32) -> Result<VerifyReport, VerifyError> {
        let named = self.layouts.iter().zip(&findings.rows);
        let tables: Vec<VerifiedTable> = named
            .map(|(layout, rows)| VerifiedTable {
                table: layout.name.to_owned(),
                rows: *rows,
            })
            .collect();
        Ok(VerifyReport {
            projection: self.row.projection.clone(),
            build: self.row.build,
            position: findings.position.unwrap_or_default(),
            rows: tables.iter().map(|table| table.rows).sum(),
            tables,
            differences: findings.differences,
            passes,
            first_difference: self.first_difference(findings).await?,
        })
    }

    /// Looks into the log once more, for what the rows that differ should be.
    async fn first_difference(&self, findings: Findings) -> Result<Option<Difference>, VerifyError> {
        let odd_key = findings.odd.as_ref().map(|odd| odd.digest.key);
        let wanted = findings.missing.iter().copied().chain(odd_key);
        let wanted: HashMap<Key, _> = wanted.map(|key| (key, None)).collect();
        if wanted.is_empty() {
            return Ok(None);
        }
        let mut fold = self.fold(0, 1, Sink::Rows(wanted));
        self.detail(&mut fold, findings.latest).await?;
        if odd_key.is_some_and(|key| fold.sink.row(&key).is_none()) {
            let head = self.worker.log.head().await?;
            self.detail(&mut fold, head).await?;
        }
        let missing = findings.missing.iter().filter_map(|key| {
            let (table, row) = fold.sink.row(key)?;
            let layout = self.layouts.get(table)?;
            Some((table, layout.identity(row).ok()?, None))
        });
        let odd = findings.odd.map(|odd| {
            let expected = fold.sink.row(&odd.digest.key).map(|(_, row)| row.clone());
            (odd.table, odd.identity, Some((odd.row, expected)))
        });
        let order = |(table, identity, _): &(usize, Vec<String>, _)| {
            let identity = Layout::order(identity)
                .into_iter()
                .map(|(n, text)| (n, text.to_owned()));
            (*table, identity.collect::<Vec<_>>())
        };
        let first = missing.chain(odd).min_by_key(order);
        let described = first.map(|(table, identity, rows)| self.describe(table, &identity, rows));
        Ok(described.flatten())
    }

    async fn detail(&self, fold: &mut Fold, upto: Position) -> Result<(), VerifyError> {
        match self.feed(fold, upto, false).await {
            Ok(_) => Ok(()),
            Err(Halt::Full) => Err(VerifyError::TooBusy),
            Err(Halt::Error(error)) => Err(error),
        }
    }

    fn describe(
        &self,
        table: usize,
        identity: &[String],
        rows: Option<(FoldedRow, Option<FoldedRow>)>,
    ) -> Option<Difference> {
        let layout = self.layouts.get(table)?;
        let mut difference = Difference {
            table: layout.name.to_owned(),
            key: layout.named(identity),
            kind: DifferenceKind::Missing,
            column: None,
            expected: None,
            found: None,
        };
        match rows {
            None => {}
            Some((_, None)) => difference.kind = DifferenceKind::Surplus,
            Some((found, Some(expected))) => {
                difference.kind = DifferenceKind::Value;
                let column = layout.first_difference(&found, &expected);
                let value = |row: &FoldedRow| row.get(column?).cloned().flatten();
                (difference.found, difference.expected) = (value(&found), value(&expected));
                difference.column = column.map(str::to_owned);
            }
        }
        Some(difference)
    }
}
