//! Asking before something is lost: on a terminal in words, elsewhere by the option that says it.

use std::io::{BufRead, IsTerminal, Write};

use clap::Args;

use crate::failure::Failure;

/// Characters of an answer; `yes` has three.
const ANSWER_BYTES: u64 = 64;

/// The option of every command that destroys something.
#[derive(Debug, Args)]
pub(crate) struct Confirmation {
    /// Do not ask; needed where standard input is not a terminal.
    #[arg(short, long)]
    yes: bool,
}

impl Confirmation {
    /// Goes on only where that is wanted: exit code 2 otherwise.
    pub(crate) fn ask(&self, what: &str) -> Result<(), Failure> {
        if self.yes {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            return Err(Failure::usage(format!("{what} Nobody can be asked here; say it with --yes.")));
        }
        let failed = |error: std::io::Error| Failure::failed(format!("nobody could be asked: {error}. Use --yes."));
        let mut out = std::io::stderr();
        write!(out, "{what} [y/N] ").and_then(|()| out.flush()).map_err(failed)?;
        let mut answer = String::new();
        std::io::Read::take(std::io::stdin().lock(), ANSWER_BYTES).read_line(&mut answer).map_err(failed)?;
        if ["y", "yes"].iter().any(|yes| answer.trim().eq_ignore_ascii_case(yes)) {
            return Ok(());
        }
        Err(Failure::usage("nothing was done, as the answer was not yes."))
    }
}
