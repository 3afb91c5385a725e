//! The loaded jobs: by id, by event, with what is out of service and why.
