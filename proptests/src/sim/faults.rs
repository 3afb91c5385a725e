//! Swarm faults: each seed first draws which faults its world has, so that rare pairs of them meet without the others in between.

use super::dice::Dice;

/// The faults of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// A write fails and nothing is on disk.
    pub lost_writes: bool,
    /// The disk answers late, after other things.
    pub late_writes: bool,
    /// A write is on disk and its answer says that it failed.
    pub torn_writes: bool,
    /// A process takes long to be made.
    pub slow_spawns: bool,
    /// Programs are missing, unsafe, or fail to start.
    pub failed_spawns: bool,
    /// The agent dies, also between two of its orders.
    pub crashes: bool,
    /// The answers of the ports overtake each other.
    pub reordered: bool,
    /// The wall clock is set, either way.
    pub clock_jumps: bool,
    /// A port does not take an order.
    pub full_queues: bool,
}

impl Faults {
    /// Each of them in every second world.
    pub fn draw(dice: &mut Dice) -> Self {
        Self {
            lost_writes: dice.percent(50),
            late_writes: dice.percent(50),
            torn_writes: dice.percent(50),
            slow_spawns: dice.percent(50),
            failed_spawns: dice.percent(50),
            crashes: dice.percent(50),
            reordered: dice.percent(50),
            clock_jumps: dice.percent(50),
            full_queues: dice.percent(50),
        }
    }
}
