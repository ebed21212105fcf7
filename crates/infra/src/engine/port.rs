//! Loopback ports, chosen by the parent.

use std::net::{Ipv4Addr, TcpListener};

use super::{EngineError, EngineKind};

/// The port to use: the one the settings name, else the one of last time if it is free, else any.
pub(super) fn choose(engine: EngineKind, wanted: u16, last: u16) -> Result<u16, EngineError> {
    if wanted != 0 {
        return if is_free(wanted) {
            Ok(wanted)
        } else {
            Err(EngineError::PortTaken { engine, port: wanted })
        };
    }
    if last != 0 && is_free(last) {
        return Ok(last);
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(EngineError::NoPort)?;
    Ok(listener.local_addr().map_err(EngineError::NoPort)?.port())
}

/// Whether a listener could be opened there now.
pub(super) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_refused_when_named_and_passed_over_when_remembered() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = holder.local_addr().unwrap().port();
        assert!(matches!(
            choose(EngineKind::Nats, taken, 0),
            Err(EngineError::PortTaken { port, .. }) if port == taken
        ));
        assert_ne!(choose(EngineKind::Nats, 0, taken).unwrap(), taken);
    }

    #[test]
    fn the_port_of_last_time_is_taken_again() {
        let free = choose(EngineKind::Nats, 0, 0).unwrap();
        assert_eq!(choose(EngineKind::Nats, 0, free).unwrap(), free);
    }
}
