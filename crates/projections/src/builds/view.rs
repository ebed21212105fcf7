//! The views, which always show the build that is asked.

use domain::TableError;
use futures_util::future::try_join_all;

use super::{BuildRow, Builds, Facts};
use crate::ddl;
use crate::model::{Table, View};

impl Builds {
    /// Points the views of a model at a build. A view that the store refuses must not stop the projection: only who asks
    /// through it suffers.
    pub(crate) async fn ensure_views(&self, model: &Facts, row: &BuildRow) -> Result<(), TableError> {
        let point = |view: &'static View| async move {
            let select = qualified(view.select, model.tables, row);
            let statement = ddl::replace_view(self.tables.cluster(), view.name, &select);
            match self.tables.execute(&statement).await {
                Err(refused @ TableError::Refused(_)) => {
                    tracing::error!(view = view.name, error = %refused, "projection_view_refused");
                    Ok(())
                }
                other => other,
            }
        };
        try_join_all(model.views.iter().map(point)).await?;
        Ok(())
    }
}

pub(super) fn qualified(select: &str, tables: &'static [Table], row: &BuildRow) -> String {
    let mut text = select.to_owned();
    for table in tables {
        let (bare, real) = (
            format!("{{{}}}", table.name),
            format!("hooklog.{}", row.table(table.name)),
        );
        text = text
            .replace(&format!("hooklog.{bare}"), &bare)
            .replace(&bare, &real);
    }
    text
}
