//! Topic names and filters (MQTT 5.0 4.7): parsing, matching, and whether one filter contains another.

use alloc::string::String;

/// A valid topic filter (MQTT 5.0 4.7.1), as written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicFilter(String);

impl TopicFilter {
    /// The filter as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a topic name or filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidTopic {
    /// A whole sentence for people.
    pub message: String,
}

impl TopicFilter {
    /// Reads a topic filter (MQTT 5.0 4.7.1).
    ///
    /// # Errors
    /// [`InvalidTopic`] with the rule that was broken.
    pub fn parse(text: &str) -> Result<Self, InvalidTopic> {
        if text.is_empty() || text.contains('\0') {
            return Err(InvalidTopic {
                message: String::from("a topic filter has at least one character and no NUL."),
            });
        }
        Ok(Self(String::from(text)))
    }
}
