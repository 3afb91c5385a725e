//! `arguments` to pieces by the quoting rules of POSIX shells (XCU 2.2), before anything is substituted.
//!
//! An own splitter because shlex, like a shell reading a script, takes a word that starts with `#` for a comment and drops the rest of
//! the line without a word. Nothing else of a shell happens: no expansion, no operators.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::iter::Peekable;
use core::str::Chars;

use crate::job::finding::Report;
use crate::json::read::ObjectReader;
use crate::limits::LIST_ENTRIES;

/// `arguments` of a task or plugin, split; an open quotation mark or too many pieces are error findings.
pub(crate) fn parse(reader: &ObjectReader<'_>, report: &mut Report) -> Vec<String> {
    let Some(text) = reader.text("arguments", report) else { return Vec::new() };
    let pointer = reader.at("arguments");
    match split(text) {
        Ok(pieces) if pieces.len() > LIST_ENTRIES => {
            let message = format!("there are {} arguments; at most {LIST_ENTRIES} are allowed.", pieces.len());
            report.error(pointer, "too-many-entries", message);
            Vec::new()
        }
        Ok(pieces) => pieces,
        Err(open) => {
            let message = match open {
                '\\' => String::from("the last backslash has no character to quote; write \\\\ for one backslash."),
                mark => format!("a {mark} is not closed; close it, or write \\{mark} for the character itself."),
            };
            report.error(pointer, "unbalanced-quote", message);
            Vec::new()
        }
    }
}

/// Splits a text into words; the error is the quoting character that stays open.
pub(crate) fn split(text: &str) -> Result<Vec<String>, char> {
    let mut letters = text.chars().peekable();
    let mut words = Vec::new();
    loop {
        while letters.next_if(|letter| letter.is_ascii_whitespace()).is_some() {}
        if letters.peek().is_none() {
            return Ok(words);
        }
        words.push(word(&mut letters)?);
    }
}

fn word(letters: &mut Peekable<Chars<'_>>) -> Result<String, char> {
    let mut word = String::new();
    while let Some(letter) = letters.next_if(|letter| !letter.is_ascii_whitespace()) {
        match letter {
            '\'' => single_quoted(letters, &mut word)?,
            '"' => double_quoted(letters, &mut word)?,
            '\\' => match letters.next() {
                Some('\n') => {}
                Some(quoted) => word.push(quoted),
                None => return Err('\\'),
            },
            plain => word.push(plain),
        }
    }
    Ok(word)
}

fn single_quoted(letters: &mut Peekable<Chars<'_>>, word: &mut String) -> Result<(), char> {
    for letter in letters.by_ref() {
        if letter == '\'' {
            return Ok(());
        }
        word.push(letter);
    }
    Err('\'')
}

fn double_quoted(letters: &mut Peekable<Chars<'_>>, word: &mut String) -> Result<(), char> {
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return Ok(()),
            '\\' => match letters.next() {
                Some('\n') => {}
                Some(quoted @ ('$' | '`' | '"' | '\\')) => word.push(quoted),
                Some(plain) => word.extend(['\\', plain]),
                None => return Err('"'),
            },
            plain => word.push(plain),
        }
    }
    Err('"')
}
