use std::os::unix::fs::MetadataExt as _;

use super::package::Manager;
use super::*;

const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

fn package(sha256: Option<&'static str>) -> Package {
    Package {
        engine: EngineKind::Nats,
        manager: Manager::Pip,
        name: "nothing",
        version: "1",
        form: Form::Program,
        file: PathBuf::from("bin/engine"),
        sha256,
        size: "0",
    }
}

fn options(dir: &Path) -> Options {
    Options {
        engines_dir: dir.to_owned(),
        download: false,
        timeout_ms: 1000,
    }
}

fn put(dir: &Path, content: &str) -> PathBuf {
    let file = dir.join("nats-1/bin/engine");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, content).unwrap();
    file
}

#[test]
fn a_cached_engine_with_the_pinned_hash_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let file = put(dir.path(), "hello");
    let artifact = packaged(
        &package(Some(HELLO)),
        &options(dir.path()),
        &CancellationToken::new(),
    )
    .unwrap();
    assert_eq!(artifact.path, file);
}

#[test]
fn a_cached_engine_with_another_hash_is_not_used() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "jello");
    let error = packaged(
        &package(Some(HELLO)),
        &options(dir.path()),
        &CancellationToken::new(),
    )
    .unwrap_err();
    assert!(matches!(error, FetchError::NotAllowed { .. }), "{error}");
}

#[test]
fn a_file_changed_after_its_stamp_is_hashed_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = put(dir.path(), "hello");
    assert!(check::is_good(&file, &package(Some(HELLO))).unwrap());
    fs::write(&file, "hello, or so").unwrap();
    assert!(!check::is_good(&file, &package(Some(HELLO))).unwrap());
}

#[test]
fn an_unchanged_file_is_not_hashed_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = put(dir.path(), "hello");
    assert!(check::is_good(&file, &package(Some(HELLO))).unwrap());
    // Same size and time, other content: only the stamp can still vouch for it.
    let modified = fs::metadata(&file).unwrap().modified().unwrap();
    fs::write(&file, "jello").unwrap();
    File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_modified(modified)
        .unwrap();
    assert_eq!(fs::metadata(&file).unwrap().size(), 5);
    assert!(check::is_good(&file, &package(Some(HELLO))).unwrap());
}

#[test]
fn a_stamp_of_another_pin_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let file = put(dir.path(), "hello");
    assert!(check::is_good(&file, &package(None)).unwrap());
    assert!(!check::is_good(&file, &package(Some("00"))).unwrap());
}

#[test]
fn a_fetched_file_with_the_wrong_hash_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = put(dir.path(), "jello");
    let error = check::stamp(&file, &package(Some(HELLO))).unwrap_err();
    assert!(
        matches!(error, FetchError::Checksum { expected: HELLO, .. }),
        "{error}"
    );
}

#[test]
fn waiting_for_another_fetcher_ends_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let _other = private_file::lock(&dir.path().join(".lock")).unwrap().unwrap();
    let options = Options {
        download: true,
        ..options(dir.path())
    };
    let cancel = CancellationToken::new();
    cancel.cancel();
    let error = packaged(&package(Some(HELLO)), &options, &cancel).unwrap_err();
    assert!(matches!(error, FetchError::Cancelled), "{error}");
}
