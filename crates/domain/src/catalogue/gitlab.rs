//! What GitLab sends, by `object_kind` (or `event_name`) of the body.
//!
//! Sources: GitLab's documentation of webhook events and `gitlabhq:lib/gitlab/data_builder`.

use super::Category::{Actions, Code, Issue, Organization, Other, PullRequest, Repository, Security};
use super::{KnownEvent, event};

/// Every known event type, by name.
pub(super) const EVENTS: &[KnownEvent] = &[
    event("access_token", Security, &[]),
    event("build", Actions, &[]),
    event("deployment", Actions, &[]),
    event("emoji", Other, &["award", "revoke"]),
    event("feature_flag", Repository, &[]),
    event("issue", Issue, &["close", "open", "reopen", "update"]),
    event(
        "merge_request",
        PullRequest,
        &[
            "approval",
            "approved",
            "close",
            "merge",
            "open",
            "reopen",
            "unapproval",
            "unapproved",
            "update",
        ],
    ),
    event("milestone", Issue, &["close", "create", "reopen"]),
    event("note", Issue, &["create", "update"]),
    event("pipeline", Actions, &[]),
    event("project_create", Repository, &[]),
    event("project_destroy", Repository, &[]),
    event("push", Code, &[]),
    event("release", Code, &["create", "delete", "update"]),
    event("subgroup_create", Organization, &[]),
    event("subgroup_destroy", Organization, &[]),
    event("tag_push", Code, &[]),
    event("user_add_to_group", Organization, &[]),
    event("user_remove_from_group", Organization, &[]),
    event("user_update_for_group", Organization, &[]),
    event("vulnerability", Security, &[]),
    event("wiki_page", Code, &["create", "delete", "update"]),
    event("work_item", Issue, &["close", "open", "reopen", "update"]),
];
