//! From the log outward: the relay that publishes it, the workers that project it, and the read models.

mod model;

pub use model::{Projected, ReadModel, RowBatch, Table, View};
