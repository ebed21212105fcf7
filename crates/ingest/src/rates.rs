//! The rates of one source. They go on counting over changes of the source that leave them as they are.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::options::SourceOptions;
use crate::rate::{Allowed, KeyedRate, Rate};
use crate::rejection::Rejection;

/// The rates of a source; clones count together.
#[derive(Clone)]
pub(crate) struct Rates {
    source: Rated<Rate>,
    repository: Rated<KeyedRate<String>>,
}

/// A rate, and what it allows.
struct Rated<R> {
    allowed: Allowed,
    rate: Option<Arc<R>>,
}

impl<R> Rated<R> {
    fn new(allowed: Allowed, build: impl FnOnce(Allowed) -> Option<R>) -> Self {
        let rate = build(allowed).map(Arc::new);
        Self { allowed, rate }
    }

    /// Goes on counting where another one is, if that allows as much.
    fn go_on(&mut self, before: &Self) {
        if self.allowed == before.allowed {
            self.rate.clone_from(&before.rate);
        }
    }
}

// Derived, it would ask that the rate itself can be cloned.
impl<R> Clone for Rated<R> {
    fn clone(&self) -> Self {
        Self {
            allowed: self.allowed,
            rate: self.rate.clone(),
        }
    }
}

impl Rates {
    /// Those that a source asks for; at most `keys_max` repositories are counted apart.
    pub(crate) fn of(source: &SourceOptions, keys_max: usize) -> Self {
        Self {
            source: Rated::new(
                Allowed::new(source.source_rate_per_minute, source.source_rate_burst),
                Rate::new,
            ),
            repository: Rated::new(
                Allowed::new(source.repository_rate_per_minute, source.repository_rate_burst),
                |allowed| KeyedRate::new(allowed, keys_max),
            ),
        }
    }

    /// Takes the place of others: each that allows as much as before goes on counting.
    pub(crate) fn go_on(&mut self, before: &Self) {
        self.source.go_on(&before.source);
        self.repository.go_on(&before.repository);
    }

    /// Counts a delivery as so many.
    pub(crate) fn check(&self, repository: Option<&str>, cost: NonZeroU32) -> Result<(), Rejection> {
        if let Some(rate) = &self.source.rate {
            rate.check(cost).map_err(Rejection::SourceRate)?;
        }
        if let (Some(rate), Some(repository)) = (&self.repository.rate, repository) {
            rate.check(&repository.to_lowercase(), cost)
                .map_err(Rejection::RepositoryRate)?;
        }
        Ok(())
    }
}
