//! First lines as they occur, and as the kernel would cut them.

use super::*;

#[test]
fn a_first_line_is_read_as_the_kernel_reads_it() {
    let long = format!("#!/bin/{}\n", "x".repeat(LOOKED_AT));
    let table = [
        ("#!/bin/sh\necho", Some(("/bin/sh", None))),
        ("#!/bin/sh", Some(("/bin/sh", None))),
        ("#! \t/bin/sh \t\n", Some(("/bin/sh", None))),
        ("#!/usr/bin/env python3\n", Some(("/usr/bin/env", Some("python3")))),
        ("#!/usr/bin/env -S  a  b \n", Some(("/usr/bin/env", Some("-S  a  b")))),
        ("#!/bin/sh\t-e\n", Some(("/bin/sh", Some("-e")))),
        ("#!/bin/sh\r\necho", Some(("/bin/sh\r", None))),
        ("#!/bin/sh\0-e\n", Some(("/bin/sh", None))),
        ("#!\n/bin/sh\n", None),
        ("#! \t \n", None),
        ("#!", None),
        ("#/bin/sh\n", None),
        (long.as_str(), None),
    ];
    for (text, expect) in table {
        let opening = &text.as_bytes()[..text.len().min(LOOKED_AT)];
        let line = parse(opening);
        assert_eq!(line.as_ref().map(|line| (line.interpreter.as_str(), line.argument.as_deref())), expect, "{text:?}");
    }
}
