//! Checks an order before anything is done about it.

use domain::{
    CommandError, EventLog, Position, ReadError, ReplayId, ReplayMatch, ReplayOrder, ReplayRequested,
    ReplayTo,
};

use super::Shared;

/// The longest reason, in characters.
const REASON_CHARS_MAX: usize = 1000;
/// The most destinations that an order may name.
const DESTINATIONS_MAX: usize = 256;

/// The replay that an order asks for, if it makes sense.
pub(super) async fn check(shared: &Shared, order: &ReplayOrder) -> Result<ReplayRequested, CommandError> {
    ReplayMatch::new(order.filter.clone()).map_err(|error| CommandError::Invalid(error.to_string()))?;
    let options = &shared.options;
    let rate = order.rate_per_second.unwrap_or(options.replay_rate_per_second);
    let rate_max = options.replay_rate_per_second_max.max(1);
    if order.rate_per_second.is_some() && !(1..=rate_max).contains(&rate) {
        return Err(CommandError::Invalid(format!(
            "the rate is 1 to {rate_max} a second"
        )));
    }
    let reason = order
        .reason
        .as_deref()
        .map(str::trim)
        .filter(|reason| !reason.is_empty());
    if reason.is_some_and(|reason| reason.chars().count() > REASON_CHARS_MAX) {
        return Err(CommandError::Invalid(format!(
            "a reason has at most {REASON_CHARS_MAX} characters"
        )));
    }
    if !order.filter.cause().is_any() && !order.dead_only {
        return Err(CommandError::Invalid(
            "only what was given up can be chosen by its error".to_owned(),
        ));
    }
    check_destinations(shared, order)?;
    Ok(ReplayRequested {
        tenant: order.tenant.clone(),
        replay: ReplayId::new((shared.ports.new_id)()),
        filter: order.filter.clone(),
        to: order.to,
        destinations: order.destinations.clone(),
        dead_only: order.dead_only,
        rate_per_second: rate.clamp(1, rate_max),
        to_position: last_position(shared.log(), order.to_position).await?,
        expected: None,
        requested_by: order.requested_by.clone(),
        reason: reason.map(str::to_owned),
    })
}

/// Refuses a replay of many without a reason; one delivery, and what was given up, needs none.
pub(super) fn check_reason(requested: &ReplayRequested) -> Result<(), CommandError> {
    if requested.reason.is_some() || requested.dead_only || requested.filter.delivery.is_some() {
        return Ok(());
    }
    Err(CommandError::Invalid(
        "a replay by a filter needs a reason".to_owned(),
    ))
}

fn check_destinations(shared: &Shared, order: &ReplayOrder) -> Result<(), CommandError> {
    let invalid = |text: String| Err(CommandError::Invalid(text));
    if order.to == ReplayTo::Subjects && (order.dead_only || !order.destinations.is_empty()) {
        return invalid("a replay to the subjects goes to no destination".to_owned());
    }
    if order.destinations.len() > DESTINATIONS_MAX {
        return invalid(format!("a replay names at most {DESTINATIONS_MAX} destinations"));
    }
    let known = |name| shared.ports.router.is_destination(&order.tenant, name);
    match order.destinations.iter().find(|name| !known(name)) {
        Some(name) => invalid(format!("there is no destination {name}")),
        None => Ok(()),
    }
}

async fn last_position(log: &dyn EventLog, asked: Option<Position>) -> Result<Position, CommandError> {
    let head = log.head().await.map_err(|error| unreadable(&error))?;
    match asked {
        Some(position) if position > head => Err(CommandError::Invalid(format!(
            "the log ends at position {head}, before {position}"
        ))),
        Some(position) => Ok(position),
        None => Ok(head),
    }
}

pub(super) fn unreadable(error: &ReadError) -> CommandError {
    CommandError::Unavailable(error.to_string())
}
