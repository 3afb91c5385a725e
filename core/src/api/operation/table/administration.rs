//! The rows of plugins, their settings, and admin certificates.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use super::{Answer, Body, CHANGED, FULL, KNOWN, Method, NOTHING, Operation, Path, READS, WRITES, json};
use crate::api::view::mfa::{Checked, Enrolled, Removed};
use crate::api::view::{PluginLine, PluginOutput, Revoked};
use crate::certificate::Shown;
use crate::configuration_policy::record::{PolicyForgotten, PolicyLine};
use crate::mfa::EnrolledUser;
use crate::plugin::storage::Setting;
use crate::shape::{Key, Shape};

static EXPLAIN: [Key; 1] =
    [Key::flag("explain", false, "Whether each setting comes with its layer, writer, time and former value.")];
static POLICY: [Key; 2] = [
    Key::new("name", Shape::NAME, "The policy's name; else its PolicyId or PolicyName."),
    Key::flag("dryRun", false, "Whether it is only judged."),
];
static FORCE: [Key; 1] = [Key::flag("force", false, "Also where it is the last one of who asks, or of all.")];

const NO_SETTINGS: Answer = Answer::problem(404, "There is no such plugin.");
const NO_PLUGIN: Answer =
    Answer::problem(404, "There is no such plugin, or its file is out of service; then with findings.");
const VALUE: Option<Body> = Some(Body { required: true, content: json::<Value>() });
/// Its shape is that of `castellan schema policy`.
const APPLIED: Option<Body> = SIGNING;
const SIGNING: Option<Body> = Some(Body { required: true, content: json::<Map<String, Value>>() });

const CODE: Option<Body> = Some(Body { required: false, content: json::<Map<String, Value>>() });

const START: Operation = operation!(
    Post,
    "startPlugin",
    "Starts a plugin.",
    {},
    [
        answer!(200, "The plugin's new state.", json::<PluginLine>()),
        NO_PLUGIN,
        Answer::problem(409, "The plugin cannot be started or stopped on this machine."),
    ]
);

