//! Every bound of the core in one place, each with its reason.

/// Characters of a job or plugin id (contract section 3): fits every file system and client id.
pub const ID_LENGTH: usize = 64;
/// Bytes of a definition file or request body (contract section 2): far above any real job, far below what hurts.
pub const DOCUMENT_BYTES: usize = 1 << 20;
/// Nesting of JSON objects and arrays (contract section 2).
pub const JSON_DEPTH: usize = 32;
/// Tasks that one run may execute (contract section 3), so that a routing loop ends.
pub const TASKS_PER_RUN: u32 = 1000;
/// Runs that wait for a free place; one more is refused visibly.
pub const QUEUED_RUNS: usize = 256;
/// Bytes kept of the head, and as many of the tail, of a task's stdout and stderr each.
pub const OUTPUT_HALF_BYTES: usize = 256 << 10;
/// Bytes kept of the end of a plugin's stdout and stderr each, of the process that runs and of the one before.
pub const PLUGIN_OUTPUT_BYTES: usize = 64 << 10;
/// Bytes of one message on `KeeperLogger` (contract section 6).
pub const LOG_MESSAGE_BYTES: usize = 64 << 10;
/// Refusals kept for `GET /api/denials`; the oldest goes first.
pub const DENIALS: usize = 1000;
/// Admin certificates that are remembered: administrators and machines of one endpoint, with those that ended lately.
pub const ADMIN_CERTIFICATES: usize = 1000;
/// Runs that one page of the history shows.
pub const RUNS_PER_PAGE: usize = 100;
/// Starts of one job by events in a minute; further ones are refused, so that a loop of events is slow enough to be stopped. Events that
/// bring requests for more privileges on are bounded by the rate of requests instead.
pub const EVENT_STARTS_PER_MINUTE: usize = 100;
/// Messages of one process that are remembered, so that a copy (DUP) starts nothing: more than clients have under way at a time.
pub const TAKEN_MESSAGES: usize = 128;
/// Processes whose messages are remembered; those that ended go first.
pub const TAKEN_SENDERS: usize = 512;
/// Ids of messages that are remembered, so that one that is sent again starts nothing.
pub const MESSAGE_IDS: usize = 1024;
/// Characters of a message's id.
pub const MESSAGE_ID_CHARS: usize = 256;
/// Runs of one job that the history keeps; of failures three times as many.
pub const RUNS_PER_JOB: usize = 1000;
/// Requests that wait for a run to finish (`?wait=true`), so that waiting clients cannot grow the table without end.
pub const WAITING_REQUESTS: usize = 256;
/// Nesting of conditions, so that a parser of untrusted text cannot exhaust the stack.
pub const CONDITION_DEPTH: usize = 32;
/// Bytes of one text after substitution; a longer one fails the task instead of growing.
pub const SUBSTITUTED_BYTES: usize = 64 << 10;
/// Bytes of one task's arguments together after substitution; the kernel takes no more than 2 MiB with the environment.
pub const ARGUMENT_BYTES: usize = 1 << 20;
/// Bytes of the URL of an Http task after substitution; servers commonly take no more.
pub const URL_BYTES: usize = 8 << 10;
/// Tasks that one run's record lists, skipped ones included, so that a loop over skipped tasks ends too.
pub const TASK_RECORDS: usize = 10_000;
/// Bytes of output and command lines that one run's record keeps of all its tasks together.
pub const RUN_OUTPUT_BYTES: usize = 8 << 20;
/// Warnings that one run's record keeps; the same one stands there once.
pub const RUN_WARNINGS: usize = 100;
/// Event streams (`GET /api/events`) that are open at one time; each keeps one of the server's places.
pub const STREAMS: usize = 32;
/// How many of them tasks and plugins may hold, so that they cannot lock administrators out.
pub const PLUGIN_STREAMS: usize = 16;
/// And how many of these one job or plugin, so that it cannot lock the others out.
pub const STREAMS_OF_ONE: usize = 4;
/// Events that are kept for clients which come back with `Last-Event-ID`; some minutes of a busy agent.
pub const STREAM_EVENTS: usize = 1024;
/// Bytes of these events together.
pub const STREAM_EVENT_BYTES: usize = 1 << 20;
/// Requests that wait for an answer of a port at one time; one more is told to come again.
pub const PENDING_REQUESTS: usize = 256;
/// Characters of each text of a refusal on record: whoever is refused chooses some of them.
pub const DENIAL_CHARS: usize = 1024;
/// Runs that ended lately and whose place in a chain of events is still known, for their last messages.
pub const ENDED_RUNS: usize = 256;
/// Bytes of a run's context as JSON; a merge beyond it is refused and recorded.
pub const CONTEXT_BYTES: usize = 1 << 20;
/// Definitions of one kind that are loaded; the rest is out of service with that reason.
pub const DEFINITIONS: usize = 20_000;
/// Processes of the registry at one time.
pub const REGISTRY_ENTRIES: usize = 10_000;
/// Descriptors of a claimed process that are looked at for its connection, so that a process with many cannot make a decision take
/// longer (5 microseconds each).
pub const DESCRIPTORS: usize = 1024;
/// Entries of one list in a definition: tasks, events, parameters, topics, arguments (security design, section 6).
pub const LIST_ENTRIES: usize = 1000;
/// Levels of a topic filter that stands in a tree: trees are walked and dropped recursively, so their depth is bounded; no real
/// topic comes near.
pub const FILTER_LEVELS: usize = 128;
/// Findings that one document may cause; the last one then says how many more there are.
pub const FINDINGS: usize = 100;
/// Bytes of a compiled regular expression in a condition, so that a short pattern cannot become a huge machine. `regex` makes a second
/// machine of it where another crate of the build asks for its speed features; a usual mail address fits then, too.
pub const PATTERN_BYTES: usize = 256 << 10;
/// Bytes of a compiled regular expression times bytes of the text it is held against: time grows with both. At most about half a
/// second, for patterns written to be slow; 256 KiB of text for simple ones.
pub const MATCHING_WORK: usize = 1 << 30;
/// Events that a simulation is told before it is given up: a hundred times what the longest single run takes.
pub const SIMULATED_EVENTS: u64 = 1_000_000;
/// Examinations of programs that the agent did not start, waiting for their answer: so many of root's and so many of all other users'.
pub const EXAMINATIONS: usize = 16;
/// Settings of one plugin that the unified storage keeps: more than any plugin has, little enough to be shown at once.
pub const STORED_SETTINGS: usize = 256;
/// Settings of all plugins that it keeps, those of plugins that are gone included.
pub const STORED_SETTINGS_IN_ALL: usize = 20_000;
/// Bytes of a setting's dotted key.
pub const SETTING_KEY_BYTES: usize = 256;
/// Bytes of one stored setting; a larger document belongs into a file of the plugin's own.
pub const SETTING_BYTES: usize = 16 << 10;
/// Answers kept for requests that are sent again under their `Idempotency-Key`.
pub const KEPT_ANSWERS: usize = 1000;
/// Bytes of these answers together.
pub const KEPT_ANSWER_BYTES: usize = 8 << 20;
/// Characters of an `Idempotency-Key`.
pub const IDEMPOTENCY_KEY_CHARS: usize = 255;
/// Versions of one item that its references keep (contract section 8).
pub const REFERENCE_VERSIONS: usize = 20;
/// Deleted items that references remember; those deleted longest ago go first. A copied-back file of one is then a stray, as of any other.
pub const REFERENCE_TOMBSTONES: usize = 20_000;
/// Members of one collection, and entries of one filter with its collections: a directory's largest groups.
pub const COLLECTION_MEMBERS: usize = 10_000;
/// Entries of all filters of all policies together, with their collections: some tens of megabytes.
pub const EXPANDED_ENTRIES: usize = 200_000;
/// Groups of decisions that other policies change, as they are listed; a person reads some tens.
pub const WHAT_IF_GROUPS: usize = 10_000;
/// Bytes of all policies and collections that are kept with a decision; of more their hashes are kept.
pub const BASIS_BYTES: usize = 16 << 10;
/// How many they are at most.
pub const BASIS_DOCUMENTS: usize = 64;
/// Bytes of a question to policies, or of its answer: a command line of some tens of kilobytes and room.
pub const POLICY_MESSAGE_BYTES: usize = 256 << 10;
/// Files of the folder `Policies/` that are read, and policies of all sources that are on record as applied; the rest is refused with that
/// reason.
pub const POLICIES: usize = 1000;
/// Policies of one other source that were refused or left alone and are remembered, as many as a bundle has; the oldest is forgotten.
pub const REFUSED_POLICIES: usize = 256;
/// Deliveries of policies that wait to be applied; one more is told to come again.
pub const POLICY_DELIVERIES: usize = 16;
/// Bytes of a bundle of configuration policies: one document and its signature.
pub const BUNDLE_BYTES: usize = DOCUMENT_BYTES + (64 << 10);
/// Bytes of an entity tag that is kept; a longer one is not sent again.
pub const ETAG_BYTES: usize = 256;
/// Bytes of a line of the audit: a command of 128 KiB, the kernel's bound of an argument, with each byte escaped.
pub const AUDIT_LINE_BYTES: usize = 1 << 20;
/// Characters of a name, a reason or an attribute of a span.
pub const SPAN_TEXT_CHARS: usize = 256;
/// Publishes of one run, and of one connection of its tasks, that are told as spans of its trace; the others are counted.
pub const TRACED_PUBLISHES: u32 = 128;
/// Requests for more privileges that are under way; more than people at one machine ask for at a time.
pub const ELEVATIONS: usize = 256;
/// And so many of one user, so that he cannot lock the others out.
pub const ELEVATIONS_OF_ONE: usize = 32;
/// Requests of one user in a minute: a script that elevates each of its steps gets by, and a loop leaves the machine to others.
pub const ELEVATIONS_PER_MINUTE_OF_ONE: usize = 100;
/// Requests that ended lately and are still shown.
pub const ENDED_ELEVATIONS: usize = 256;
/// Requests that one page of their history shows.
pub const ELEVATIONS_PER_PAGE: usize = 100;
/// Requests of one user that the history keeps, so that nobody's push out those of others.
pub const ELEVATIONS_PER_USER: usize = 1000;
/// Grants that hold at a time; what is approved beyond them holds once.
pub const GRANTS: usize = 1024;
/// Characters of a justification: a paragraph.
pub const JUSTIFICATION_CHARS: usize = 1000;
/// Rules of redirection: more than anybody keeps apart, few enough to be held against each command.
pub const REDIRECT_RULES: usize = 100;
/// Bytes of each of its streams that the log has of what ran instead of what was asked for.
pub const SUBSTITUTE_OUTPUT_BYTES: usize = 8 << 10;
/// Words of a command for which more privileges are asked: as many as a shell's pattern gives in a large folder.
pub const ELEVATED_WORDS: usize = 4096;
/// Requests that ended lately of which a user is shown his own: those that he may still wonder about.
pub const OWN_ENDED: usize = 10;
/// Grants of his own that a user is shown.
pub const OWN_GRANTS: usize = 20;
/// Characters of a command as its user is shown it again.
pub const OWN_COMMAND_CHARS: usize = 200;
/// Characters of each sentence of an explanation there; with all of these, the whole fits into one frame of the request socket.
pub const OWN_EXPLANATION_CHARS: usize = 400;
/// Calls that wait for one request: its tasks, each sent again once or twice, and administrators.
pub const ELEVATION_CALLS: usize = 16;
