//! What Linear sends, by `type` of the body.
//!
//! Sources: linear.app/developers/webhooks, and `@linear/sdk` 98.0.0 (its webhook payloads and `WebhookResourceType`). Notifications
//! to an app are named by their action, of which there are many and more to come.

use super::Category::{Code, Issue, Organization, Other, Security};
use super::{KnownEvent, event};

const CHANGES: &[&str] = &["create", "remove", "update"];

/// Every known event type, by name.
pub(super) const EVENTS: &[KnownEvent] = &[
    event("AgentSessionEvent", Other, &["created", "prompted"]),
    event("AppUserNotification", Other, &[]),
    event("Attachment", Issue, CHANGES),
    event("AuditEntry", Security, &["create"]),
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
    event("OAuthAuthorization", Security, &[]),
    event("PermissionChange", Security, &["teamAccessChanged"]),
    event("Project", Issue, CHANGES),
    event("ProjectLabel", Issue, CHANGES),
    event("ProjectUpdate", Issue, CHANGES),
    event("Reaction", Issue, CHANGES),
    event("Release", Code, CHANGES),
    event("ReleaseNote", Code, CHANGES),
    event("User", Organization, CHANGES),
];
