//! What Linear sends, by `type` of the body.
//!
//! Source: linear.app/developers/webhooks.

use super::Category::{Issue, Organization, Other, Security};
use super::{KnownEvent, event};

const CHANGES: &[&str] = &["create", "remove", "update"];

/// Every known event type, by name.
pub(super) const EVENTS: &[KnownEvent] = &[
    event("Attachment", Issue, CHANGES),
    event("Comment", Issue, CHANGES),
    event("Customer", Other, CHANGES),
    event("CustomerNeed", Other, CHANGES),
    event("Cycle", Issue, CHANGES),
    event("Document", Other, CHANGES),
    event("Initiative", Organization, CHANGES),
    event("InitiativeUpdate", Organization, CHANGES),
    event("Issue", Issue, CHANGES),
    event("IssueLabel", Issue, CHANGES),
    event("IssueSLA", Issue, &["breached", "highRisk", "set"]),
    event("OAuthApp", Security, &["revoked"]),
    event("Project", Issue, CHANGES),
    event("ProjectUpdate", Issue, CHANGES),
    event("Reaction", Issue, CHANGES),
    event("User", Organization, CHANGES),
];
