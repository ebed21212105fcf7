//! The style guide, as a test. It reads the tree; it runs nothing of the product.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// The crates of the workspace and those that each may name; `domain` stands below all, the binary above.
const EDGES: [(&str, &[&str]); 8] = [
    ("domain", &[]),
    ("eventstore-sim", &[]),
    ("infra", &["domain"]),
    ("ingest", &["domain"]),
    ("projections", &["domain"]),
    ("query-api", &["domain"]),
    ("reactors", &["domain"]),
    (
        "hooklog",
        &[
            "domain",
            "infra",
            "ingest",
            "projections",
            "query-api",
            "reactors",
        ],
    ),
];

/// Crates that any may name for its tests, and none for anything else.
const FOR_TESTS: [&str; 1] = ["eventstore-sim"];

/// Crates that would bring I/O, a clock or randomness into the domain.
const NOT_IN_DOMAIN: [&str; 8] = [
    "tokio",
    "poem",
    "reqwest",
    "async-nats",
    "clickhouse",
    "rand",
    "rustix",
    "tracing",
];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 6] = ["utils", "util", "helpers", "helper", "common", "misc"];

const FILE_LINES_MAX: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files under version control, and the new ones that are not ignored.
fn files() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git lists the files");
    assert!(
        listed.status.success(),
        "git ls-files failed: {}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let names = String::from_utf8(listed.stdout).expect("file names are UTF-8");
    let files: Vec<PathBuf> = names
        .split('\0')
        .filter(|n| !n.is_empty())
        .map(PathBuf::from)
        .collect();
    let files: Vec<PathBuf> = files.into_iter().filter(|f| root().join(f).is_file()).collect();
    assert!(files.len() > 50, "only {} files found", files.len());
    files
}

fn rust_files() -> Vec<PathBuf> {
    files()
        .into_iter()
        .filter(|f| f.extension().is_some_and(|e| e == "rs"))
        .collect()
}

fn read(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(root().join(file)).expect("the file can be read")).into_owned()
}

fn packages() -> Vec<Package> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec();
    metadata.expect("cargo describes the workspace").packages
}

#[test]
fn a_crate_names_only_the_crates_below_it() {
    let allowed: BTreeMap<&str, &[&str]> = EDGES.into_iter().collect();
    let packages = packages();
    let names: BTreeSet<&str> = packages.iter().map(|p| p.name.as_str()).collect();
    assert_eq!(
        names,
        allowed.keys().copied().collect(),
        "the table of crates here and the workspace differ"
    );
    let mut forbidden = Vec::new();
    for package in &packages {
        let allowed = allowed[package.name.as_str()];
        for dependency in package
            .dependencies
            .iter()
            .filter(|d| names.contains(d.name.as_str()))
        {
            let for_tests = FOR_TESTS.contains(&dependency.name.as_str());
            if for_tests && dependency.kind == DependencyKind::Development {
                continue;
            }
            if !allowed.contains(&dependency.name.as_str()) {
                forbidden.push(format!("{} must not name {}", package.name, dependency.name));
            }
        }
    }
    assert!(forbidden.is_empty(), "{forbidden:#?}");
}

#[test]
fn the_domain_has_no_side_effects_to_offer() {
    let packages = packages();
    let domain = packages
        .iter()
        .find(|p| p.name == "domain")
        .expect("there is a domain");
    let brought: Vec<&str> = domain
        .dependencies
        .iter()
        .filter(|d| d.kind == DependencyKind::Normal && !d.optional)
        .map(|d| d.name.as_str())
        .filter(|name| NOT_IN_DOMAIN.contains(name))
        .collect();
    assert!(brought.is_empty(), "the domain depends on {brought:?}");
    // Its test doubles may use a clock or a runtime, behind the feature `testing`.
    let product = rust_files()
        .into_iter()
        .filter(|f| f.starts_with("crates/domain/src") && !f.to_string_lossy().contains("testing"));
    for file in product {
        let text = read(&file);
        for word in [
            "SystemTime::now",
            "Instant::now",
            "now_utc",
            "now_v7",
            "new_v4(",
            "std::fs::",
            "std::net::Tcp",
            "std::env::",
        ] {
            let product = text.split("#[cfg(test)]").next().unwrap_or_default();
            assert!(!product.contains(word), "{} uses {word}", file.display());
        }
    }
}

