//! The scheme `hmac` with the settings of a sender that is known, each of which the source may set otherwise; an empty
//! text takes one away.

use super::configured::ConfiguredFacts;
use super::hmac::HmacScheme;
use crate::options::{FactOptions, ProofOptions};

/// What is known of a sender.
pub(super) struct Preset {
    pub(super) name: &'static str,
    pub(super) signature: &'static str,
    pub(super) id: &'static str,
    pub(super) event: &'static str,
}

impl Preset {
    /// The scheme, with what the source says before what is known.
    pub(super) fn build(
        &self,
        proof: &ProofOptions,
        facts: &FactOptions,
        signatures_max: usize,
    ) -> Result<HmacScheme, String> {
        let or = |own: &Option<String>, known: &str| own.clone().or_else(|| Some(known.to_owned()));
        let proof = ProofOptions {
            header: or(&proof.header, self.signature),
            prefix: or(&proof.prefix, "sha256="),
            ..proof.clone()
        };
        let facts = FactOptions {
            id_header: or(&facts.id_header, self.id),
            event_header: or(&facts.event_header, self.event),
            action_pointer: or(&facts.action_pointer, "/action"),
            repository_pointer: or(&facts.repository_pointer, "/repository/full_name"),
            ..facts.clone()
        };
        HmacScheme::build(self.name, &proof, ConfiguredFacts::build(&facts)?, signatures_max)
    }
}
