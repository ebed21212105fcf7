//! The parts of `hooklog serve` that belong to no crate: the HTTP front door, the state of the whole, the banner.

pub(crate) mod access;
pub(crate) mod banner;
pub(crate) mod bodies;
pub(crate) mod connect;
pub(crate) mod endpoints;
pub(crate) mod http;
pub(crate) mod keychain;
pub(crate) mod late;
pub(crate) mod log;
pub(crate) mod ranges;
pub(crate) mod react;
pub(crate) mod rejected;
pub(crate) mod share;
pub(crate) mod sources;
pub(crate) mod status;
pub(crate) mod stop;
pub(crate) mod verify;
