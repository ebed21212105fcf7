//! Who attacks: threads of their own, which get what time the others leave. An attacker does not sit on the machine of the
//! server, so that what they compute must not be taken for what the server does.

use tokio::runtime::{Builder, Handle, Runtime};

/// As much as a thread can yield to others.
const NICE: i32 = 19;
const THREADS: usize = 2;

/// Where the attack runs.
pub(super) struct Attacker(Option<Runtime>);

impl Attacker {
    pub(super) fn new() -> Self {
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(THREADS).enable_all().on_thread_start(|| {
            rustix::process::nice(NICE).expect("a thread may yield");
        });
        Self(Some(runtime.build().expect("a runtime")))
    }

    pub(super) fn runtime(&self) -> &Handle {
        self.0.as_ref().expect("it lives until it is dropped").handle()
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