#[test]
fn every_crate_is_under_the_lints_of_the_workspace() {
    let manifests: Vec<PathBuf> = files()
        .into_iter()
        .filter(|f| f.ends_with("Cargo.toml"))
        // No member of the workspace and without code of its own: it builds the simulation from a broken copy.
        .filter(|f| !f.starts_with("tests/mutations"))
        // Nor is this: a line for each target, which calls what is in the crates.
        .filter(|f| !f.starts_with("fuzz"))
        .collect();
    assert_eq!(manifests.len(), EDGES.len());
    for manifest in manifests {
        let text = read(&manifest);
        assert!(
            text.contains("[lints]\nworkspace = true"),
            "{} has lints of its own",
            manifest.display()
        );
    }
    let workspace = read(Path::new("Cargo.toml"));
    for lint in [
        "too_many_lines",
        "unwrap_used",
        "wildcard_enum_match_arm",
        "missing_docs",
        "unsafe_code",
    ] {
        assert!(workspace.contains(lint), "the workspace lost its lint {lint}");
    }
    let clippy = read(Path::new("clippy.toml"));
    assert!(
        clippy.contains("too-many-lines-threshold = 70"),
        "functions may be longer than 70 lines"
    );
}

/// What the lock file says of a package: the names that it depends on.
fn locked_dependencies(lock: &toml::Table, name: &str) -> Option<BTreeSet<String>> {
    let packages = lock["package"].as_array().expect("a list of packages");
    let package = packages.iter().find(|p| p["name"].as_str() == Some(name))?;
    let listed = package.get("dependencies").and_then(toml::Value::as_array);
    let names = listed.into_iter().flatten().filter_map(toml::Value::as_str);
    Some(
        names
            .map(|text| text.split(' ').next().unwrap_or(text).to_owned())
            .collect(),
    )
}

/// `make fuzz` and `make deny` take it as it is and would fail.
#[test]
fn the_lock_file_of_the_fuzz_targets_knows_what_the_crates_depend_on() {
    let lock: toml::Table = read(Path::new("fuzz/Cargo.lock")).parse().expect("a lock file");
    let metadata = MetadataCommand::new().no_deps().exec().expect("the workspace");
    let mut looked_at = 0;
    for package in &metadata.packages {
        let Some(locked) = locked_dependencies(&lock, &package.name) else {
            continue;
        };
        let needed = package.dependencies.iter();
        let needed = needed.filter(|d| d.kind == DependencyKind::Normal && !d.optional);
        let missing: Vec<&str> = needed
            .map(|d| d.name.as_str())
            .filter(|d| !locked.contains(*d))
            .collect();
        assert!(
            missing.is_empty(),
            "fuzz/Cargo.lock lacks {missing:?} of {}: cargo update --workspace --manifest-path fuzz/Cargo.toml",
            package.name.as_str()
        );
        looked_at += 1;
    }
    assert!(looked_at >= 3, "only {looked_at} crates stand in fuzz/Cargo.lock");
}

#[test]
fn a_lint_is_silenced_only_with_a_reason() {
    let mut bare = Vec::new();
    for file in rust_files() {
        for (number, line) in read(&file).lines().enumerate() {
            let line = line.trim_start();
            // A reason may follow on a line of its own; clippy checks the rest of it.
            if (line.starts_with("#[allow(") || line.starts_with("#![allow("))
                && line.ends_with(")]")
                && !line.contains("reason")
            {
                bare.push(format!("{}:{}", file.display(), number + 1));
            }
            if line.contains("allow(")
                && line.contains("clippy::too_many_lines")
                && !file.ends_with("tidy.rs")
            {
                bare.push(format!(
                    "{}:{}: a function over 70 lines",
                    file.display(),
                    number + 1
                ));
            }
        }
    }
    assert!(bare.is_empty(), "{bare:#?}");
}

