//! The corpus of the fuzzers, without a fuzzer: every input that was kept, and a number of others close to each.
//!
//! A panic is a finding. The fuzzers themselves are in `fuzz/`; what they found and what was mended stays in its corpus.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test fails loudly, and says with which input"
)]

mod mutation;

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use mutation::Mutations;

/// How many inputs are made of each target's corpus, unless `HOOKLOG_FUZZ_MUTATIONS` says otherwise.
const MUTATIONS: u64 = 3000;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 9] = [
    ("message", domain::testing::fuzzing::message),
    ("facts", domain::testing::fuzzing::facts),
    ("names", domain::testing::fuzzing::names),
    ("forwarded", domain::testing::fuzzing::forwarded),
    ("format", infra::log::fuzzing::format),
    ("damage", infra::log::fuzzing::damage),
    ("request", ingest::fuzzing::request),
    ("json", ingest::fuzzing::json),
    ("form", ingest::fuzzing::form),
];

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The names of the files in a folder, without their ending.
fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    entries
        .map(|entry| {
            let path = entry.unwrap().path();
            path.file_stem().unwrap().to_string_lossy().into_owned()
        })
        .collect()
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = fuzz().join("corpus").join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        (path, bytes)
    };
    files.into_iter().map(read).collect()
}

fn mutations() -> u64 {
    #[allow(
        clippy::disallowed_methods,
        reason = "the knobs of the tests are no settings of the product"
    )]
    let value = std::env::var("HOOKLOG_FUZZ_MUTATIONS");
    value.map_or(MUTATIONS, |text| text.parse().unwrap())
}

/// Shows a target every input of its corpus, and others made of them, always the same ones.
fn replay(name: &str) {
    let (_, target) = TARGETS.into_iter().find(|(n, _)| *n == name).unwrap();
    let corpus = corpus(name);
    let check = |what: &str, input: &[u8]| {
        let outcome = catch_unwind(AssertUnwindSafe(|| target(input)));
        assert!(outcome.is_ok(), "{name}: {what}:\n{}", input.escape_ascii());
    };
    for (path, input) in &corpus {
        check(&path.display().to_string(), input);
    }
    let inputs: Vec<&[u8]> = corpus.iter().map(|(_, input)| input.as_slice()).collect();
    for (n, input) in (0..mutations()).zip(Mutations::of(&inputs)) {
        check(&format!("mutation {n}"), &input);
    }
}

macro_rules! replays {
    ($($test:ident: $target:literal),* $(,)?) => {
        $(#[test]
        fn $test() {
            replay($target);
        })*

        const REPLAYED: &[&str] = &[$($target),*];
    };
}

replays! {
    an_event_is_the_same_after_its_way_through_the_stream: "message",
    facts_of_events_are_the_same_when_written_again: "facts",
    names_lose_nothing_and_keep_to_their_letters: "names",
    no_sender_chooses_its_own_address: "forwarded",
    bytes_on_disk_are_read_as_they_were_written_or_not_at_all: "format",
    a_damaged_log_shows_what_was_written_or_refuses: "damage",
    only_who_knows_the_secret_is_let_in: "request",
    facts_are_those_that_a_whole_parser_finds: "json",
    a_form_is_read_the_same_however_it_is_cut: "form",
}

#[test]
fn every_target_has_a_program_a_corpus_and_a_test() {
    let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names(&fuzz().join("fuzz_targets")), known);
    assert_eq!(names(&fuzz().join("corpus")), known);
    assert_eq!(
        REPLAYED
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>(),
        known
    );
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "fuzz/Cargo.toml lacks {name}"
        );
        assert!(corpus(name).len() >= 3, "{name} has hardly a corpus");
    }
}

/// A corpus that gets nowhere shows nothing: of each scheme there is a request that its source takes, and one that it signs.
#[test]
fn the_corpus_has_deliveries_of_every_scheme() {
    let requests = corpus("request");
    let taken = |begins: &dyn Fn(&str) -> bool| {
        let mut firsts = requests.iter().filter(|(_, input)| {
            let first = input.split(|byte| *byte == b'\n').next().unwrap();
            begins(&String::from_utf8_lossy(first))
        });
        firsts.any(|(_, input)| ingest::fuzzing::is_taken(input))
    };
    for scheme in ingest::fuzzing::SCHEMES {
        let path = format!("webhooks/{scheme} ");
        assert!(
            taken(&|first| first.contains(&path)),
            "no request of {scheme} is taken"
        );
        let signed = format!("signed {scheme} ");
        assert!(
            taken(&|first| first.starts_with(&signed)),
            "none that {scheme} signs is taken"
        );
    }
}
