//! Topic names and filters (MQTT 5.0 4.7): parsing, matching, and whether one filter contains another.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

#[cfg(test)]
mod tests;

/// Bytes of a topic name or filter: what the two length bytes of an MQTT string can say (MQTT 5.0 1.5.4).
pub const TOPIC_BYTES: usize = 65_535;

/// Why a text is not a topic name or filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidTopic {
    /// A whole sentence for people.
    pub message: String,
}

impl fmt::Display for InvalidTopic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// A valid topic name (MQTT 5.0 4.7.1): no wildcards.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicName(String);

impl TopicName {
    /// Reads a topic name (MQTT 5.0 4.7.3); control characters and non-characters are refused as 1.5.4 allows.
    ///
    /// # Errors
    /// [`InvalidTopic`] with the rule that was broken.
    pub fn parse(text: &str) -> Result<Self, InvalidTopic> {
        check_text(text, "topic name")?;
        if text.contains(['+', '#']) {
            return invalid(format!("a topic name has no wildcard; {} has one.", shown(text)));
        }
        Ok(Self(text.to_string()))
    }

    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its levels; there is at least one, and levels may be empty.
    pub fn levels(&self) -> impl Iterator<Item = &str> + Clone {
        self.0.split('/')
    }

    /// Whether it begins with `$`, so that no filter with a leading wildcard matches it (MQTT 5.0 4.7.2).
    pub fn is_system(&self) -> bool {
        self.0.starts_with('$')
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// A valid topic filter (MQTT 5.0 4.7.1), as written; a shared subscription keeps its `$share/{name}/` (4.8.2).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicFilter {
    written: String,
    /// Bytes of `$share/{name}/` at the front; 0 where the subscription is not shared.
    share_prefix: usize,
}

impl TopicFilter {
    /// Reads a topic filter (MQTT 5.0 4.7.1) or a shared one, `$share/{name}/{filter}` (4.8.2).
    ///
    /// # Errors
    /// [`InvalidTopic`] with the rule that was broken.
    pub fn parse(text: &str) -> Result<Self, InvalidTopic> {
        check_text(text, "topic filter")?;
        let share_prefix = share_prefix(text)?;
        let filter = Self { written: text.to_string(), share_prefix };
        check_wildcards(filter.topics())?;
        Ok(filter)
    }

    /// The filter as written.
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// The part that is matched against topics: the whole, or what follows `$share/{name}/`.
    pub fn topics(&self) -> &str {
        self.written.get(self.share_prefix..).unwrap_or_default()
    }

    /// The name of the group that shares the subscription.
    pub fn share_name(&self) -> Option<&str> {
        self.written.get(..self.share_prefix)?.strip_prefix("$share/")?.strip_suffix('/')
    }

    /// The levels that are matched against topics.
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.topics().split('/')
    }

    /// Whether it matches more than one topic.
    pub fn has_wildcard(&self) -> bool {
        self.topics().contains(['+', '#'])
    }

    /// Whether a message on this topic is one of the filter's (MQTT 5.0 4.7).
    pub fn matches(&self, name: &TopicName) -> bool {
        if name.is_system() && self.topics().starts_with(['+', '#']) {
            return false;
        }
        let mut levels = name.levels();
        for wanted in self.levels() {
            if wanted == "#" {
                return true;
            }
            match levels.next() {
                Some(level) if wanted == "+" || wanted == level => {}
                Some(_) | None => return false,
            }
        }
        levels.next().is_none()
    }

    /// Whether every topic that `asked` could match is matched by this filter too. Shared filters count by what they match.
    pub fn contains(&self, asked: &Self) -> bool {
        if asked.topics().starts_with('$') && self.topics().starts_with(['+', '#']) {
            return false;
        }
        // No topic name is empty, so these two never match their parent level and equal their longer forms.
        let mut wanted = match asked.topics() {
            "#" => "+/#",
            "/#" => "/+/#",
            other => other,
        }
        .split('/');
        for declared in self.levels() {
            if declared == "#" {
                return true;
            }
            match wanted.next() {
                Some("#") | None => return false,
                Some(level) if declared == "+" || declared == level => {}
                Some(_) => return false,
            }
        }
        wanted.next().is_none()
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.written)
    }
}

/// What names and filters have in common (MQTT 5.0 4.7.3 and 1.5.4).
fn check_text(text: &str, kind: &str) -> Result<(), InvalidTopic> {
    if text.is_empty() {
        return invalid(format!("a {kind} has at least one character."));
    }
    if text.len() > TOPIC_BYTES {
        return invalid(format!("a {kind} has at most {TOPIC_BYTES} bytes; this one has {}.", text.len()));
    }
    if let Some(character) = text.chars().find(|&character| is_refused(character)) {
        return invalid(format!("a {kind} has no U+{:04X}; {} has one.", u32::from(character), shown(text)));
    }
    Ok(())
}

/// NUL must be refused; other controls and non-characters may be (MQTT 5.0 1.5.4) and would only forge log lines.
fn is_refused(character: char) -> bool {
    character.is_control() || u32::from(character) & 0xFFFE == 0xFFFE || ('\u{FDD0}'..='\u{FDEF}').contains(&character)
}

/// Bytes of `$share/{name}/`, 0 where the filter is not shared.
fn share_prefix(text: &str) -> Result<usize, InvalidTopic> {
    let Some(rest) = text.strip_prefix("$share/") else {
        return if text == "$share" {
            invalid(String::from("a shared subscription is written $share/{name}/{filter}; '$share' has neither."))
        } else {
            Ok(0)
        };
    };
    match rest.split_once('/') {
        None => invalid(format!(
            "a shared subscription is written $share/{{name}}/{{filter}}; {} has no filter.",
            shown(text)
        )),
        Some(("", _)) => invalid(format!("the name of a shared subscription is not empty as in {}.", shown(text))),
        Some((name, _)) if name.contains(['+', '#']) => {
            invalid(format!("the name of a shared subscription has no wildcard as in {}.", shown(text)))
        }
        Some((_, "")) => invalid(format!(
            "a shared subscription is written $share/{{name}}/{{filter}}; {} has no filter.",
            shown(text)
        )),
        Some((_, filter)) => Ok(text.len().saturating_sub(filter.len())),
    }
}

/// `+` fills a whole level, `#` the whole last one (MQTT 5.0 4.7.1.2 and 4.7.1.3).
fn check_wildcards(filter: &str) -> Result<(), InvalidTopic> {
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains(['+', '#']) && level.len() > 1 {
            return invalid(format!(
                "a wildcard fills a whole level; '{}' in {} does not.",
                excerpt(level),
                shown(filter)
            ));
        }
        if level == "#" && levels.peek().is_some() {
            return invalid(format!("'#' is the last level of a filter; in {} it is not.", shown(filter)));
        }
    }
    Ok(())
}

fn invalid<T>(message: String) -> Result<T, InvalidTopic> {
    Err(InvalidTopic { message })
}

/// Enough of a text to recognise it, with its control characters escaped.
fn excerpt(text: &str) -> String {
    const CHARACTERS: usize = 80;
    let mut short: String = text.chars().take(CHARACTERS).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARACTERS).is_some() {
        short.push('…');
    }
    short
}

fn shown(text: &str) -> String {
    format!("'{}'", excerpt(text))
}
