//! Ids: what a person may choose, and what each refusal says.

use super::*;

fn check(text: &str, expect: Result<(), &str>) {
    match (JobId::parse(text), expect) {
        (Ok(id), Ok(())) => assert_eq!(id.as_str(), text),
        (Err(invalid), Err(part)) => assert!(invalid.message.contains(part), "{text:?}: {}", invalid.message),
        (found, expect) => panic!("{text:?}: {found:?}, expected {expect:?}"),
    }
}

#[test]
fn ids_are_file_names_on_every_system() {
    check("a", Ok(()));
    check("secrets-scanner", Ok(()));
    check("9.Job-x", Ok(()));
    check("console", Ok(()));
    check("com10", Ok(()));
    check(&"a".repeat(ID_LENGTH), Ok(()));
    for long in [String::new(), "a".repeat(ID_LENGTH + 1)] {
        check(&long, Err("1 to 64"));
    }
    for other in ["a/b", "..", ".a", "-a", "a\\b", "\u{e4}", "a b", "a\0", "%2e"] {
        assert!(JobId::parse(other).is_err(), "{other:?}");
    }
    check("a.", Err("end with a dot"));
    for device in ["CON", "con", "nul.x", "Aux", "COM1", "lpt9.json"] {
        check(device, Err("device on Windows"));
    }
}

#[test]
fn an_underscore_is_told_apart_with_the_name_to_use() {
    let invalid = JobId::parse("secrets_scanner").unwrap_err();
    assert!(invalid.underscore && invalid.message.contains("secrets-scanner"), "{}", invalid.message);
}

#[test]
fn run_ids_of_requests_are_digits_and_hyphens() {
    assert_eq!(RunId::from_text("12-7").unwrap(), RunId::new(12, 7));
    for other in ["", "../x", "1-1/..", "a", &"1".repeat(42)] {
        assert!(RunId::from_text(other).is_none(), "{other:?}");
    }
}
