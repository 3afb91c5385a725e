//! What of a list fits on the screen that it is redrawn on: somebody's long command, or many requests of one user, push nothing out of sight.

use std::io;

use rustix::termios::tcgetwinsize;

/// Between the beginning of a sequence for the terminal and its end, as in `ESC [ 3 1 m`, there are no letters.
const ESCAPE: char = '\u{1b}';
/// Ends a colour that a cut line may have begun.
const PLAIN: &str = "\u{1b}[0m";
/// Stands for what was cut.
const CUT: char = '…';
/// From here on a character may take two columns.
const WIDE: char = '\u{1100}';

/// Rows and columns of the terminal at standard output; none where it does not say.
pub(super) fn size() -> Option<(usize, usize)> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    (size.ws_row > 1 && size.ws_col > 1).then(|| (usize::from(size.ws_row), usize::from(size.ws_col)))
}

/// The lines that fit, each in one row; the last row is the cursor's. What does not is counted.
pub(super) fn fitted(lines: &[String], (rows, columns): (usize, usize)) -> Vec<String> {
    let room = rows.saturating_sub(1);
    let kept = if lines.len() > room { room.saturating_sub(1) } else { room };
    let mut screen: Vec<String> = lines.iter().take(kept).map(|line| cut(line, columns)).collect();
    let more = lines.len().saturating_sub(kept);
    if more > 0 {
        screen.push(cut(&format!("{more} more lines"), columns));
    }
    screen
}

/// The beginning of a line that is too long, with the mark at its end. Colours take no room, and end with the line.
fn cut(line: &str, columns: usize) -> String {
    let (mut used, mut is_sequence, mut fits) = (0_usize, false, String::new());
    let mut short = None;
    for one in line.chars() {
        if one == ESCAPE || is_sequence {
            is_sequence = one == ESCAPE || !one.is_ascii_alphabetic();
            fits.push(one);
            continue;
        }
        used = used.saturating_add(if one < WIDE { 1 } else { 2 });
        if used >= columns && short.is_none() {
            short = Some(fits.clone());
        }
        if used > columns {
            let plain = if fits.contains(ESCAPE) { PLAIN } else { "" };
            return format!("{}{CUT}{plain}", short.unwrap_or_default());
        }
        fits.push(one);
    }
    fits
}

#[cfg(test)]
mod tests;
