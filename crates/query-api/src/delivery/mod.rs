//! One delivery, read from the log: it is there right after its 200, whatever the read store does.

pub(crate) mod body;
pub(crate) mod detail;
pub(crate) mod find;
pub(crate) mod story;
