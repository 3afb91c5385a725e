//! Requests for more privileges: every status against every event.
