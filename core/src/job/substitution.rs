//! Substitution of `{tokens}` in arguments and texts.
