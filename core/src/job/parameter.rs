//! Parameters of a job: typed values with defaults that a trigger may give.

use alloc::string::String;

use serde_json::Value;

/// `type` of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParameterType {
    /// `string`.
    String,
    /// `number`.
    Number,
    /// `integer`.
    Integer,
    /// `boolean`.
    Boolean,
    /// `object`.
    Object,
    /// `array`.
    Array,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// `name`.
    pub name: String,
    /// `type`, string where absent.
    pub parameter_type: ParameterType,
    /// `defaultValue` or `default`.
    pub default: Option<Value>,
    /// `required`.
    pub required: bool,
    /// `secret`: its value is masked wherever it is shown.
    pub secret: bool,
}
