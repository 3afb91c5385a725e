//! The rows of requests for more privileges and of grants.

use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use super::super::REQUEST_ID;
use super::{Answer, Body, Method, NOTHING, Operation, Path, json};
use crate::elevation::{Cleaned, ControlAnswer, ElevationRecord, Launched, Redirect};
use crate::limits::ELEVATIONS_PER_PAGE;
use crate::shape::{Key, Shape, Text};

static KILL: [Key; 1] =
    [Key::flag("kill", false, "Whether programs that run on it are ended: asked to, and killed 10 s later.")];

const UNKNOWN: Answer = Answer::problem(404, "There is no such request.");
const ELSEWHERE: Answer = Answer::problem(409, "The request stands where this cannot be; the problem says where.");
const REASON: Option<Body> = Some(Body { required: false, content: json::<Map<String, Value>>() });
const NOT_REASON: Answer = Answer::problem(400, "The body is not {\"Reason\": text}, or its text is too long.");
const BUSY: Answer = Answer::problem(503, "Too many calls wait for this request.");

static PAGE: [Key; 5] = [
    Key::new("status", Shape::Choice(&STATUSES), "That stand so."),
    Key::new("user", Shape::Text(Text::ANY.such_as("alice")), "Of this user."),
    Key::new("since", Shape::INSTANT, "Asked at this instant or later."),
    Key::new("before", REQUEST_ID, "Older than this request: the page that follows."),
    Key::number("limit", (1, ELEVATIONS_PER_PAGE as i64), ELEVATIONS_PER_PAGE as i64, "At most so many."),
];
const STATUSES: [&str; 10] = [
    "Requested",
    "Evaluating",
    "AwaitingControls",
    "Authorized",
    "Launching",
    "Running",
    "Denied",
    "Finished",
    "Expired",
    "Withdrawn",
];

/// Every such path.
pub(in crate::api::operation) static PATHS: [Path; 11] = [
    Path {
        template: "/api/elevation",
        operations: &[operation!(
            Get,
            "listElevations",
            "Requests for more privileges: those under way, then those that ended lately; with a query a page of all that the history has, newest first.",
            { query: &PAGE },
            [
                answer!(200, "The requests.", json::<Vec<ElevationRecord>>()),
                Answer::problem(400, "The query is not one of these.")
            ]
        )],
    },
    Path {
        template: "/api/elevation/{requestId}",
        operations: &[operation!(
            Get,
            "showElevation",
            "One request, with how it came to stand where it does.",
            {},
            [answer!(200, "The request.", json::<ElevationRecord>()), UNKNOWN]
        )],
    },
    Path {
        template: "/api/elevation/{requestId}/controls/{control}",
        operations: &[operation!(
            Post,
            "meetControl",
            "Asks to see a control met; from a task of a job alone. The agent asks the user and judges the answer itself.",
            {},
            [answer!(200, "It is met, or refused.", json::<ControlAnswer>()), UNKNOWN, ELSEWHERE, BUSY]
        )],
    },
    Path {
        template: "/api/elevation/{requestId}/redirect",
        operations: &[operation!(
            Get,
            "showRedirect",
            "What a launch would launch by the rules of RedirectEvaluator as they are now.",
            {},
            [answer!(200, "What would be run.", json::<Redirect>()), UNKNOWN, ELSEWHERE]
        )],
    },
    Path {
        template: "/api/elevation/{requestId}/launch-substitute",
        operations: &[operation!(
            Post,
            "launchSubstitute",
            "Launches what a rule of RedirectEvaluator names instead of the program of an authorized request, once; from a task of a job alone.",
            {},
            [answer!(200, "It runs.", json::<Launched>()), UNKNOWN, ELSEWHERE]
        )],
    },
    Path {
        template: "/api/elevation/{requestId}/launch",
        operations: &[operation!(
            Post,
            "launchElevation",
            "Launches the program of an authorized request, once, where no rule of RedirectEvaluator names another; from a task of a job alone.",
            {},
            [answer!(200, "It runs.", json::<Launched>()), UNKNOWN, ELSEWHERE]
        )],
    },
    Path {
        template: "/api/elevation/{requestId}/approve",
        operations: &[operation!(
            Post,
            "approveElevation",
            "Approves a request, in the name of the admin certificate; never one's own.",
            { body: REASON },
            [answer!(200, "The request as it stands now.", json::<ElevationRecord>()), NOT_REASON, UNKNOWN, ELSEWHERE, BUSY]
        )],
    },
    Path {
        template: "/api/elevation/{requestId}/deny",
        operations: &[operation!(
            Post,
            "denyElevation",
            "Denies a request whose program does not run yet, in the name of the admin certificate.",
            { body: REASON },
            [answer!(200, "The request, which is over.", json::<ElevationRecord>()), NOT_REASON, UNKNOWN, ELSEWHERE, BUSY]
        )],
    },
    Path {
        template: "/api/grants",
        operations: &[operation!(
            Get,
            "listGrants",
            "Requests whose approval still counts.",
            {},
            [answer!(200, "The requests that they came from.", json::<Vec<ElevationRecord>>())]
        )],
    },
    Path {
        template: "/api/grants/cleanup",
        operations: &[operation!(
            Post,
            "cleanGrants",
            "Forgets the grants that are over.",
            {},
            [answer!(200, "How many that were, and how many still count.", json::<Cleaned>())]
        )],
    },
    Path {
        template: "/api/grants/{requestId}",
        operations: &[operation!(
            Delete,
            "revokeGrant",
            "Ends a grant at once; what rests on it and has not started does not start.",
            { query: &KILL },
            [
                answer!(200, "The request that it came from.", json::<ElevationRecord>()),
                Answer::problem(400, "The query cannot be read."),
                Answer::problem(404, "There is no such grant that counts; with kill=true, nor anything that runs on it.")
            ]
        )],
    },
];
