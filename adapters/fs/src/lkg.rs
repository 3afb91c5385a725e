//! Last Known Good on disk: what differs from what is blessed, and how it is put right.
//!
//! | part | does |
//! | --- | --- |
//! | [`survey`] | holds what is blessed beside what stands in the folders, and restores |
//! | [`quarantine`] | keeps what was moved away |
//! | [`watch`] | asks the kernel what changes, and says where to look |

pub mod quarantine;
pub mod survey;
pub mod watch;
