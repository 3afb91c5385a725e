//! What the laws need: generators, naive models, a fake world for the agent, a simulated one with faults, and the rules of the house as functions over text.

pub mod agents;
pub mod brokers;
pub mod elevations;
pub mod laws;
pub mod signed;
pub mod sim;
pub mod tidy;
pub mod topics;
pub mod vaults;