/// Every such path.
pub(in crate::api::operation) static PATHS: [Path; 17] = [
    Path {
        template: "/api/plugins",
        operations: &[operation!(
            Get,
            "listPlugins",
            "The plugins.",
            {},
            [answer!(200, "One line for each.", json::<Vec<PluginLine>>()),]
        )],
    },
    Path {
        template: "/api/plugins/{pluginId}",
        operations: &[operation!(
            Get,
            "showPlugin",
            "A plugin's state.",
            {},
            [answer!(200, "The state.", json::<PluginLine>()), NO_PLUGIN,]
        )],
    },
    Path {
        template: "/api/plugins/{pluginId}/output",
        operations: &[operation!(
            Get,
            "showPluginOutput",
            "The last 64 KiB of stdout and stderr of a plugin's process, and of the one before it.",
            {},
            [answer!(200, "What they wrote, secret settings masked.", json::<PluginOutput>()), NO_PLUGIN, FULL]
        )],
    },
    Path { template: "/api/plugins/{pluginId}/start", operations: &[START] },
    Path {
        template: "/api/plugins/{pluginId}/stop",
        operations: &[Operation { id: "stopPlugin", summary: "Stops a plugin; it stays stopped.", ..START }],
    },
    Path {
        template: "/api/plugins/{pluginId}/restart",
        operations: &[Operation { id: "restartPlugin", summary: "Stops a plugin and starts it again.", ..START }],
    },
    Path {
        template: "/api/PluginSettings/{pluginId}",
        operations: &[operation!(
            Get,
            "showSettings",
            "The settings of a plugin, or of the agent itself (KeeperPrivilegeManager), flattened.",
            { query: &EXPLAIN, heeds: &READS },
            [
                tagged!(
                    200,
                    "Names and values; with explain, where each comes from.",
                    json::<BTreeMap<String, String>>(),
                    json::<BTreeMap<String, Setting>>()
                ),
                KNOWN,
                NO_SETTINGS,
                CHANGED,
            ]
        )],
    },
    Path {
        template: "/api/PluginSettings/{pluginId}/{key}",
        operations: &[
            operation!(Get, "showSetting", "One setting.", { query: &EXPLAIN, heeds: &READS }, [
                tagged!(200, "Its value; with explain, where it comes from.", json::<String>(), json::<Setting>()),
                KNOWN,
                Answer::problem(404, "There is no such plugin, or it has no such setting."),
                CHANGED,
            ]),
            operation!(
                Put,
                "putSetting",
                "Stores a setting, over what the plugin's file says. The body is its value, or {\"value\": …}.",
                { heeds: &WRITES, body: VALUE },
                [
                    tagged!(200, "The settings in effect.", json::<BTreeMap<String, String>>()),
                    NO_SETTINGS,
                    Answer::problem(409, "The file alone says this one, or as many are stored as there may be."),
                    CHANGED,
                    Answer::problem(413, "The body has more than 1 MiB, or the value more than 16 KiB."),
                ]
            ),
        ],
    },
    Path {
        template: "/api/PluginSettings/{pluginId}/revert",
        operations: &[operation!(
            Post,
            "revertSettings",
            "Drops what is stored of a plugin's settings.",
            {},
            [
                answer!(200, "The settings in effect.", json::<BTreeMap<String, String>>()),
                NO_SETTINGS,
                Answer::problem(409, "The agent's own settings stand in appsettings.json alone."),
            ]
        )],
    },
    Path {
        template: "/api/PluginSettings/revert-all",
        operations: &[operation!(
            Post,
            "revertAllSettings",
            "Drops what is stored of all plugins' settings; for a plugin, of its own.",
            {},
            [answer!(200, "The settings in effect, by plugin.", json::<BTreeMap<String, BTreeMap<String, String>>>())]
        )],
    },
    Path {
        template: "/api/policies",
        operations: &[
            operation!(
                Get,
                "listPolicies",
                "What became of each configuration policy.",
                {},
                [answer!(200, "One line for each.", json::<Vec<PolicyLine>>())]
            ),
            operation!(
                Post,
                "applyPolicy",
                "Applies a configuration policy, all of it or nothing, once per content.",
                { query: &POLICY, body: APPLIED },
                [
                    answer!(200, "What became of it.", json::<PolicyLine>()),
                    Answer::problem(409, "Something changed while it was being applied, or the references of Last Known Good prove nothing; nothing was changed."),
                    FULL,
                ]
            ),
        ],
    },
    Path {
        template: "/api/policies/{policyName}",
        operations: &[operation!(
            Delete,
            "forgetPolicy",
            "Forgets the policies of a name. Settings that they set end; what they wrote into Jobs/ and Plugins/ stays.",
            {},
            [
                answer!(200, "Which ones are forgotten.", json::<PolicyForgotten>()),
                Answer::problem(404, "No policy of this name is on record."),
            ]
        )],
    },
    Path {
        template: "/api/policies/reload",
        operations: &[operation!(
            Post,
            "reloadPolicies",
            "Reads Policies/ again and applies what is new there.",
            {},
            [answer!(200, "What became of each policy of the folder.", json::<Vec<PolicyLine>>())]
        )],
    },
    Path {
        template: "/api/mfa",
        operations: &[operation!(
            Get,
            "listMfa",
            "The users that have an authenticator; never its secret.",
            {},
            [answer!(200, "One line for each.", json::<Vec<EnrolledUser>>()), FULL]
        )],
    },
    Path {
        template: "/api/mfa/{user}",
        operations: &[
            operation!(
                Post,
                "enrollMfa",
                "Makes a secret for a user's authenticator, which is told once. With a code in the body it judges that code, which is used then.",
                { body: CODE },
                [
                    answer!(200, "What the code is worth.", json::<Checked>()),
                    answer!(201, "The secret, and the otpauth URI of its QR code.", json::<Enrolled>()),
                    Answer::problem(404, "A code was given, and the user has no authenticator."),
                    Answer::problem(409, "The user has one already, or there are as many as there may be."),
                    FULL,
                ]
            ),
            operation!(
                Delete,
                "removeMfa",
                "Takes a user's authenticator away.",
                {},
                [
                    answer!(200, "It counts no more.", json::<Removed>()),
                    Answer::problem(404, "The user has none."),
                    FULL,
                ]
            ),
        ],
    },
    Path {
        template: "/api/admin/certificates",
        operations: &[
            operation!(
                Get,
                "listCertificates",
                "The admin certificates, also those that count no more.",
                {},
                [answer!(200, "One line for each.", json::<Vec<Shown>>()),]
            ),
            operation!(
                Post,
                "issueCertificate",
                "Issues an admin certificate for the key of a signing request (PKCS #10 in PEM).",
                { body: SIGNING },
                [
                    answer!(201, "The certificate.", json::<Shown>()),
                    Answer::problem(409, "The name has a certificate that counts, or there are as many as there may be."),
                ]
            ),
        ],
    },
    Path {
        template: "/api/admin/certificates/{certificate}",
        operations: &[operation!(
            Delete,
            "revokeCertificate",
            "Takes certificates back: all of a name, or one by its SHA-256. What they opened ends at once.",
            { query: &FORCE },
            [
                answer!(200, "Which ones count no more.", json::<Revoked<'_>>()),
                Answer::problem(404, "No certificate that counts has this name or SHA-256."),
                Answer::problem(409, "It is the last one of who asks, or of all; force=true takes it all the same."),
            ]
        )],
    },
];
