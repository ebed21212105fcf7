//! One seed: life after life until all is at rest, then the reckoning.

use std::sync::Arc;

use crate::entropy::seed_this_thread;
use crate::process::{Life, live};
use crate::reconcile::reconcile;
use crate::world::World;

/// The most lives of one run; a process that dies more often than the plan says is a defect of this test.
const LIVES_MAX: u32 = 100;

/// What came of a seed.
pub struct Outcome {
    /// What must never happen, and did.
    pub violations: Vec<String>,
    /// The last steps.
    pub story: String,
    /// A hash over every step.
    pub digest: u64,
    pub counts: std::collections::BTreeMap<&'static str, u64>,
}

/// Runs a seed on a thread of its own.
pub fn run(seed: u64, told: bool) -> Outcome {
    let builder = std::thread::Builder::new().name(format!("seed-{seed}"));
    // A test in a debug build nests deep futures.
    let thread = builder.stack_size(16 * 1024 * 1024).spawn(move || {
        seed_this_thread(seed);
        run_here(seed, told)
    });
    thread.unwrap().join().unwrap()
}

fn run_here(seed: u64, told: bool) -> Outcome {
    let world = World::new(seed, told);
    // A panic is told with the steps that led to it.
    let lives = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run_lives(&world)));
    if let Err(panic) = lives {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        world.violation(format!("panicked: {}", text.unwrap_or_default()));
    }
    let mut counts = world.counts.lock().unwrap().clone();
    counts.insert("steps", world.steps());
    counts.insert("lives", u64::from(world.life()));
    counts.insert("seconds", world.elapsed().as_secs());
    Outcome {
        violations: world.violations(),
        story: world.last_steps(),
        digest: world.digest(),
        counts,
    }
}

fn run_lives(world: &Arc<World>) {
    for _ in 0..LIVES_MAX {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        // The end of the runtime is the end of every task: that is the crash.
        let life = runtime.block_on(live(Arc::clone(world)));
        match life {
            Life::Died => {
                runtime.block_on(async { world.end_life() });
            }
            Life::AtRest(log) => {
                return runtime.block_on(async {
                    reconcile(world, &log).await;
                    world.end();
                });
            }
            Life::Restless(log, story) => {
                runtime.block_on(async {
                    reconcile(world, &log).await;
                    world.end();
                });
                return world.violation(format!("it never came to rest: {story}"));
            }
        }
    }
    world.violation("it died too often");
}
