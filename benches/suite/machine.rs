//! What the figures were taken on.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// Rows of a table: machine, versions.
pub(crate) fn table() -> String {
    let rows = [
        ("processor", processor()),
        ("memory", memory()),
        ("disk", disk()),
        ("kernel", printed("uname", &["-sr"])),
        ("rustc", printed("rustc", &["--version"])),
        ("engines", engines()),
        ("commit", commit()),
        ("binary", binary()),
    ];
    let mut table = String::from("| | |\n|---|---|\n");
    for (name, value) in rows {
        let _ = writeln!(table, "| {name} | {value} |");
    }
    table
}

fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = field(&text, "model name").unwrap_or("unknown").to_owned();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    format!("{model}, {cores} cores")
}

fn memory() -> String {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = field(&text, "MemTotal").and_then(|value| value.split(' ').next()?.parse::<f64>().ok());
    kib.map_or_else(
        || "unknown".to_owned(),
        |kib| format!("{:.1} GiB", kib / 1024.0 / 1024.0),
    )
}

/// The file system that the log is written to.
fn disk() -> String {
    let mounted = printed("df", &["--output=source,fstype", env!("CARGO_TARGET_TMPDIR")]);
    mounted
        .lines()
        .last()
        .unwrap_or("unknown")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(", ")
}

/// The embedded engines, by the names of their folders.
fn engines() -> String {
    let folder = std::fs::read_dir(super::engines::engines_dir())
        .into_iter()
        .flatten()
        .flatten();
    let mut names: Vec<String> = folder
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    format!("embedded: {}", names.join(", "))
}

fn commit() -> String {
    let root = env!("CARGO_MANIFEST_DIR");
    let hash = printed("git", &["-C", root, "rev-parse", "--short", "HEAD"]);
    let changed = printed(
        "git",
        &["-C", root, "status", "--porcelain", "--untracked-files=no"],
    );
    if changed.is_empty() {
        hash
    } else {
        format!("{hash} and changes that are not committed")
    }
}

fn binary() -> String {
    let path = Path::new(env!("CARGO_BIN_EXE_hooklog"));
    let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
    let kind = if cfg!(debug_assertions) {
        "**debug build: no figure here means anything**"
    } else {
        "release"
    };
    format!("{kind}, {:.1} MiB", bytes as f64 / 1024.0 / 1024.0)
}

fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

fn printed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or_else(
        |_| "unknown".to_owned(),
        |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
    )
}
