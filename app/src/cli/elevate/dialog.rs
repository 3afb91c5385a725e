//! Questions on the caller's desktop, where he has no terminal: a dialog of zenity(1) or kdialog(1), on his display and with no more
//! rights than his.

use std::env;
use std::io;

use smol::process::{Command, Stdio};

/// What the window is called.
const TITLE: &str = "castellan elevate";
/// What both programs end with where somebody closes the dialog, or says no.
const CANCELED: i32 = 1;
/// Bytes of an answer, as in a terminal.
const ANSWER_BYTES: usize = 4096;

/// Asks; `None` where somebody closes the dialog instead. Without an answer the dialog goes with the future.
///
/// # Errors
/// There is no desktop, no program to ask with, or that fails.
pub(super) async fn ask(text: &str, secret: bool) -> io::Result<Option<String>> {
    if !["WAYLAND_DISPLAY", "DISPLAY"].iter().any(|name| env::var_os(name).is_some_and(|display| !display.is_empty())) {
        return Err(io::Error::new(io::ErrorKind::NotFound, "there is neither a terminal nor a desktop"));
    }
    for (program, arguments) in [("zenity", zenity(text, secret)), ("kdialog", kdialog(text, secret))] {
        let mut command = Command::new(program);
        // What keeps it from asking, such as a display that it may not open, it says to whoever calls.
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let child = match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            child => child?,
        };
        let ended = child.output().await?;
        return match ended.status.code() {
            Some(0) if ended.stdout.len() > ANSWER_BYTES => {
                Err(io::Error::other(format!("the answer is longer than {ANSWER_BYTES} bytes")))
            }
            Some(0) => Ok(Some(String::from_utf8_lossy(&ended.stdout).trim_end_matches(['\n', '\r']).to_owned())),
            Some(CANCELED) => Ok(None),
            Some(_) | None => Err(io::Error::other(format!("{program} failed ({})", ended.status))),
        };
    }
    Err(io::Error::new(io::ErrorKind::NotFound, "there is no terminal, and neither zenity nor kdialog to ask with"))
}

fn zenity(text: &str, secret: bool) -> Vec<String> {
    // It reads escapes and underlined letters in a text.
    let text = text.replace('\\', "\\\\").replace('_', "__");
    let hidden = secret.then(|| "--hide-text".to_owned());
    let own = ["--entry".to_owned(), format!("--title={TITLE}"), format!("--text={text}")];
    own.into_iter().chain(hidden).collect()
}

fn kdialog(text: &str, secret: bool) -> Vec<String> {
    // It looks for itself whether a text has markup, and reads escapes: so it gets markup that has neither.
    let mut shown = String::from("<qt>");
    for letter in text.chars() {
        match letter {
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            // Where it asks for a line, it underlines the letter after one.
            '&' if secret => shown.push_str("&amp;"),
            '&' => shown.push_str("&amp;&amp;"),
            '\\' => shown.push_str("&#92;"),
            _ => shown.push(letter),
        }
    }
    shown.push_str("</qt>");
    let kind = if secret { "--password" } else { "--inputbox" };
    vec!["--title".to_owned(), TITLE.to_owned(), kind.to_owned(), shown]
}

#[cfg(test)]
mod tests;
