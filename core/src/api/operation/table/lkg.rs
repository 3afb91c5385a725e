//! The rows of Last Known Good.

use alloc::vec::Vec;

use super::{Answer, CHANGED, FULL, Method, NOTHING, Operation, Path, WRITES, json};
use crate::api::view::lkg::{LkgDiff, LkgHistory, LkgItem, LkgQuarantined, LkgRekeyed, LkgStatus, LkgVerified};
use crate::shape::{Key, Shape};

/// A version of an item.
const VERSION: Shape = Shape::Integer(1, i64::MAX);
static BETWEEN: [Key; 2] = [
    Key::new("from", VERSION, "The version that is compared; the blessed one where not given."),
    Key::new(
        "to",
        VERSION,
        "With which; where not given, with the file on disk, or where that is as blessed, with the newest copy in quarantine.",
    ),
];
static WHICH: [Key; 1] = [Key::required("version", VERSION, "The version whose document is blessed again.")];

const UNKNOWN: Answer = Answer::problem(404, "Last Known Good has nothing of this name, or not what is asked for.");
const OFF: Answer = Answer::problem(409, "Last Known Good is off, or its references prove nothing.");
const INVALID: Answer = Answer::problem(
    400,
    "What would be blessed is not a valid definition; findings say why. Or the query cannot be read.",
);
const NOT_READ: Answer = Answer::problem(400, "The query cannot be read.");

/// Every such path.
pub(in crate::api::operation) static PATHS: [Path; 8] = [
    Path {
        template: "/api/lkg",
        operations: &[operation!(
            Get,
            "showLkg",
            "Last Known Good: its mode, its alarms, and every item that it has a reference of.",
            {},
            [answer!(200, "Its state.", json::<LkgStatus>())]
        )],
    },
    Path {
        template: "/api/lkg/verify",
        operations: &[operation!(
            Post,
            "verifyLkg",
            "Opens every reference and compares every file; what differs is treated as by a sweep.",
            {},
            [answer!(200, "What was found.", json::<LkgVerified>()), OFF]
        )],
    },
    Path {
        template: "/api/lkg/rekey",
        operations: &[operation!(
            Post,
            "rekeyLkg",
            "Makes a new key and seals every reference with it; where none can be read, nothing is blessed any more.",
            {},
            [answer!(200, "The new key's id.", json::<LkgRekeyed>()), OFF, FULL]
        )],
    },
    Path {
        template: "/api/lkg/quarantine",
        operations: &[operation!(
            Get,
            "listQuarantine",
            "What was moved to state/quarantine, newest first.",
            {},
            [answer!(200, "One line for each.", json::<Vec<LkgQuarantined>>())]
        )],
    },
    Path {
        template: "/api/lkg/{kind}/{id}",
        operations: &[operation!(
            Get,
            "showLkgItem",
            "One item with its versions.",
            {},
            [answer!(200, "The item, and its versions, newest first.", json::<LkgHistory>()), UNKNOWN, OFF]
        )],
    },
    Path {
        template: "/api/lkg/{kind}/{id}/diff",
        operations: &[operation!(
            Get, "diffLkgItem", "What differs between two states of an item, key by key, without secrets.",
            { query: &BETWEEN },
            [answer!(200, "The differences.", json::<LkgDiff>()), NOT_READ, UNKNOWN, OFF]
        )],
    },
    Path {
        template: "/api/lkg/{kind}/{id}/accept",
        operations: &[operation!(
            Post,
            "acceptLkgItem",
            "Blesses the file on disk, or where that is as blessed, the newest copy in quarantine, once it is valid.",
            { heeds: &WRITES },
            [answer!(200, "The item.", json::<LkgItem>()), INVALID, UNKNOWN, OFF, CHANGED, FULL]
        )],
    },
    Path {
        template: "/api/lkg/{kind}/{id}/rollback",
        operations: &[operation!(
            Post, "rollbackLkgItem", "Blesses the document of an earlier version again; it gets a new number.",
            { query: &WHICH, heeds: &WRITES },
            [answer!(200, "The item.", json::<LkgItem>()), INVALID, UNKNOWN, OFF, CHANGED, FULL]
        )],
    },
];
