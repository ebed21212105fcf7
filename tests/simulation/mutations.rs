//! The mutations of `tests/mutations` are kept runnable: each still applies to the tree as it is. `run.sh` there runs them.

use std::path::Path;
use std::process::Command;

#[test]
fn every_mutation_still_applies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("tests/mutations");
    let mut patches: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "patch"))
        .collect();
    patches.sort();
    assert!(
        patches.len() >= 12,
        "only {} mutations in {}",
        patches.len(),
        folder.display()
    );
    let check = |patch: &Path| {
        let mut git = Command::new("git");
        git.current_dir(root).args(["apply", "--check"]).arg(patch);
        let checked = git.output().unwrap();
        let why = String::from_utf8_lossy(&checked.stderr).into_owned();
        (!checked.status.success()).then(|| format!("{}: {why}", patch.display()))
    };
    let broken: Vec<String> = patches.iter().filter_map(|patch| check(patch)).collect();
    assert!(broken.is_empty(), "these no longer apply: {broken:#?}");
}
