//! Which parts of the work this process does.

use std::fmt;

use clap::ValueEnum;

/// A part of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Receives deliveries and appends them to the log.
    Ingest,
    /// Publishes the log to JetStream.
    Relay,
    /// Turns the log into tables.
    Project,
    /// Hands deliveries to destinations, tries again, and carries out replays.
    React,
    /// Answers questions.
    Query,
}

/// The parts of the work that this process does.
#[derive(Debug, Clone)]
pub(crate) struct Roles(Vec<Role>);

impl Roles {
    /// Those named on the command line.
    pub(crate) const fn of(named: Vec<Role>) -> Self {
        Self(named)
    }

    /// Whether this process does it. None named means all.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.0.is_empty() || self.0.contains(&role)
    }
}

impl Roles {
    /// Whether this process does everything.
    pub(crate) fn are_all(&self) -> bool {
        Role::value_variants().iter().all(|role| self.has(*role))
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = Role::value_variants().iter().filter(|role| self.has(**role));
        let names = all.filter_map(|role| Some(role.to_possible_value()?.get_name().to_owned()));
        f.write_str(&names.collect::<Vec<_>>().join(","))
    }
}
