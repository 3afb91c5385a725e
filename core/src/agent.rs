//! The root machine of orchestration.
