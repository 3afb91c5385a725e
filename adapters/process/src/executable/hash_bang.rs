//! The first line of a script, read as the kernel reads it (`fs/binfmt_script.c`); no library does exactly this.

/// Bytes of a file that the kernel looks at (`BINPRM_BUF_SIZE`).
pub(super) const LOOKED_AT: usize = 256;

/// What a first line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// As written.
    pub(super) interpreter: String,
    /// All that follows the interpreter, as one argument.
    pub(super) argument: Option<String>,
}

/// The line of a file that begins with these bytes; `None` where it is not one, is empty, or is longer than what the kernel looks at.
pub(super) fn parse(opening: &[u8]) -> Option<Line> {
    let rest = opening.strip_prefix(b"#!")?;
    let line = match rest.iter().position(|byte| matches!(byte, b'\n' | 0)) {
        Some(end) => rest.get(..end)?,
        // Without an end the kernel would cut the line off and run what is left.
        None if opening.len() >= LOOKED_AT => return None,
        None => rest,
    };
    let line = String::from_utf8_lossy(line);
    let blank = [' ', '\t'];
    let line = line.trim_matches(blank);
    let (interpreter, argument) = line.split_once(blank).unwrap_or((line, ""));
    let argument = argument.trim_start_matches(blank);
    (!interpreter.is_empty()).then(|| Line {
        interpreter: interpreter.to_owned(),
        argument: (!argument.is_empty()).then(|| argument.to_owned()),
    })
}

#[cfg(test)]
mod tests;
