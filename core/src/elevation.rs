//! Requests of ordinary users to run a program with more privileges: what is asked, from the question to the end of the program.

mod asked;

pub use asked::{Asked, CallerId, Peer, Secret};
