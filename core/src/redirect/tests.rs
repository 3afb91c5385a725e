//! Rules of redirection: what is read, what is refused, what matches.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may fail by panicking")]

use alloc::collections::BTreeMap;
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use super::*;
use crate::plugin::storage::{PluginSettings, PolicySettings, SettingChange, StoredSetting};

const ALICE: Request<'_> =
    Request { file: "/usr/bin/vim.basic", command_line: "vim /etc/hosts", by_administrator: false };

/// The settings of a file that says so.
fn with(enabled: &str, rules: &str) -> PluginSettings {
    let mut settings = PluginSettings::default();
    let values = [(ENABLED, enabled), (RULES, rules)].map(|(key, value)| (key.to_string(), value.to_string()));
    settings.insert(REDIRECT_PLUGIN, BTreeMap::from(values), Vec::new());
    settings
}

/// The rule and the arguments of what is run instead of what alice asks for.
fn of(rules: &str) -> Result<Option<Found>, String> {
    decide(&with("true", rules), ALICE).map(|found| found.map(|one| (one.rule, one.arguments)))
}

type Found = (usize, Option<Vec<String>>);

#[test]
fn the_first_rule_that_matches_counts() {
    let rules = r#"[{"sourceExePattern":"^/opt/","targetExe":"/bin/a"},
        {"sourceExePattern":"vim","commandLinePattern":"passwd","targetExe":"/bin/b"},
        {"sourceExePattern":"/vim","commandLinePattern":"hosts$","elevationOnly":true,"targetExe":"/bin/c","targetArguments":"-R 'a b'"},
        {"targetExe":"/bin/d"}]"#;
    let found = decide(&with("True", rules), ALICE).unwrap().unwrap();
    let arguments = Some(vec!["-R".to_string(), "a b".to_string()]);
    assert_eq!(found, Substitution { rule: 2, program: "/bin/c".to_string(), arguments });
    // Nothing is anchored, and letters count as they are.
    assert_eq!(of(r#"[{"sourceExePattern":"BIN","targetExe":"/bin/a"}]"#), Ok(None));
    assert_eq!(of(r#"[{"sourceExePattern":"(?i)BIN","targetExe":"/bin/a"}]"#), Ok(Some((0, None))));
    assert_eq!(
        of(r#"[{"TARGETEXE":"/bin/a","sourceExePattern":null,"targetArguments":[]}]"#),
        Ok(Some((0, Some(vec![]))))
    );
    assert_eq!(of(r#"[{"targetExe":"/bin/a","targetArguments":""}]"#), Ok(Some((0, Some(vec![])))));
    assert_eq!(
        of(r#"[{"targetExe":"/bin/a","targetArguments":["a b"]}]"#),
        Ok(Some((0, Some(vec!["a b".to_string()]))))
    );
    assert_eq!(of(""), Ok(None));
    // Administrators where they are left alone.
    let spared = with("true", r#"[{"nonAdminOnly":true,"targetExe":"/bin/a"}]"#);
    assert!(decide(&spared, ALICE).unwrap().is_some());
    assert_eq!(decide(&spared, Request { by_administrator: true, ..ALICE }), Ok(None));
}

#[test]
fn switched_off_nothing_is_read() {
    for off in ["false", "False", ""] {
        assert_eq!(decide(&with(off, "no rules"), ALICE), Ok(None), "{off}");
    }
    assert_eq!(decide(&PluginSettings::default(), ALICE), Ok(None));
    assert!(decide(&with("1", "[]"), ALICE).unwrap_err().contains("neither true nor false"));
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    for (rules, why) in [
        ("[{", "this is no JSON"),
        ("{}", "this is an object; it must be an array"),
        ("[1]", "/0: this is a number; it must be an object"),
        ("[{}]", "/0/targetExe: 'targetExe' is required"),
        (r#"[{"targetExe":""}]"#, "/0/targetExe: it must be a whole path"),
        (r#"[{"targetExe":"less"}]"#, "/0/targetExe: it must be a whole path"),
        (r#"[{"targetExe":"/bin/../x"}]"#, "/0/targetExe: it must be a whole path"),
        (
            r#"[{"targetExe":"/a"},{"targetExe":"/a","sourceExePattern":"("}]"#,
            "/1/sourceExePattern: this is no regular",
        ),
        (r#"[{"targetExe":"/a","sourceExePattern":"((a{1,99}){1,99}){1,99}"}]"#, "too large"),
        (
            r#"[{"targetExe":"/a","commandLinePattern":7}]"#,
            "/0/commandLinePattern: this is a number; it must be a text",
        ),
        (r#"[{"targetExe":"/a","nonAdminOnly":"yes"}]"#, "/0/nonAdminOnly: this is a text; it must be true or false"),
        (r#"[{"targetExe":"/a","elevationOnly":1}]"#, "/0/elevationOnly: this is a number"),
        (r#"[{"targetExe":"/a","targetArguments":"'x"}]"#, "/0/targetArguments: a ' is not closed"),
        (r#"[{"targetExe":"/a","targetArguments":["a",1]}]"#, "/0/targetArguments/1: this is a number"),
        (r#"[{"targetExe":"/a","sourceExePatern":"x"}]"#, "/0/sourceExePatern: this is no key of a rule"),
    ] {
        let told = of(rules).unwrap_err();
        assert!(told.contains(why) && told.contains("metadata.redirect.rules"), "{rules}: {told}");
    }
    let many = |count| format!("[{}]", vec![r#"{"sourceExePattern":"x","targetExe":"/a"}"#; count].join(","));
    assert_eq!(of(&many(REDIRECT_RULES)), Ok(None));
    assert!(of(&many(REDIRECT_RULES + 1)).unwrap_err().contains("at most 100"));
    assert!(of(&format!("[{}]", ["1"; 9].join(","))).unwrap_err().ends_with("(6 more)"));
}

/// Whoever asks chooses how long the command is: what is too long to be looked at is not run unlooked at.
#[test]
fn a_command_too_long_to_be_looked_at_is_no_command_without_a_rule() {
    let rules = |count| format!("[{}]", vec![r#"{"commandLinePattern":"x","targetExe":"/a"}"#; count].join(","));
    let long = Request { command_line: &"a".repeat(100_000), ..ALICE };
    assert_eq!(decide(&with("true", &rules(1)), long), Ok(None));
    let told = decide(&with("true", &rules(REDIRECT_RULES)), long).unwrap_err();
    assert!(told.contains("is held against at most"), "{told}");
}

#[test]
fn a_plugin_that_is_out_of_service_redirects_nothing_unless_somebody_switched_it_on() {
    let row = |value: &str| StoredSetting {
        plugin: REDIRECT_PLUGIN.to_string(),
        key: ENABLED.to_string(),
        value: Some(value.to_string()),
        writer: String::new(),
        time: String::new(),
        former: None,
    };
    let mut settings = PluginSettings::default();
    settings.apply([SettingChange::Keep(row("true"))]);
    assert!(decide(&settings, ALICE).unwrap_err().contains("not in service"));
    settings.apply([SettingChange::Keep(row("false"))]);
    assert_eq!(decide(&settings, ALICE), Ok(None));
    let mut settings = PluginSettings::default();
    let policy = |value: &str| PolicySettings {
        plugin: REDIRECT_PLUGIN.to_ascii_uppercase(),
        values: BTreeMap::from([(ENABLED.to_string(), value.to_string())]),
        writer: String::new(),
        time: String::new(),
    };
    settings.set_policies(vec![policy("false"), policy("true")]);
    assert!(decide(&settings, ALICE).is_err());
    settings.set_policies(vec![policy("true"), policy("false")]);
    assert_eq!(decide(&settings, ALICE), Ok(None));
}
