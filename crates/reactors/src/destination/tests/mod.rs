//! Destinations against real servers on the loopback interface.

mod answer;
mod body;
mod decision;
mod redirect;
mod refused;
mod rig;
mod server;
mod settings;
mod subject;
mod trust;
