//! Client ids, honest and hostile (security.md M05 to M09 and M33).

use alloc::format;

use super::{CLIENT_ID_BYTES, Judgement, claimed_pid, judge};
use crate::id::{Component, JobId, PluginId};

#[derive(Debug, PartialEq)]
enum Expect {
    Fits,
    WrongForm,
    Refused,
}

/// The account that the process runs as; with an underscore, as user names may have one.
const USER: &str = "svc_bak";

fn check(client_id: &str, component: &Component, expect: Expect) {
    let (found, explanation) = match judge(client_id, component, 4711, USER) {
        Judgement::Fits => (Expect::Fits, None),
        Judgement::WrongForm(explanation) => (Expect::WrongForm, Some(explanation)),
        Judgement::Refused(explanation) => (Expect::Refused, Some(explanation)),
    };
    assert_eq!(found, expect, "{client_id:?} for {component}");
    if let Some(explanation) = explanation {
        assert!(!explanation.what.chars().any(char::is_control), "{explanation}");
        assert!(!explanation.fix.is_empty());
    }
}

#[test]
fn process_ids_are_read_strictly() {
    let check = |text: &str, expect: Option<u32>| assert_eq!(claimed_pid(text).ok(), expect, "{text:?}");
    check("a_T_1", Some(1));
    check("a_T_4194304", Some(4_194_304));
    for hostile in
        ["0", "-1", "+1", "4294967296", "007", " 12", "12 ", "١٢", "4194305", "", "1\n", "0x10", "1e3", "１２"]
    {
        check(&format!("a_T_{hostile}"), None);
    }
    for hostile in ["", "_", "_12", "12", "a", "a_\0_12", &format!("{}_12", "a".repeat(CLIENT_ID_BYTES))] {
        check(hostile, None);
    }
}

#[test]
fn tasks_use_the_triple() {
    let job = Component::Job(JobId::parse("my-scanner").unwrap());
    check("my-scanner_SecretScanner_4711", &job, Expect::Fits);
    check("my-scanner_4711", &job, Expect::WrongForm);
    check("my-scanner_svc_bak_4711", &job, Expect::WrongForm);
    check("my-scanner_Tok_4712", &job, Expect::Refused);
    check("other_Tok_4711", &job, Expect::Refused);
    check("my-scanner2_Tok_4711", &job, Expect::Refused);
    check("My-Scanner_Tok_4711", &job, Expect::Refused);
    check("my-scanner__4711", &job, Expect::Refused);
    check("my-scanner_a/b_4711", &job, Expect::Refused);
    check("my-scanner_a\\b_4711", &job, Expect::Refused);
    check("_my-scanner_Tok_4711", &job, Expect::Refused);
    check("", &job, Expect::Refused);
}

#[test]
fn plugins_use_the_pair_or_name_a_user() {
    let plugin = Component::Plugin(PluginId::parse("EchoBridge").unwrap());
    check("EchoBridge_4711", &plugin, Expect::Fits);
    check("EchoBridge_svc_bak_4711", &plugin, Expect::Fits);
    check("EchoBridge_alice_4711", &plugin, Expect::WrongForm);
    check("EchoBridge_Token_4711", &plugin, Expect::WrongForm);
    check("EchoBridge_4712", &plugin, Expect::Refused);
    check("EchoBridge__4711", &plugin, Expect::Refused);
    check("my-scanner_Tok_4711", &plugin, Expect::Refused);
    check("EchoBridgeX_4711", &plugin, Expect::Refused);
}

#[test]
fn a_signed_program_may_have_any_name_but_an_administrators() {
    let program = Component::Program("tool".into());
    for name in ["tool_4711", "scan_Tok_4711", "tool_@admin_4711"] {
        check(name, &program, Expect::Fits);
    }
    for name in ["@admin_4711", "@x_4711", "tool_4712", "_4711", "4711"] {
        check(name, &program, Expect::Refused);
    }
}
