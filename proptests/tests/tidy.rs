//! The rules of the house, held against the working tree: each finding says where and what to do.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may fail by panicking")]

use castellan_proptests::tidy::{self, File, Finding, house, manifests, source, texts};

fn tree() -> Vec<File> {
    let files = tidy::read_tree(&tidy::root()).expect("the working tree can be read");
    assert!(files.iter().filter(|file| file.is_rust()).count() > 100, "the tree has lost its sources");
    files
}

/// Every finding of a rule in the files it is for.
#[track_caller]
fn check(applies: impl Fn(&File) -> bool, rule: impl Fn(&File) -> Vec<Finding>) {
    let findings: Vec<Finding> = tree().iter().filter(|file| applies(file)).flat_map(rule).collect();
    assert!(findings.is_empty(), "\n{}\n", tidy::report(&findings));
}

/// Fuzz targets are a workspace of their own, which needs another compiler.
fn manifest(file: &File) -> bool {
    file.path.ends_with("/Cargo.toml") && !file.path.ends_with("/fuzz/Cargo.toml")
}

fn everything(_: &File) -> bool {
    true
}

#[track_caller]
fn only(path: &str) -> File {
    let found = tree().into_iter().find(|file| file.path == path);
    found.unwrap_or_else(|| panic!("{path}:0: the file is missing; write it."))
}

#[test]
fn every_file_says_its_purpose() {
    check(File::is_rust, source::heads);
}

#[test]
fn files_stay_small() {
    check(File::is_rust, source::sizes);
}

#[test]
fn functions_stay_small() {
    let findings = manifests::function_sizes(&only("clippy.toml"), &only("Cargo.toml"));
    assert!(findings.is_empty(), "\n{}\n", tidy::report(&findings));
    check(File::is_rust, manifests::function_sizes_hold);
}

#[test]
fn modules_are_named_by_their_file() {
    check(File::is_rust, source::no_mod_rs);
}

#[test]
fn layers_hold() {
    check(manifest, manifests::layering);
}

#[test]
fn the_core_is_pure() {
    let findings = manifests::core_is_pure(&only("core/src/lib.rs"));
    assert!(findings.is_empty(), "\n{}\n", tidy::report(&findings));
}

#[test]
fn unsafe_code_has_one_home() {
    check(File::is_rust, source::unsafe_in_one_place);
}

#[test]
fn names_say_something() {
    check(File::is_rust, source::no_empty_names);
}

#[test]
fn nothing_is_swallowed() {
    check(File::is_rust, source::nothing_swallowed);
}

#[test]
fn nothing_is_unfinished() {
    check(File::is_rust, source::nothing_unfinished);
    check(everything, texts::no_reminders);
}

#[test]
fn every_test_runs() {
    check(File::is_rust, source::no_ignored_tests);
}

#[test]
fn tests_wait_for_events() {
    check(File::is_rust, source::no_sleeping_tests);
}

#[test]
fn no_path_of_one_machine() {
    check(everything, texts::no_machine_paths);
}

#[test]
fn no_registry_of_one_machine() {
    check(everything, texts::no_registry_hosts);
}

#[test]
fn every_member_takes_the_lints() {
    check(manifest, manifests::lints_inherited);
    let files = tree();
    let manifests: Vec<&File> = files.iter().filter(|file| manifest(file)).collect();
    let findings = manifests::members(&only("Cargo.toml"), &manifests);
    assert!(findings.is_empty(), "\n{}\n", tidy::report(&findings));
}

#[test]
fn commands_keep_to_the_lock_file() {
    let findings = manifests::aliases(&only(".cargo/config.toml"));
    assert!(findings.is_empty(), "\n{}\n", tidy::report(&findings));
}

#[test]
fn documents_name_every_event_and_effect() {
    let document = only("docs/architecture.md");
    for (subject, files) in [("core/src/event", 2), ("core/src/effect", 3)] {
        let of_subject =
            |file: &&File| file.path == format!("{subject}.rs") || file.path.starts_with(&format!("{subject}/"));
        let tree = tree();
        let found: Vec<&File> = tree.iter().filter(of_subject).collect();
        let variants: usize = found.iter().map(|file| house::variants(&file.text).len()).sum();
        assert!(found.len() >= files && variants > 20, "{subject}.rs:0: the rule does not see these enums any more.");
        for file in found {
            let findings = house::variants_documented(file, &document);
            assert!(findings.is_empty(), "\n{}\n", tidy::report(&findings));
        }
    }
}

#[test]
fn tests_that_are_named_as_a_proof_exist() {
    let document = only("docs/threats.md");
    assert!(document.text.matches('`').count() > 60, "docs/threats.md:0: the table of cases is gone; write it.");
    let findings = house::named_tests_exist(&document, &tree());
    assert!(findings.is_empty(), "\n{}\n", tidy::report(&findings));
}

#[test]
fn readme_shows_the_two_commands() {
    let findings = house::commands_shown(&only("README.md"));
    assert!(findings.is_empty(), "\n{}\n", tidy::report(&findings));
}
