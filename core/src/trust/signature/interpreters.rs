//! Programs whose signature says nothing about what they execute: interpreters, loaders, debuggers, launchers.

/// By name; a version behind it does not matter (`perl5.36.0`).
const NAMES: [&str; 48] = [
    "ash",
    "awk",
    "bash",
    "bun",
    "busybox",
    "csh",
    "dash",
    "deno",
    "dotnet",
    "env",
    "erl",
    "escript",
    "expect",
    "fish",
    "gawk",
    "gdb",
    "gdbserver",
    "guile",
    "irb",
    "java",
    "jruby",
    "julia",
    "ksh",
    "ltrace",
    "mawk",
    "mksh",
    "mono",
    "nawk",
    "node",
    "nodejs",
    "ocaml",
    "original-awk",
    "perl",
    "pwsh",
    "r",
    "racket",
    "rscript",
    "ruby",
    "sh",
    "strace",
    "tclsh",
    "tcsh",
    "toybox",
    "valgrind",
    "wish",
    "xonsh",
    "zsh",
    "sbcl",
];
/// By how the name begins.
const PREFIXES: [&str; 10] = ["ipython", "ld-", "ld.so", "ld64.so", "lua", "php", "pypy", "python", "qemu-", "wine"];

/// Whether a program of this base name executes what is not in its image.
pub(super) fn is_interpreter(base_name: &str) -> bool {
    let name = base_name.to_ascii_lowercase();
    let bare = name.trim_end_matches(|letter: char| letter.is_ascii_digit() || matches!(letter, '.' | '-'));
    NAMES.contains(&bare) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
