//! What one delivery announces about a job or a run, whoever sent it, and where it stands among the others about the same.

use domain::{DeliveryReceived, Timestamp};
use serde::Serialize;

use crate::models::precedence::Precedence;

/// The most labels kept of a job.
pub(super) const LABELS_MAX: usize = 100;
/// The longest name of a host, as DNS has it, and a port.
const HOST_BYTES_MAX: usize = 259;

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Queued,
    Waiting,
    InProgress,
    Completed,
}

impl State {
    pub(super) const fn has_begun(self) -> bool {
        matches!(self, Self::InProgress | Self::Completed)
    }
}

/// Who runs a job; empty until somebody does.
#[derive(Debug, Default)]
pub(super) struct Runner {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) group_id: u64,
    pub(super) group: String,
}

/// An announcement of a job.
#[derive(Debug)]
pub(super) struct JobAnnouncement {
    /// Whose ids they are: the host of the server's own pages.
    pub(super) host: String,
    pub(super) job_id: u64,
    pub(super) run_attempt: u32,
    pub(super) run_id: u64,
    pub(super) name: String,
    pub(super) workflow_name: String,
    pub(super) head_branch: String,
    pub(super) head_sha: String,
    pub(super) state: State,
    /// The rank of its state among those that its sender knows.
    pub(super) rank: u8,
    pub(super) conclusion: String,
    pub(super) labels: Vec<String>,
    pub(super) runner: Runner,
    /// The latest time that the payload tells.
    pub(super) at: Option<Timestamp>,
    pub(super) queued_at: Option<Timestamp>,
    pub(super) started_at: Option<Timestamp>,
    pub(super) completed_at: Option<Timestamp>,
    pub(super) url: String,
}

impl JobAnnouncement {
    /// Where it stands among the announcements of its job and attempt.
    pub(super) fn precedence(&self, received: &DeliveryReceived) -> Precedence {
        Precedence {
            attempt: 0,
            rank: self.rank,
            at: self.at,
            sha256: received.sha256,
        }
    }

    /// Where it stands among all that name its runner: by time alone.
    pub(super) fn sighting(&self, received: &DeliveryReceived) -> Precedence {
        Precedence {
            rank: 0,
            ..self.precedence(received)
        }
    }

    /// The runner that works or worked on it.
    pub(super) const fn worked_by(&self) -> u64 {
        if self.state.has_begun() { self.runner.id } else { 0 }
    }
}

/// What decides first between two announcements of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// The rank of the state: a run that is completed stays so.
    Rank,
    /// The payload's own time: a run that is completed may go on.
    Time,
}

/// An announcement of a workflow run.
#[derive(Debug)]
pub(super) struct RunAnnouncement {
    /// Whose ids they are: the host of the server's own pages.
    pub(super) host: String,
    pub(super) run_id: u64,
    pub(super) run_attempt: u32,
    pub(super) run_number: u64,
    pub(super) workflow_id: u64,
    pub(super) workflow_name: String,
    pub(super) head_branch: String,
    pub(super) head_sha: String,
    pub(super) event: String,
    pub(super) status: String,
    pub(super) rank: u8,
    pub(super) order: Order,
    pub(super) conclusion: String,
    pub(super) actor: String,
    /// The latest time that the payload tells.
    pub(super) at: Option<Timestamp>,
    pub(super) created_at: Option<Timestamp>,
    pub(super) updated_at: Option<Timestamp>,
    pub(super) run_started_at: Option<Timestamp>,
    pub(super) url: String,
    pub(super) pull_requests: Vec<u64>,
}

impl RunAnnouncement {
    /// Where it stands among the announcements of its run, as one number: a later attempt goes before all of an earlier one.
    pub(super) fn version(&self, received: &DeliveryReceived) -> u128 {
        let precedence = Precedence {
            attempt: u16::try_from(self.run_attempt).unwrap_or(u16::MAX),
            rank: self.rank,
            at: self.at,
            sha256: received.sha256,
        };
        match self.order {
            Order::Rank => precedence.version(),
            Order::Time => precedence.version_by_time(),
        }
    }
}

/// The host of a page, in lower case, with its port; empty when the text is no address of one.
pub(super) fn host_of(url: &str) -> String {
    let Some((_, rest)) = url.split_once("://") else {
        return String::new();
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    if host.len() > HOST_BYTES_MAX || !host.chars().all(plain) {
        return String::new();
    }
    host.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_what_stands_before_the_path() {
        for (url, host) in [
            ("https://github.com/octo-org/hello", "github.com"),
            ("http://192.168.64.1:3005/group/project", "192.168.64.1:3005"),
            ("https://GitLab.Example.com", "gitlab.example.com"),
            ("https://user:secret@ghe.example.com/x", "ghe.example.com"),
            ("http://[2001:db8::1]:8080?x", "[2001:db8::1]:8080"),
            ("git@example.com:group/project.git", ""),
            ("https://", ""),
            ("https://ex ample.com/", ""),
            ("https://a|b/", ""),
            ("", ""),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
        assert_eq!(host_of(&format!("https://{}/", "x".repeat(300))), "");
    }
}
