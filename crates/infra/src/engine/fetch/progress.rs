//! Says what is going on: a spinner on a terminal, a line now and then elsewhere. On standard error, whether
//! or not logging is set up, because people wait for it.

use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

const SPIN: Duration = Duration::from_millis(120);
const SAY: Duration = Duration::from_secs(5);

/// One thing people wait for.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    began: Instant,
    said: Cell<Instant>,
}

impl Progress {
    /// Says what begins.
    pub(super) fn start(what: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} [{elapsed}]") {
                bar.set_style(style);
            }
            bar.set_message(what.to_owned());
            bar.enable_steady_tick(SPIN);
            bar
        });
        if bar.is_none() {
            line(what);
        }
        let now = Instant::now();
        Self {
            bar,
            began: now,
            said: Cell::new(now),
        }
    }

    /// Says that it is still going on, now and then.
    pub(super) fn tick(&self) {
        if self.bar.is_none() && self.said.get().elapsed() >= SAY {
            self.said.set(Instant::now());
            line(&format!(
                "still fetching after {} s",
                self.began.elapsed().as_secs()
            ));
        }
    }

    /// Says what comes next.
    pub(super) fn step(&self, what: &str) {
        match &self.bar {
            Some(bar) => bar.set_message(what.to_owned()),
            None => line(what),
        }
    }

    /// Says how it ended.
    pub(super) fn finish(self, how: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        line(how);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// One line for people.
pub(super) fn line(text: &str) {
    // Nobody can be told that nobody can be told.
    drop(writeln!(std::io::stderr(), "hooklog: {text}"));
}
