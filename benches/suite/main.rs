//! The benchmark report: what Hooklog does, beside what this machine could do at most, measured in turns.
//!
//! `suite [quick|full|scale] [PART…]` runs the parts (all of them by default) and writes `docs/benchmarks.md`. Whatever is
//! measured against a server runs against processes of their own: the released binary, the bare handler, the generator of
//! load. It asserts nothing; what can't be measured is printed as such.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program that measures says what it does and stops loudly"
)]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people: far below 2^53, and rounded anyway"
)]

use mimalloc::MiMalloc;

mod client;
mod delivery;
mod disk;
mod durable;
mod engines;
mod figure;
mod fill;
mod handler;
mod load;
mod logs;
mod machine;
mod mode;
mod payload;
#[path = "../../tests/e2e/harness/port.rs"]
mod port;
mod process;
mod report;
mod server;
mod spread;
mod tables;

use std::path::Path;

use figure::PARTS;
use mode::Mode;
use report::Report;

/// What every part gets.
pub(crate) struct Bench {
    pub(crate) mode: Mode,
    /// A folder on the disk under measurement, gone afterwards.
    pub(crate) folder: tempfile::TempDir,
    /// Example payloads, signed, in a file that the generator reads.
    pub(crate) payloads: payload::Payloads,
}

impl Bench {
    /// An empty folder of that name.
    pub(crate) fn folder(&self, name: &str) -> std::path::PathBuf {
        let path = self.folder.path().join(name);
        let _none_before = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder");
        path
    }
}

/// Gives room on the disk back.
pub(crate) fn disk_room(folders: &[&Path]) {
    for folder in folders {
        let _gone = std::fs::remove_dir_all(folder);
    }
}

/// As the product: the log is measured in this process, and so are the ceilings.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() {
    let _already_set = rustls::crypto::ring::default_provider().install_default();
    // Cargo adds `--bench` for harnesses that know it.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["bare-handler", port] => handler::run(port.parse().expect("a port"), None),
        ["durable-handler", port] => handler::run(port.parse().expect("a port"), Some(Path::new("."))),
        ["load", order] => load::run(order),
        [] => run(Mode::quick(), &[]),
        [mode, parts @ ..] => run(Mode::named(mode), parts),
    }
}

fn run(mode: Mode, parts: &[&str]) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure(mode, parts));
}

async fn measure(mode: Mode, parts: &[&str]) {
    let recorder = logs::record_metrics();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let payloads = payload::Payloads::ready(root, folder.path());
    let bench = Bench {
        mode,
        folder,
        payloads,
    };
    let mut report = Report::begin(&bench);
    for (name, part) in PARTS {
        if !parts.is_empty() && !parts.contains(name) {
            continue;
        }
        eprintln!("== {name}");
        let began = std::time::Instant::now();
        part(&bench, &recorder, &mut report).await;
        let took = began.elapsed().as_secs_f64();
        report.took(name, took);
        eprintln!("== {name}: {took:.0} s");
    }
    let text = report.finish();
    let whole = parts.is_empty();
    // A report of some parts must not replace that of all.
    if whole {
        // The hour's report stays when somebody measures for two minutes.
        let path = root.join(match mode.name {
            "scale" => "docs/benchmarks-scale.md",
            _ => "docs/benchmarks.md",
        });
        std::fs::write(&path, &text).expect("the report is written");
        eprintln!("written: {}", path.display());
    } else {
        println!("{text}");
    }
}
