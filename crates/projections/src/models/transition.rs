//! What an event does to the status of a delivery: the receipt gives it one, an outcome may change it.

use domain::{Attempt, DeliveryReceived, DeliveryStatus, Proof};

use super::column::micros_between;
use crate::Projected;

/// A step in the life of a delivery.
#[derive(Debug)]
pub(crate) struct Transition<'a> {
    /// The facts of its receipt.
    pub(crate) received: &'a DeliveryReceived,
    /// The status that it leaves; none at its receipt.
    pub(crate) before: Option<DeliveryStatus>,
    /// The status that it has from now on.
    pub(crate) after: DeliveryStatus,
    /// The attempt that led to it.
    pub(crate) attempt: Option<&'a Attempt>,
    /// Whether this is the receipt of a delivery that repeats another one.
    pub(crate) is_duplicate: bool,
    /// How long it took to become processed, in microseconds, where it became so just now and the time says something.
    pub(crate) processing_us: Option<u64>,
}

impl<'a> Transition<'a> {
    /// The step that an event is; none for events that are not about a delivery.
    pub(crate) fn of(projected: &'a Projected) -> Option<Self> {
        let event = &projected.event;
        if let Some(received) = &projected.received {
            let is_duplicate = event.duplicate_of.is_some();
            let after = received.initial_status(is_duplicate);
            return Some(Self {
                received,
                before: None,
                after,
                attempt: None,
                is_duplicate,
                processing_us: processing_us(projected, received, None, after),
            });
        }
        let outcome = projected.outcome.as_ref()?;
        let (received, before, after) = (&outcome.delivery, Some(outcome.before), outcome.after);
        let taken = processing_us(projected, received, before, after);
        Some(Self {
            received,
            before,
            after,
            attempt: outcome.outcome.attempt(),
            is_duplicate: false,
            processing_us: taken.filter(|_| !outcome.replayed),
        })
    }

    /// Whether there is anything to count.
    pub(crate) fn changes(&self) -> bool {
        self.before != Some(self.after) || self.attempt.is_some()
    }
}

/// The time from a receipt to the event that makes its delivery processed, in microseconds. Imported history was received by
/// somebody else.
pub(crate) fn processing_us(
    projected: &Projected,
    received: &DeliveryReceived,
    before: Option<DeliveryStatus>,
    after: DeliveryStatus,
) -> Option<u64> {
    let becomes_processed = after == DeliveryStatus::Processed && before != Some(after);
    (becomes_processed && received.proof != Proof::Imported)
        .then(|| micros_between(received.received_at, projected.event.recorded_at))
}

/// Whether an attempt was not the first of its round.
pub(crate) const fn is_retry(attempt: &Attempt) -> bool {
    attempt.number > 1
}

/// How many deliveries have each status. Signed: one that leaves a status counts −1 there.
#[derive(Debug, Clone, Default)]
pub(crate) struct StatusCounts {
    pub(crate) total: i64,
    pub(crate) received: i64,
    pub(crate) processing: i64,
    pub(crate) retrying: i64,
    pub(crate) processed: i64,
    pub(crate) dead: i64,
    pub(crate) duplicates: i64,
    pub(crate) attempts: u64,
    pub(crate) retries: u64,
}

impl StatusCounts {
    pub(crate) fn add(&mut self, transition: &Transition<'_>) {
        match transition.before {
            Some(before) => *self.of_status(before) -= 1,
            None => self.total += 1,
        }
        *self.of_status(transition.after) += 1;
        self.duplicates += i64::from(transition.is_duplicate);
        self.attempts += u64::from(transition.attempt.is_some());
        self.retries += u64::from(transition.attempt.is_some_and(is_retry));
    }

    const fn of_status(&mut self, status: DeliveryStatus) -> &mut i64 {
        match status {
            DeliveryStatus::Received => &mut self.received,
            DeliveryStatus::Processing => &mut self.processing,
            DeliveryStatus::Retrying => &mut self.retrying,
            DeliveryStatus::Processed => &mut self.processed,
            DeliveryStatus::Dead => &mut self.dead,
        }
    }
}
