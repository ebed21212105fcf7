//! What GitLab sends, by `object_kind` of the body, else its `event_name`.
//!
//! Sources: GitLab's documentation of webhook events (project and group hooks) and of system hooks, and of its program
//! `lib/gitlab/data_builder` and `lib/gitlab/hook_data` (`gitlabhq`, 2026). The action is that of `object_attributes`, or of the
//! body where it stands there (`release`, `milestone`); of jobs, pipelines and deployments it is their status, which is what
//! their events are about.

use super::Category::{Actions, Code, Issue, Organization, Other, PullRequest, Repository, Security};
use super::{KnownEvent, event};

/// The statuses of jobs and pipelines.
const CI_STATUSES: &[&str] = &[
    "canceled",
    "canceling",
    "created",
    "failed",
    "manual",
    "pending",
    "preparing",
    "running",
    "scheduled",
    "skipped",
    "success",
    "waiting_for_callback",
    "waiting_for_resource",
];
const DEPLOYMENT_STATUSES: &[&str] = &[
    "blocked", "canceled", "created", "failed", "running", "skipped", "success",
];
const ISSUE_ACTIONS: &[&str] = &["close", "open", "reopen", "update"];

/// Every known event type, by name.
pub(super) const EVENTS: &[KnownEvent] = &[
    event("access_token", Security, &[]),
    event("build", Actions, CI_STATUSES),
    event("deploy_token", Security, &[]),
    event("deployment", Actions, DEPLOYMENT_STATUSES),
    event("emoji", Other, &["award", "revoke"]),
    event("feature_flag", Repository, &[]),
    event("gitlab_subscription_member_approval", Organization, &["enqueue"]),
    event(
        "gitlab_subscription_member_approvals",
        Organization,
        &["approve", "deny"],
    ),
    event("group_create", Organization, &[]),
    event("group_destroy", Organization, &[]),
    event("group_rename", Organization, &[]),
    event("issue", Issue, ISSUE_ACTIONS),
    event("key_create", Security, &[]),
    event("key_destroy", Security, &[]),
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
    event("milestone", Issue, &["close", "create", "delete", "reopen"]),
    event("note", Issue, &["create", "update"]),
    event("pipeline", Actions, CI_STATUSES),
    event("project_create", Repository, &[]),
    event("project_destroy", Repository, &[]),
    event("project_rename", Repository, &[]),
    event("project_transfer", Repository, &[]),
    event("project_update", Repository, &[]),
    event("push", Code, &[]),
    event("release", Code, &["create", "delete", "update"]),
    event("repository_update", Code, &[]),
    event("subgroup_create", Organization, &[]),
    event("subgroup_destroy", Organization, &[]),
    event("tag_push", Code, &[]),
    event("user_access_request_denied_for_group", Organization, &[]),
    event("user_access_request_denied_for_project", Organization, &[]),
    event("user_access_request_revoked_for_group", Organization, &[]),
    event("user_access_request_revoked_for_project", Organization, &[]),
    event("user_access_request_to_group", Organization, &[]),
    event("user_access_request_to_project", Organization, &[]),
    event("user_add_to_group", Organization, &[]),
    event("user_add_to_team", Organization, &[]),
    event("user_create", Organization, &[]),
    event("user_destroy", Organization, &[]),
    event("user_failed_login", Security, &[]),
    event("user_remove_from_group", Organization, &[]),
    event("user_remove_from_team", Organization, &[]),
    event("user_rename", Organization, &[]),
    event("user_update_for_group", Organization, &[]),
    event("user_update_for_team", Organization, &[]),
    event("vulnerability", Security, &[]),
    event("wiki_page", Code, &["create", "delete", "update"]),
    event("work_item", Issue, ISSUE_ACTIONS),
];
