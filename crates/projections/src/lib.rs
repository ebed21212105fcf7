//! From the log outward: the relay that publishes it, the workers that project it, and the read models.

mod model;

pub use model::{BuildShape, ModelFactory, Projected, ReadModel, RowBatch, Table, View};
