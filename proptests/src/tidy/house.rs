//! Rules between code and documents: every event and effect is explained, the commands of the README stand in it, tests that are named
//! as a proof are there.

use std::collections::BTreeSet;

use super::source::code_of;
use super::{File, Finding, finding};

/// A variant of a public enum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The enum.
    pub of: String,
    /// Its name.
    pub name: String,
    /// Its line.
    pub line: usize,
}

/// The variants of all public enums of a source as rustfmt writes it.
pub fn variants(source: &str) -> Vec<Variant> {
    let code = code_of(source);
    let mut variants = Vec::new();
    let mut current: Option<(&str, usize)> = None;
    let mut depth = 0_usize;
    for (index, line) in code.lines().enumerate() {
        if let Some(name) = line.strip_prefix("pub enum ") {
            current = name.split([' ', '<', '{']).next().map(|name| (name, depth));
        } else if let Some((of, outer)) = current
            && depth == outer.saturating_add(1)
        {
            let name: String = line.trim_start().chars().take_while(|letter| letter.is_alphanumeric()).collect();
            if name.starts_with(char::is_uppercase) {
                variants.push(Variant { of: of.to_owned(), name, line: index.saturating_add(1) });
            }
        }
        let count = |wanted: char| line.chars().filter(|letter| *letter == wanted).count();
        depth = depth.saturating_add(count('{')).saturating_sub(count('}'));
        if current.is_some_and(|(_, outer)| depth <= outer) {
            current = None;
        }
    }
    variants
}

/// The document names every variant of a file's public enums in backticks.
pub fn variants_documented(source: &File, document: &File) -> Vec<Finding> {
    let named = names_in_backticks(&document.text);
    let missing = variants(&source.text).into_iter().filter(|variant| !named.contains(&variant.name));
    let message = |variant: &Variant| {
        format!("say in {} what `{}` ({}) is for, in backticks.", document.path, variant.name, variant.of)
    };
    missing.map(|variant| finding(source, variant.line, message(&variant))).collect()
}

/// The words of everything in backticks, fenced blocks included.
fn names_in_backticks(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        let quoted: Vec<&str> = if fenced { vec![line] } else { line.split('`').skip(1).step_by(2).collect() };
        for span in quoted {
            let words = span.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
            names.extend(words.filter(|word| !word.is_empty()).map(str::to_owned));
        }
    }
    names
}

/// The README shows the two commands.
pub fn commands_shown(readme: &File) -> Vec<Finding> {
    let missing = ["cargo demo", "cargo verify"].into_iter().filter(|command| !readme.text.contains(command));
    missing
        .map(|command| finding(readme, 0, format!("show `{command}`; it is one of the two commands everybody needs.")))
        .collect()
}

/// Every test that a document names in backticks (a word with an underscore and nothing else) is a function of the sources.
pub fn named_tests_exist(document: &File, sources: &[File]) -> Vec<Finding> {
    let is_name = |span: &&str| {
        span.contains('_')
            && span.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
    };
    let exists =
        |name: &str| sources.iter().any(|source| source.is_rust() && source.text.contains(&format!("fn {name}(")));
    let spans = document.text.lines().enumerate();
    let spans = spans.flat_map(|(index, line)| line.split('`').skip(1).step_by(2).map(move |span| (index, span)));
    let missing = spans.filter(|(_, span)| is_name(span) && !exists(span));
    missing
        .map(|(index, name)| {
            finding(
                document,
                index.saturating_add(1),
                format!("there is no test `{name}`; name the one that shows this."),
            )
        })
        .collect()
}
