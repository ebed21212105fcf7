//! What all paged lists have in common.

use std::sync::Arc;

use crate::access::Caller;
use crate::cursor::{After, Cursor};
use crate::failure::Failure;
use crate::param::{Limit, Number, Text};
use crate::sql::newest::{Listed, Versioned};
use crate::state::State;

/// Which page is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Asked {
    /// The list, as cursors name it.
    pub(crate) list: &'static str,
    pub(crate) limit: u32,
    pub(crate) offset: u32,
    /// The key after which the page starts.
    pub(crate) after: Option<After>,
}

impl Asked {
    /// Reads the parameters of a page.
    pub(crate) fn of(
        state: &Arc<State>,
        caller: &Caller,
        list: &'static str,
        limit: (Option<Limit>, u32),
        offset: Option<Number>,
        cursor: Option<Text>,
    ) -> Result<Self, Failure> {
        let decode =
            |text: Text| Cursor::decode(&text.0, list, state.log.id(), &caller.tenant).map(|c| c.after);
        Ok(Self {
            list,
            limit: state.limit(limit.0.as_ref(), limit.1),
            offset: state.offset(offset.as_ref())?,
            after: cursor.map(decode).transpose()?,
        })
    }

    /// Rows to read: those skipped, those shown, and one that says whether there are more.
    pub(crate) const fn needed(&self) -> usize {
        self.offset as usize + self.limit as usize + 1
    }
}

/// A page of rows.
#[derive(Debug)]
pub(crate) struct Paged<R> {
    pub(crate) rows: Vec<R>,
    /// How many rows there are in all, when this page happens to know.
    pub(crate) whole: Option<i64>,
    /// How many there are at least.
    pub(crate) at_least: i64,
    pub(crate) next_cursor: Option<String>,
}

/// Cuts the page out of what was read.
pub(crate) fn cut<R, K>(listed: Listed<R, K>, asked: &Asked, state: &State, caller: &Caller) -> Paged<R>
where
    R: Versioned<Key = K>,
    K: Into<After>,
{
    let mut rows = listed.rows;
    let (offset, end) = (asked.offset as usize, asked.needed() - 1);
    let more = rows.len() > end;
    rows.truncate(end);
    let count = i64::try_from(rows.len()).unwrap_or(i64::MAX);
    rows.drain(..offset.min(rows.len()));
    let last = rows.last().filter(|_| more).map(Versioned::key);
    let next = last.or(listed.reached);
    let ends = next.is_none() && asked.after.is_none();
    let cursor = |key: K| Cursor {
        list: asked.list,
        log_id: state.log.id(),
        tenant: caller.tenant.clone(),
        after: key.into(),
    };
    Paged {
        whole: ends.then_some(count),
        at_least: count,
        next_cursor: next.map(|key| cursor(key).encode()),
        rows,
    }
}

impl From<u64> for After {
    fn from(key: u64) -> Self {
        (key, 0).into()
    }
}

impl From<(u64, String)> for After {
    fn from((number, host): (u64, String)) -> Self {
        let numbers = (number, 0);
        Self { numbers, host }
    }
}

impl From<(u64, u64, String)> for After {
    fn from((first, second, host): (u64, u64, String)) -> Self {
        let numbers = (first, second);
        Self { numbers, host }
    }
}

impl From<u128> for After {
    fn from(key: u128) -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "the two halves")]
        let halves = ((key >> 64) as u64, key as u64);
        halves.into()
    }
}

impl From<(u64, u64)> for After {
    fn from(numbers: (u64, u64)) -> Self {
        let host = String::new();
        Self { numbers, host }
    }
}
