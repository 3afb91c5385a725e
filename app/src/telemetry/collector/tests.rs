//! Header fields from a file.

use super::*;

#[test]
fn header_fields_are_read_line_by_line_and_an_error_shows_no_value() {
    let fields = header_fields("# of the collector\r\n\nAuthorization: Bearer a:b=\r\nX-Tenant:7\n").unwrap();
    let expect = [("authorization", "Bearer a:b="), ("x-tenant", "7")].map(|(name, value)| (name.into(), value.into()));
    assert_eq!(fields, expect);
    for wrong in ["secret", "a b: secret", ": secret", "a:", "a: sec\u{7}ret"] {
        let why = header_fields(&format!("ok: 1\n{wrong}")).unwrap_err();
        assert_eq!(why, "line 2 is not of the form 'name: value'");
    }
}
