//! Destinations: where deliveries go, and how that is going.

use domain::{BreakerState, DestinationStatus};
use poem_openapi::Object;
use serde::Serialize;

use super::replay::shown;
use crate::ports::{Component, ComponentState};

/// A destination.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename = "Destination", rename_all = "camelCase")]
pub(crate) struct DestinationShape {
    /// Its name.
    pub(crate) name: String,
    /// Where it goes, without credentials and queries.
    pub(crate) targets: Vec<String>,
    /// Whether it stands in the settings. One that does not keeps what is open.
    pub(crate) configured: bool,
    /// Since when, by whom and why it holds deliveries back; null while it lets them go.
    pub(crate) paused: Option<PauseShape>,
    /// Its circuit breaker: closed, open or half-open.
    pub(crate) breaker: String,
    /// When the open breaker lets a probe through.
    pub(crate) breaker_until: Option<String>,
    /// Deliveries open.
    pub(crate) open: u64,
    /// Of these, the ones on their way now.
    pub(crate) in_flight: u64,
    /// Of these, the ones that failed and wait for their next attempt.
    pub(crate) retrying: u64,
    /// Age of the oldest open delivery that is due, in seconds; 0 when none is.
    pub(crate) lag_seconds: f64,
    /// The last failure, while no attempt succeeded after it.
    pub(crate) last_error: Option<String>,
}

/// Since when, by whom and why a destination is paused.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
#[oai(rename = "Pause")]
pub(crate) struct PauseShape {
    /// When; null when the settings say so.
    pub(crate) at: Option<String>,
    /// Who; `hooklog` when it answered 410 Gone.
    pub(crate) by: String,
    /// Why.
    pub(crate) reason: Option<String>,
}

impl From<DestinationStatus> for DestinationShape {
    fn from(status: DestinationStatus) -> Self {
        // A lag in milliseconds fits a double for 285,000 years.
        #[allow(clippy::cast_precision_loss, reason = "shown with three decimals")]
        let lag_seconds = status.lag_ms as f64 / 1000.0;
        Self {
            name: status.name.to_string(),
            targets: status.targets,
            configured: status.configured,
            paused: status.paused.map(|paused| PauseShape {
                at: shown(paused.at),
                by: paused.by,
                reason: paused.reason,
            }),
            breaker: status.breaker.as_str().to_owned(),
            breaker_until: shown(status.breaker_until),
            open: status.open,
            in_flight: status.in_flight,
            retrying: status.retrying,
            lag_seconds,
            last_error: status.last_error,
        }
    }
}

/// All destinations.
#[derive(Debug, Clone, PartialEq, Serialize, Object)]
pub(crate) struct DestinationList {
    /// By name: those in the settings, and others that still have open deliveries.
    pub(crate) destinations: Vec<DestinationShape>,
}

/// A destination as a part of the service: `destination:<name>`. No delivery is lost without it, so nothing requires it.
pub(crate) fn component(status: &DestinationStatus) -> Component {
    let error = status
        .last_error
        .as_ref()
        .map(|error| format!(": {error}"))
        .unwrap_or_default();
    let waiting = format!("{} deliveries open", status.open);
    let (state, message) = match (&status.paused, status.breaker) {
        _ if !status.configured => (
            ComponentState::Degraded,
            format!("not in the settings; {waiting}"),
        ),
        (Some(paused), _) => {
            let why = paused
                .reason
                .as_ref()
                .map(|r| format!(" ({r})"))
                .unwrap_or_default();
            (
                ComponentState::Degraded,
                format!("paused by {}{why}; {waiting}", paused.by),
            )
        }
        (None, BreakerState::Open) => {
            let until = shown(status.breaker_until)
                .map(|t| format!(" until {t}"))
                .unwrap_or_default();
            (
                ComponentState::Down,
                format!("circuit breaker open{until}; {waiting}{error}"),
            )
        }
        (None, BreakerState::HalfOpen) => (
            ComponentState::Degraded,
            format!("circuit breaker half-open; {waiting}{error}"),
        ),
        (None, BreakerState::Closed) => (
            ComponentState::Ok,
            format!("circuit breaker closed; {waiting}{error}"),
        ),
    };
    Component {
        name: status.name.reactor(),
        state,
        required: false,
        message,
    }
}

#[cfg(test)]
mod tests {
    use domain::{PausedSince, TenantId};

    use super::*;

    fn status() -> DestinationStatus {
        DestinationStatus {
            tenant: TenantId::default(),
            name: "ci".parse().unwrap(),
            targets: vec!["https://ci.example.com/hooks".into()],
            configured: true,
            paused: None,
            breaker: BreakerState::Closed,
            breaker_until: None,
            open: 3,
            in_flight: 1,
            retrying: 2,
            lag_ms: 1500,
            last_error: None,
        }
    }

    #[test]
    fn a_destination_is_down_only_while_its_breaker_is_open() {
        let of = |status: &DestinationStatus| {
            let part = component(status);
            assert!(!part.required && part.name == "destination:ci");
            (part.state, part.message)
        };
        assert_eq!(of(&status()).0, ComponentState::Ok);
        let open = DestinationStatus {
            breaker: BreakerState::Open,
            breaker_until: Some("2026-11-21T08:31:00Z".parse().unwrap()),
            last_error: Some("connection refused".into()),
            ..status()
        };
        let (state, message) = of(&open);
        assert_eq!(state, ComponentState::Down);
        assert_eq!(
            message,
            "circuit breaker open until 2026-11-21T08:31:00Z; 3 deliveries open: connection refused"
        );
        let paused = DestinationStatus {
            paused: Some(PausedSince {
                at: None,
                by: "settings".into(),
                reason: None,
            }),
            ..open
        };
        assert_eq!(of(&paused).0, ComponentState::Degraded);
        let removed = DestinationStatus {
            configured: false,
            ..status()
        };
        assert_eq!(of(&removed).0, ComponentState::Degraded);
    }
}
