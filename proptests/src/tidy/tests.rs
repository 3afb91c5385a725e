//! Each rule finds what it is for, and lets the good sample pass: a rule that cannot fail is no rule.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail by panicking")]

use super::source::code_of;
use super::{File, Finding, house, manifests, source, texts};

fn file(path: &str, text: &str) -> File {
    File { path: path.to_owned(), text: text.to_owned() }
}

fn lines(findings: &[Finding]) -> Vec<usize> {
    findings.iter().map(|finding| finding.line).collect()
}

/// The lines that a rule names in a sample.
#[track_caller]
fn check(rule: impl Fn(&File) -> Vec<Finding>, path: &str, text: &str, expect: &[usize]) {
    let findings = rule(&file(path, text));
    assert_eq!(lines(&findings), expect, "{text:?} in {path}: {findings:?}");
}

#[test]
fn code_is_told_from_texts() {
    for (source, code) in [
        ("a // b \" c\nd", "a         \nd"),
        ("a /* b /* c */ d */ e", "a                   e"),
        ("f(\"x // \\\" y\") // z", "f(\"         \")     "),
        ("f(r#\"a \" b\"# , 'c', '\\'', b'\\\"', b\"d\")", "f(r#\"     \"# , ' ', '  ', b'  ', b\" \")"),
        ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
        ("bar\"x\" r\"\\\" br#\"y\"#", "bar\" \" r\" \" br#\" \"#"),
        ("\"two\nlines\" x", "\"   \n     \" x"),
    ] {
        assert_eq!(code_of(source), code, "{source:?}");
    }
}

#[test]
fn heads() {
    check(source::heads, "core/src/a.rs", "use x;\n", &[1]);
    check(source::heads, "core/src/a.rs", "//!\n", &[1]);
    check(source::heads, "core/src/a.rs", "// no head\n//! late\n", &[1]);
    check(source::heads, "core/src/a.rs", "//! A.\n//!\n//! B.\n//! C.\n", &[]);
    check(source::heads, "core/src/a.rs", "//! A.\n//! B.\n//! C.\n//! D.\n", &[3]);
    check(source::heads, "core/src/a.rs", "//! A.\n//! B.\n//! C.\n//! D.\npub mod b;\n", &[]);
    check(source::heads, "core/src/a.rs", "//! A.\n//! B.\n//! C.\n//! D.\n// mod b;\n", &[3]);
    check(source::heads, "core/src/a.rs", "//! A.\n//! | state |\n//! | --- |\n//! | b |\n", &[]);
    check(source::heads, "core/src/lib.rs", &"//! A.\n".repeat(45), &[]);
    check(source::heads, "core/src/lib.rs", &"//! A.\n".repeat(46), &[45]);
}

#[test]
fn sizes() {
    check(source::sizes, "core/src/a.rs", &"x\n".repeat(400), &[]);
    check(source::sizes, "core/src/a.rs", &"x\n".repeat(401), &[400]);
    check(source::sizes, "core/src/a/tests.rs", &"x\n".repeat(800), &[]);
    check(source::sizes, "app/tests/a/b.rs", &"x\n".repeat(801), &[800]);
    check(source::no_mod_rs, "core/src/a/mod.rs", "", &[0]);
    check(source::no_mod_rs, "core/src/a.rs", "", &[]);
}

#[test]
fn words_in_code() {
    check(
        source::unsafe_in_one_place,
        "core/src/a.rs",
        "// unsafe\nlet x = \"unsafe\";\n#![forbid(unsafe_code)]\n",
        &[],
    );
    check(source::unsafe_in_one_place, "core/src/a.rs", "fn a() {\n    unsafe { b() }\n}\n", &[2]);
    check(source::unsafe_in_one_place, "adapters/process/src/sys.rs", "unsafe { b() }\n", &[]);
    check(
        source::nothing_swallowed,
        "core/src/a.rs",
        "let _ = f();\nlet _guard = g();\nlet _: u8 = h();\n// let _ = i();\n",
        &[1, 3],
    );
    check(source::nothing_swallowed, "core/src/a/tests.rs", "let _ = f();\n", &[]);
    check(
        source::nothing_unfinished,
        "core/src/a.rs",
        "todo!()\nlet todo = 1;\n\"todo!()\";\nunimplemented!(\"x\")\n",
        &[1, 4],
    );
    check(source::no_ignored_tests, "a/tests/a.rs", "#[test]\n#[ignore]\n", &[2]);
    check(
        source::no_ignored_tests,
        "a/tests/a.rs",
        "# [ ignore = \"slow\" ]\n#[cfg_attr(unix, ignore)]\nlet ignore = 1;\n",
        &[1, 2],
    );
    check(source::no_ignored_tests, "a/tests/a.rs", "#[ignore = \"the body of a process\"]\n", &[]);
    check(manifests::function_sizes_hold, "core/src/a.rs", "#[expect(clippy::too_many_lines, reason = \"\")]\n", &[1]);
}

