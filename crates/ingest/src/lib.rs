//! The write side: takes deliveries over HTTP, checks them, and appends them to the log.
//!
//! [`Ingest`] is the way in: an endpoint that parses its own paths, so that it can stand before any router. The checks
//! are made in one fixed order (`ingest.rs`), the answers are in one place (`rejection.rs`, `answer.rs`), and a body
//! reaches the log only as a `VerifiedRequest`, which nothing but a verification can make.
//!
//! Never here: a 2xx for what is not durable, a decision about duplicates (the log makes it), a body parsed before its
//! signature, a secret or a body in a log line.

mod address;
mod answer;
mod append;
mod body;
mod build_error;
mod coding;
mod explain;
mod facts;
mod form;
#[cfg(feature = "testing")]
pub mod fuzzing;
mod head;
mod http;
mod id;
mod ingest;
mod json;
mod linger;
mod observe;
mod options;
mod places;
mod pressure;
mod ranges;
mod rate;
mod rates;
mod receive;
mod redelivery;
mod registry;
mod rejected;
mod rejection;
mod route;
mod sample;
mod signature;
mod source;
mod synthetic;
mod tally;
#[cfg(test)]
mod tests;

pub use address::{address_key, canonical_network};
pub use answer::Answer;
pub use build_error::BuildError;
pub use coding::ContentCoding;
pub use explain::{
    Asker, CheckName, CheckOutcome, Checked, ExplainOptions, Explainer, Explanation, Question, WouldBe,
};
pub use ingest::Ingest;
pub use options::{
    Encoding, FactOptions, HashKind, IngestOptions, PressureOptions, ProofOptions, SchemeKind, Secret,
    SecretEncoding, SourceOptions,
};
pub use ranges::AddressRanges;
pub use rejected::RejectedOptions;
pub use signature::{SignError, TimeUnit};
pub use synthetic::{Sender, Sent, SyntheticDelivery};
pub use tally::Lately;
