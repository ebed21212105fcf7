//! What becomes of a delivery after its receipt: the outcome events of its stream, the state that they fold into, and the
//! rules by which a new one is made.

mod attempt;
mod cause;
mod decide;
mod event;
mod standing;
mod state;
#[cfg(test)]
mod tests;

pub use attempt::{Attempt, Failure, Response, SentHeaders};
pub use cause::{Cause, InvalidErrorCode, VARYING, VARYING_SHOWN, wording};
pub use decide::{AttemptResult, DeliveryCommand, DeliveryRejection};
pub use event::{
    DeliveryDeadLettered, DeliveryFailed, DeliveryOutcome, DeliveryProcessed, DeliveryReplayRequested,
    Outcome, Receipt, ReplayTo,
};
pub use standing::{Standing, StandingFailure};
pub use state::{DeliveryState, DestinationWork, LoadError, Round, Work, load_delivery};
