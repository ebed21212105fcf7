//! Clients of one namespace, and what each wants.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use socketioxide::extract::SocketRef;

use super::queue::Queue;
use crate::live::item::Facts;
use crate::live::pass::Pass;

/// The longest name that is subscribed to, in bytes.
const TEXT_BYTES_MAX: usize = 300;

/// What a client of the namespace `/webhooks` asks for; what is not given does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Choice {
    pub(super) repository: Option<String>,
    pub(super) event: Option<String>,
    pub(super) source: Option<String>,
}

impl Choice {
    /// All of a repository.
    pub(super) fn repository(name: &str) -> Result<Self, String> {
        let name = name.trim();
        if name.is_empty() || name.len() > TEXT_BYTES_MAX {
            return Err("the name of a repository is expected, such as \"octo-org/hello\"".to_owned());
        }
        Ok(Self {
            repository: Some(name.to_lowercase()),
            ..Self::default()
        })
    }

    fn wants(&self, facts: &Facts) -> bool {
        let same = |wanted: &Option<String>, is: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| Some(wanted) == is)
        };
        same(&self.repository, facts.repository.as_deref())
            && same(&self.event, Some(&facts.event))
            && same(&self.source, Some(&facts.source))
    }
}

/// A client in a namespace.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) socket: SocketRef,
    pub(super) pass: Pass,
    pub(super) queue: Arc<Queue>,
    /// None as long as it has not subscribed: then it is shown all.
    choices: Mutex<Option<HashSet<Choice>>>,
    choices_max: usize,
    /// Whether it was shown something already.
    begun: AtomicBool,
    dismissed: AtomicBool,
    /// How long others waited for room in its queue since that was empty, in milliseconds.
    waited_for_ms: AtomicU64,
}

impl Member {
    pub(super) fn new(socket: SocketRef, pass: Pass, queue: Arc<Queue>, choices_max: usize) -> Self {
        Self {
            socket,
            pass,
            queue,
            choices: Mutex::default(),
            choices_max,
            begun: AtomicBool::new(false),
            dismissed: AtomicBool::new(false),
            waited_for_ms: AtomicU64::new(0),
        }
    }

    /// Whether this is the first that it is shown.
    pub(super) fn begins(&self) -> bool {
        !self.begun.swap(true, Ordering::Relaxed)
    }

    /// Whether it is on its way out.
    pub(super) fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::Relaxed)
    }

    /// Sends it on its way out; whether it was not yet.
    pub(super) fn dismiss(&self) -> bool {
        !self.dismissed.swap(true, Ordering::Relaxed)
    }

    /// Others have waited for it once more; how long in all since its queue was empty.
    pub(super) fn waited_for(&self, time: Duration) -> Duration {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let before = self.waited_for_ms.fetch_add(millis, Ordering::Relaxed);
        Duration::from_millis(before.saturating_add(millis))
    }

    /// Its queue is empty.
    pub(super) fn keeps_up(&self) {
        self.waited_for_ms.store(0, Ordering::Relaxed);
    }

    /// From now on this is shown as well, and nothing that was not subscribed to.
    pub(super) fn subscribe(&self, choice: Choice) -> Result<(), String> {
        let mut choices = self.choices();
        let chosen = choices.get_or_insert_default();
        if chosen.len() >= self.choices_max && !chosen.contains(&choice) {
            return Err(format!(
                "{} subscriptions of one client are the most",
                self.choices_max
            ));
        }
        chosen.insert(choice);
        Ok(())
    }

    /// Not this any more.
    pub(super) fn unsubscribe(&self, choice: &Choice) {
        if let Some(chosen) = self.choices().as_mut() {
            chosen.remove(choice);
        }
    }

    /// Whether it is shown what has these facts.
    pub(super) fn wants(&self, facts: &Facts) -> bool {
        if self.pass.caller.tenant != facts.tenant {
            return false;
        }
        match self.choices().as_ref() {
            None => true,
            Some(chosen) => chosen.iter().any(|choice| choice.wants(facts)),
        }
    }

    fn choices(&self) -> MutexGuard<'_, Option<HashSet<Choice>>> {
        self.choices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All clients of a namespace. Who shows them something takes the list as it is at that moment.
#[derive(Debug, Default)]
pub(super) struct Members(RwLock<Arc<Vec<Arc<Member>>>>);

impl Members {
    pub(super) fn all(&self) -> Arc<Vec<Arc<Member>>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn join(&self, member: Arc<Member>) {
        let mut members = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(&mut members).push(member);
    }

    /// Takes one out; whether it was in. One that left and joined again is another one.
    pub(super) fn leave(&self, member: &Arc<Member>) -> bool {
        let mut members = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let before = members.len();
        Arc::make_mut(&mut members).retain(|other| !Arc::ptr_eq(other, member));
        members.len() < before
    }
}
