//! Conditions.
/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {}