#[test]
fn a_file_has_at_most_500_lines() {
    let long: Vec<String> = rust_files()
        .into_iter()
        .map(|f| (read(&f).lines().count(), f))
        .filter(|(lines, _)| *lines > FILE_LINES_MAX)
        .map(|(lines, f)| format!("{}: {lines} lines", f.display()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn a_file_is_named_for_what_is_in_it() {
    let empty: Vec<PathBuf> = files()
        .into_iter()
        .filter(|f| {
            f.components()
                .any(|c| EMPTY_NAMES.contains(&stem(c.as_os_str().as_ref()).as_str()))
        })
        .collect();
    assert!(empty.is_empty(), "{empty:#?}");
}

fn stem(part: &Path) -> String {
    part.file_stem()
        .map(|s| s.to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[test]
fn a_module_says_what_it_is_for() {
    let silent: Vec<PathBuf> = rust_files()
        .into_iter()
        // Tests beside the code are about the code beside them.
        .filter(|f| !f.ends_with("tests.rs") && !f.components().any(|c| c.as_os_str() == "tests"))
        .filter(|f| !read(f).trim_start().starts_with("//!"))
        .collect();
    assert!(silent.is_empty(), "{silent:#?}");
}

#[test]
fn nothing_waits_for_a_time_to_pass_in_a_test() {
    // `wait.rs` polls a condition, the server waits for its child, the files of faults make an injected delay.
    let allowed = [
        "tests/e2e/harness/wait.rs",
        "tests/e2e/harness/server.rs",
        "tests/tidy.rs",
    ];
    let mut sleeping = Vec::new();
    for file in rust_files() {
        let (name, text) = (file.display().to_string(), read(&file));
        let test_file = name.starts_with("tests/") || name.contains("/tests/") || name.ends_with("/tests.rs");
        let tests = if test_file {
            text.as_str()
        } else {
            text.split_once("#[cfg(test)]").map_or("", |(_, t)| t)
        };
        if tests.contains("thread::sleep(") && !allowed.contains(&name.as_str()) {
            sleeping.push(name);
        }
    }
    assert!(
        sleeping.is_empty(),
        "tests wait on conditions with a deadline: {sleeping:#?}"
    );
}

/// Files that belong to one machine must not be named: a clone works anywhere.
#[test]
fn no_file_names_a_place_of_one_machine() {
    // The homes of people and of the administrator; spelled apart so that this file passes.
    let private: Vec<String> = ["home", "Users", "root"]
        .iter()
        .map(|top| format!("/{top}/"))
        .collect();
    let mut named = Vec::new();
    for file in files() {
        for (number, line) in read(&file).lines().enumerate() {
            for place in &private {
                if starts_a_path(line, place) {
                    named.push(format!("{}:{}: {}", file.display(), number + 1, line.trim()));
                }
            }
        }
    }
    // The checkout's own place, whatever it is, is in no file either.
    let here = root().display().to_string();
    if here.matches('/').count() > 1 {
        named.extend(
            files()
                .iter()
                .filter(|f| read(f).contains(&here))
                .map(|f| format!("{}: {here}", f.display())),
        );
    }
    assert!(named.is_empty(), "{named:#?}");
}

/// Whether the line has the text where a path could begin, rather than inside a URL or a longer path.
fn starts_a_path(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '/' | '.' | '}' | '-' | '_' | '~'))
    })
}

#[test]
fn the_commands_of_the_readme_exist() {
    let readme = read(Path::new("README.md"));
    let makefile = read(Path::new("Makefile"));
    let mut seen = 0;
    for line in readme.lines().filter_map(|l| l.strip_prefix("make ")) {
        let target = line.split_whitespace().next().unwrap_or_default();
        let rule = format!("\n{target}:");
        assert!(
            makefile.contains(&rule),
            "the README says `make {target}`, the Makefile does not know it"
        );
        seen += 1;
    }
    assert!(seen >= 2, "the README shows `make run` and `make test`");
}

#[test]
fn the_links_of_the_pages_lead_somewhere() {
    let mut broken = Vec::new();
    for page in files()
        .into_iter()
        .filter(|f| f.extension().is_some_and(|e| e == "md"))
    {
        let folder = page.parent().unwrap_or(Path::new(""));
        let text = read(&page);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            if file.is_empty() || file.contains("://") || file.starts_with("mailto:") {
                continue;
            }
            if !root().join(folder).join(file).exists() {
                broken.push(format!("{}: {target}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn the_changelog_has_a_place_for_what_comes() {
    let changelog = read(Path::new("CHANGELOG.md"));
    assert!(
        changelog.contains("## Unreleased") || changelog.contains("## [Unreleased]"),
        "CHANGELOG.md has no Unreleased"
    );
}

#[test]
fn both_licences_are_there() {
    assert!(read(Path::new("LICENSE-MIT")).contains("MIT License"));
    assert!(read(Path::new("LICENSE-APACHE")).contains("Apache License"));
    let package = packages()
        .into_iter()
        .find(|p| p.name == "hooklog")
        .expect("the root package");
    assert_eq!(package.license.as_deref(), Some("MIT OR Apache-2.0"));
}
