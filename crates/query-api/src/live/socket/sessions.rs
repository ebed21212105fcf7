//! Who began the sessions of polling, by their ids: a WebSocket that goes on with one belongs to them, and so does what is
//! answered to them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::visitor::Visitor;

/// The sessions that began by polling.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<String, Weak<Visitor>>>);

/// One of them, for as long as it lives.
#[derive(Debug)]
pub(super) struct Entered {
    sessions: Arc<Sessions>,
    pub(super) id: String,
}

impl Sessions {
    pub(super) fn enter(self: &Arc<Self>, id: String, visitor: Weak<Visitor>) -> Entered {
        self.all().insert(id.clone(), visitor);
        Entered {
            sessions: Arc::clone(self),
            id,
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<Arc<Visitor>> {
        let visitor = self.all().get(id).cloned();
        visitor.and_then(|visitor| visitor.upgrade())
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Weak<Visitor>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.sessions.all().remove(&self.id);
    }
}
