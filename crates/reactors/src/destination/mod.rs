//! Destinations: which deliveries they want, and how a delivery gets there.
//!
//! [`plans`] makes them from settings. A [`Router`] names those that want a delivery when it is received, by its facts; the
//! rest is decided at the attempt (`deliver`): the condition (`expression`), the body (`transform`), and the way, a POST
//! (`http`) or a NATS message (`subject`).
//!
//! Never here: when an attempt is made, and what its end means for the delivery. That is the runtime's.

mod address;
mod build;
mod classify;
mod deliver;
mod expression;
mod facts;
mod fuel;
mod headers;
mod http;
mod look;
mod memory;
mod names;
mod payload;
mod redirect;
mod resolve;
mod retry_after;
mod route;
mod shape;
mod share;
mod shown;
mod sign;
mod subject;
#[cfg(test)]
mod tests;
mod tls;
mod transform;

pub use build::{InvalidDestination, TargetPorts, plans};
pub use resolve::{ResolveHost, SystemResolver};
pub use route::Router;
