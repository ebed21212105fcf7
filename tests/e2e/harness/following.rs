//! A command that goes on until somebody ends it, and what it printed so far.

use std::process::Child;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::eventually;
use super::server::follow;

type Lines = Arc<Mutex<Vec<String>>>;

/// A running command. Dropped, it is killed.
pub(crate) struct Following {
    child: Child,
    out: Lines,
    aside: Lines,
}

impl Following {
    pub(super) fn of(mut child: Child) -> Self {
        let (out, aside) = (Lines::default(), Lines::default());
        // They end with the pipes.
        let _ = follow(child.stdout.take().expect("piped"), &out);
        let _ = follow(child.stderr.take().expect("piped"), &aside);
        Self { child, out, aside }
    }

    /// What it printed.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.out.lock().unwrap().clone()
    }

    /// What it printed on standard error.
    pub(crate) fn aside(&self) -> Vec<String> {
        self.aside.lock().unwrap().clone()
    }

    /// Waits until it printed so many lines.
    pub(crate) async fn prints(&self, count: usize, deadline: Duration) -> Vec<String> {
        eventually(&format!("{count} lines are printed"), deadline, || async {
            let lines = self.lines();
            if lines.len() >= count {
                Ok(lines)
            } else {
                Err(format!("{} are, and aside: {:?}", lines.len(), self.aside()))
            }
        })
        .await
    }

    /// Waits until it said something on standard error.
    pub(crate) async fn says(&self, text: &str, deadline: Duration) {
        eventually(&format!("it says {text:?}"), deadline, || async {
            let aside = self.aside();
            if aside.iter().any(|line| line.contains(text)) {
                Ok(())
            } else {
                Err(format!("it said {aside:?}"))
            }
        })
        .await;
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _status = self.child.wait();
    }
}