#[test]
fn names() {
    check(
        source::no_empty_names,
        "core/src/a.rs",
        "struct JobManager;\nfn help() {}\nmod http_helpers;\nenum Common {}\n",
        &[1, 3, 4],
    );
    check(
        source::no_empty_names,
        "core/src/a.rs",
        "fn utility() {}\n// struct Util;\nlet manager = x;\ntype Utils = u8;\n",
        &[4],
    );
    check(source::no_empty_names, "core/src/util.rs", "", &[0]);
    check(source::no_empty_names, "app/common/src/a.rs", "", &[0]);
}

#[test]
fn sleeping() {
    let in_tests = |text: &str, expect: &[usize]| check(source::no_sleeping_tests, "a/tests/a.rs", text, expect);
    in_tests("fn a() {\n    thread::sleep(SECOND);\n}\n", &[2]);
    in_tests("fn a() {\n    // poll: the kernel tells nobody\n    thread::sleep(SECOND);\n}\n", &[]);
    in_tests("async {\n    Timer::after(SECOND).await;\n}\n", &[2]);
    in_tests("async {\n    Timer::after(SECOND).await;\n    panic!(\"late\")\n}\n", &[]);
    in_tests("shell(\"sleep 1000\");\n// thread::sleep(x)\n", &[]);
    check(source::no_sleeping_tests, "a/src/a.rs", "thread::sleep(SECOND);\n", &[]);
}

#[test]
fn texts() {
    let words = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()];
    for word in words {
        check(texts::no_reminders, "docs/a.md", &format!("a\n{word}: b\n"), &[2]);
        check(texts::no_reminders, "core/src/a.rs", &format!("// \\u{word}X\n"), &[]);
    }
    for folder in ["work", "root", "home"] {
        let sample = format!(
            "cd /{folder}/a\n\"/{folder}/b\"\nsrc/{folder}/c\n../{folder}/d\n{{x}}/{folder}/e\n/{folder}/you/f\n/{folder}\n"
        );
        check(texts::no_machine_paths, "docs/a.md", &sample, &[1, 2]);
    }
    let host = ["pypi", ".org"].concat();
    check(texts::no_registry_hosts, ".ci/run", &format!("pip install\npip -i https://{host}/x\n"), &[2]);
    let lock = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\nsource = \"registry+https://other\"\nsource = \"git+https://x\"\n";
    check(texts::no_registry_hosts, "Cargo.lock", lock, &[2, 3]);
}

#[test]
fn layering() {
    let manifest = |name: &str| format!("[package]\nname = \"x\"\n[dependencies]\n{name} = {{ workspace = true }}\n");
    for (folder, name, expect) in [
        ("core", "serde", &[][..]),
        ("core", "rand", &[4]),
        ("core", "castellan-fs", &[4, 4]),
        ("adapters/fs", "castellan-core", &[]),
        ("adapters/fs", "castellan-mqtt", &[4, 0]),
        ("adapters/fs", "rustls", &[0]),
        ("app", "castellan-mqtt", &[]),
        ("proptests", "castellan-core", &[]),
        ("proptests", "castellan-mqtt", &[4]),
        ("proptests", "castellan", &[4]),
    ] {
        check(manifests::layering, &format!("{folder}/Cargo.toml"), &manifest(name), expect);
    }
    check(manifests::layering, "core/Cargo.toml", "[dependencies.tokio]\nversion = \"1\"\n", &[2]);
    check(
        manifests::layering,
        "core/Cargo.toml",
        "[target.'cfg(unix)'.build-dependencies]\nlibc.workspace = true\n",
        &[2],
    );
    check(manifests::layering, "app/Cargo.toml", "[dependencies]\nserde = \"1\"\n", &[2]);
    let dev = "[dependencies]\ncastellan-core = { workspace = true }\n[dev-dependencies]\ncastellan-fs = { workspace = true }\n";
    check(manifests::layering, "adapters/mqtt/Cargo.toml", dev, &[4]);
    check(manifests::core_is_pure, "core/src/lib.rs", "#![no_std]\n#![forbid(unsafe_code)]\n", &[]);
    check(manifests::core_is_pure, "core/src/lib.rs", "//! #![no_std]\n", &[0, 0]);
}

