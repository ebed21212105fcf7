//! Many seeds, each in a process of its own: so a seed that fails among others fails in the same way alone.

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::run::run;

/// How many seeds, unless `HOOKLOG_SEEDS` says otherwise.
const SEEDS: u64 = 100;
/// How the process of a seed begins the line with what it came by.
const COUNTS: &str = "COUNTS ";

fn knob(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "a knob of this test, not a setting")]
    std::env::var(name).ok()
}

/// The seeds to run: one, the first so many, or a range such as `500..600`.
fn seeds() -> std::ops::Range<u64> {
    if let Some(seed) = knob("HOOKLOG_SEED") {
        let seed = seed.parse().expect("HOOKLOG_SEED is a number");
        return seed..seed + 1;
    }
    let text = knob("HOOKLOG_SEEDS").unwrap_or_else(|| SEEDS.to_string());
    let number = |text: &str| text.parse::<u64>().expect("HOOKLOG_SEEDS is a number or a range");
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => 1..number(&text) + 1,
    }
}

/// The process of one seed. Others start it; with `HOOKLOG_SEED` set it can be run by hand as well.
#[test]
#[ignore = "the process of one seed, started by the others"]
fn one_seed() {
    let seed = seeds().start;
    let outcome = run(seed, knob("HOOKLOG_SEED_TOLD").is_some());
    println!("\n{COUNTS}{}", serde_json::to_string(&outcome.counts).unwrap());
    println!("DIGEST {:016x}", outcome.digest);
    if !outcome.violations.is_empty() {
        println!("{}", outcome.story);
        for violation in &outcome.violations {
            println!("VIOLATION {violation}");
        }
        panic!("seed {seed} shows {} violations", outcome.violations.len());
    }
}

fn child(seed: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "seeds::one_seed", "--ignored", "--nocapture"])
        .env("HOOKLOG_SEED", seed.to_string())
        .env("RUST_BACKTRACE", "0");
    command
}

fn counts_of(output: &Output) -> BTreeMap<String, u64> {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix(COUNTS));
    line.map_or_else(BTreeMap::new, |line| serde_json::from_str(line).unwrap())
}

/// What a hundred runs must come by, or the world is too kind to show anything.
const MUST_HAPPEN: [&str; 23] = [
    "answered as taken",
    "answered as seen before",
    "answered 503",
    "answers lost",
    "forgeries turned away",
    "kills",
    "power cuts",
    "power cuts while writing",
    "power cuts while opening",
    "syncs that failed",
    "appends in doubt, perhaps written",
    "bodies",
    "publishes lost",
    "publishes fenced",
    "pages sent behind others",
    "publishes of a dead process",
    "acks lost",
    "messages lost",
    "messages delivered twice",
    "streams wiped",
    "tables wiped",
    "inserts in doubt",
    "late inserts",
];

#[test]
fn no_seed_loses_a_delivery_or_does_anything_twice() {
    let seeds = seeds();
    if knob("HOOKLOG_SEED").is_some() {
        let told = child(seeds.start).env("HOOKLOG_SEED_TOLD", "1").status().unwrap();
        assert!(told.success(), "seed {} fails", seeds.start);
        return;
    }
    let (next, counts, failed) = (
        AtomicU64::new(seeds.start),
        Mutex::new(BTreeMap::<String, u64>::new()),
        Mutex::new(Vec::new()),
    );
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= seeds.end {
                        return;
                    }
                    let output = child(seed).output().unwrap();
                    let mut counts = counts.lock().unwrap();
                    for (name, count) in counts_of(&output) {
                        *counts.entry(name).or_default() += count;
                    }
                    if !output.status.success() {
                        failed.lock().unwrap().push((seed, output));
                    }
                }
            });
        }
    });
    let (counts, mut failed) = (counts.into_inner().unwrap(), failed.into_inner().unwrap());
    println!("{} seeds: {counts:#?}", seeds.end - seeds.start);
    failed.sort_by_key(|(seed, _)| *seed);
    tell(&failed);
    if seeds.end - seeds.start >= SEEDS {
        let never: Vec<_> = MUST_HAPPEN
            .iter()
            .filter(|name| !counts.contains_key(**name))
            .collect();
        assert!(never.is_empty(), "in all these runs it never came to: {never:?}");
    }
}

/// Tells of the first failure at length, of the others in a line, and how to see one again.
fn tell(failed: &[(u64, Output)]) {
    let Some((first, output)) = failed.first() else {
        return;
    };
    println!("{}", String::from_utf8_lossy(&output.stdout));
    println!("{}", String::from_utf8_lossy(&output.stderr));
    for (seed, output) in failed {
        let text = String::from_utf8_lossy(&output.stdout);
        let why = text.lines().find(|line| line.starts_with("VIOLATION"));
        println!("seed {seed}: {}", why.unwrap_or("it ended without a word"));
    }
    panic!(
        "{} seeds fail; HOOKLOG_SEED={first} cargo test --test simulation -- --nocapture no_seed shows every step",
        failed.len()
    );
}

#[test]
fn a_seed_repeats_itself_to_the_last_step() {
    for seed in [3, 11] {
        let digest = || {
            let output = child(seed).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let digest = text.lines().find_map(|line| line.strip_prefix("DIGEST "));
            digest.map(str::to_owned).expect("a run tells its digest")
        };
        assert_eq!(digest(), digest(), "seed {seed}");
    }
}