#[test]
fn manifests_and_commands() {
    check(manifests::lints_inherited, "app/Cargo.toml", "[lints]\nworkspace = true\n", &[]);
    check(manifests::lints_inherited, "app/Cargo.toml", "[lints]\nworkspace = false\n", &[0]);
    check(manifests::lints_inherited, "app/Cargo.toml", "[package]\nname = \"x\"\n", &[0]);
    let root = file("Cargo.toml", "[workspace]\nmembers = [\"core\"]\n");
    let (core, app) = (file("core/Cargo.toml", ""), file("app/Cargo.toml", ""));
    assert_eq!(manifests::members(&root, &[&core]), []);
    assert_eq!(manifests::members(&root, &[&core, &app]).len(), 1);

    let aliases = |verify: &str| {
        let flags = "--locked --ignore-rust-version";
        format!(
            "[alias]\ndemo = \"run {flags}\"\nlint = \"clippy {flags}\"\ndocs = \"doc {flags}\"\nsim = \"run {flags}\"\n{verify}\n"
        )
    };
    check(
        manifests::aliases,
        ".cargo/config.toml",
        &aliases("verify = \"test --ignore-rust-version --locked -q\""),
        &[],
    );
    check(manifests::aliases, ".cargo/config.toml", &aliases("verify = \"test --locked\""), &[6]);
    check(manifests::aliases, ".cargo/config.toml", &aliases("verify = [\"test\"]"), &[6, 6]);
    check(manifests::aliases, ".cargo/config.toml", &aliases(""), &[0]);

    let workspace =
        |level: &str| file("Cargo.toml", &format!("[workspace.lints.clippy]\ntoo_many_lines = \"{level}\"\n"));
    let clippy = |most: &str| file("clippy.toml", &format!("too-many-lines-threshold = {most}\n"));
    assert_eq!(manifests::function_sizes(&clippy("70"), &workspace("warn")), []);
    assert_eq!(manifests::function_sizes(&clippy("170"), &workspace("warn")).len(), 1);
    assert_eq!(manifests::function_sizes(&clippy("70"), &workspace("allow")).len(), 1);
}

#[test]
fn documents() {
    let source = "/// A { b.\npub enum Event {\n    /// C.\n    Loaded(Loaded),\n    /// D.\n    Api {\n        /// E.\n        Request: u8,\n    },\n}\nenum Own {\n    No,\n}\n";
    let names: Vec<String> = house::variants(source).into_iter().map(|variant| variant.name).collect();
    assert_eq!(names, ["Loaded", "Api"]);
    let source = file("core/src/event.rs", source);
    let missing = |text: &str| lines(&house::variants_documented(&source, &file("docs/architecture.md", text)));
    assert_eq!(missing("`Event::Loaded` and `Api { Request }`"), Vec::<usize>::new());
    assert_eq!(missing("```text\nLoaded Api\n```\n"), Vec::<usize>::new());
    assert_eq!(missing("Loaded and `Apis`"), [4, 6]);
    assert_eq!(missing("`Loaded` and Api"), [6]);
    let sources = [file("core/tests/story.rs", "#[test]\nfn it_is_so() {}\n")];
    let unknown = |text: &str| lines(&house::named_tests_exist(&file("docs/threats.md", text), &sources));
    assert_eq!(unknown("`it_is_so`, `word`, `a-b`, it_is_not, `fn it_is()`"), Vec::<usize>::new());
    assert_eq!(unknown("| a |\n| `it_is_so`; `it_is_not` |"), [2]);
    check(house::commands_shown, "README.md", "`cargo demo`, then\n    cargo verify\n", &[]);
    check(house::commands_shown, "README.md", "cargo demo\n", &[0]);
}
