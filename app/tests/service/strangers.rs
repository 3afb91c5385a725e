//! Signed programs that the agent did not start: what lets them in, how far, and what the refusal says where one thing is wrong.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use serde_json::{Value, json};

use crate::support::{Agent, Puppet, Signer, Stage, accepted, deploy, eventually, is_root, skipped, spawn};

/// A user that every Linux has and that owns nothing.
const NOBODY: u32 = 65534;
/// What the stranger calls itself.
const LABEL: &str = "stranger";

/// A stage that others than root may enter, with a signer.
struct Site {
    stage: Stage,
    signer: Signer,
    pin: String,
}

impl Site {
    fn new() -> Self {
        let stage = Stage::new();
        let open = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        open(stage.folder(), 0o755);
        open(&stage.folder().join("control"), 0o777);
        let signer = Signer::new(&stage, "signer");
        let site = Self { stage, signer, pin: String::new() };
        let probe = site.program("probe");
        Self { pin: site.signs(&probe), ..site }
    }

    /// The puppet as a program of its own.
    fn program(&self, name: &str) -> PathBuf {
        let path = self.stage.folder().join(name);
        let puppet = self.stage.deploy_puppet();
        deploy(|| fs::copy(puppet, &path)).unwrap();
        path
    }

    /// Signs a program as an administrator does; the pin of the signer.
    fn signs(&self, program: &Path) -> String {
        self.signer.sign(program)
    }

    /// An agent that trusts the signer, with the job `scan`.
    fn agent(&self, non_admin: &[&str]) -> Agent<'_> {
        let settings = json!({ "AlternativeSignatures": [self.pin], "AllowedNonAdminExecutables": non_admin });
        self.stage.settings(settings);
        self.stage.job(&self.stage.puppet_job("scan", &["KeeperLogger", "Scan/out"], &["Scan/out"]));
        self.start()
    }

    /// The CA certificate is copied to where everybody may read it.
    fn start(&self) -> Agent<'_> {
        let agent = self.stage.start();
        fs::copy(self.stage.root().join("state/ca.pem"), self.stage.folder().join("ca.pem")).unwrap();
        agent
    }

    fn hand(&self, agent: &Agent<'_>, program: &Path) -> Hand<'_> {
        let mut arguments = self.stage.puppet_arguments(LABEL);
        arguments[1] = self.stage.folder().join("ca.pem").display().to_string();
        arguments[2] = format!("https://127.0.0.1:{}", agent.https);
        let mut command = Command::new(program);
        command.args(arguments).current_dir("/");
        Hand { site: self, command }
    }
}

/// Somebody at a shell.
struct Hand<'s> {
    site: &'s Site,
    command: Command,
}

impl Hand<'_> {
    fn with(mut self, change: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        change(&mut self.command);
        self
    }

    fn starts(mut self) -> Stranger {
        let child = spawn(&mut self.command);
        Stranger { child, puppet: self.site.stage.puppet(LABEL) }
    }
}

/// A program that nobody but its user started; it ends with the test.
struct Stranger {
    child: Child,
    puppet: Puppet,
}

impl Stranger {
    fn connect(&mut self, agent: &Agent<'_>) -> Value {
        let id = format!("scan_Puppet_{}", self.puppet.pid());
        self.puppet.connect_as(agent.mqtt, &id)
    }

    fn settings(&mut self) -> u64 {
        self.puppet.get("/api/PluginSettings/KeeperPrivilegeManager").0
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Both doors are shut, and the record says why and for whom.
#[track_caller]
fn is_refused(agent: &Agent<'_>, stranger: &mut Stranger, why: &str, executable: &Path) {
    let (status, body) = stranger.puppet.get("/api/PluginSettings/KeeperPrivilegeManager");
    assert_eq!(status, 403, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert!(body["detail"].as_str().unwrap().contains(why), "no '{why}' in {body}");
    assert!(body["fix"].as_str().unwrap().contains("admin client certificate"), "{body}");
    assert_eq!(stranger.connect(agent), json!({ "event": "refused", "code": "NotAuthorized" }), "{why}");
    let denials = agent.call("GET", "/api/denials").send().json();
    let denial = denials.as_array().unwrap().iter().find(|denial| denial["action"] == "connect").unwrap().clone();
    assert!(denial["why"].as_str().unwrap().contains(why), "no '{why}' in {denial}");
    assert_eq!(denial["pid"], stranger.puppet.pid(), "{denial}");
    assert_eq!(denial["executable"], executable.display().to_string(), "{denial}");
}

fn needs_root(what: &str) -> bool {
    if !is_root() {
        skipped(&format!("{what}: only root may start programs as others"));
    }
    is_root()
}

#[test]
fn a_signed_program_of_root_comes_in_and_is_what_its_file_is() {
    if !needs_root("signed programs of root") {
        return;
    }
    let site = Site::new();
    let agent = site.agent(&[]);
    let own = site.stage.deploy_puppet();
    site.signs(&own);
    let mut task = site.hand(&agent, &own).starts();
    assert_eq!(task.settings(), 200);
    assert_eq!(task.settings(), 200, "and again on the same terms");
    assert_eq!(task.connect(&agent), accepted());
    assert_eq!(task.puppet.subscribe("Scan/out"), "[Success(AtLeastOnce)]");
    task.puppet.publish("Scan/out", "by hand");
    assert_eq!(task.puppet.receive(), (String::from("Scan/out"), String::from("by hand")));

    let tool = site.program("tool");
    site.signs(&tool);
    let mut other = site.hand(&agent, &tool).starts();
    assert_eq!(other.settings(), 200);
    assert_eq!(other.connect(&agent), accepted());
    assert_eq!(other.puppet.subscribe("Scan/out"), "[NotAuthorized]", "another program than the job's");
    other.puppet.log("somebody signed speaks");
    let line = agent.logged_message("Test", "somebody signed speaks");
    assert_eq!(line["component"], "program:tool", "{line}");
    other.puppet.publish("EventMessages", r#"{"eventName":"Found"}"#);
    let denial = agent.call("GET", "/api/denials").send().json()[0].clone();
    assert_eq!((&denial["component"], &denial["action"]), (&json!("program:tool"), &json!("publish")), "{denial}");
    assert!(denial["why"].as_str().unwrap().contains("signature alone"), "{denial}");
    drop((task, other));
    agent.stop();
}

#[test]
fn one_wrong_thing_keeps_a_program_of_root_out() {
    if !needs_root("programs of root that are not signed as they should be") {
        return;
    }
    let site = Site::new();
    let agent = site.agent(&[]);
    let unsigned = site.program("unsigned");
    is_refused(&agent, &mut site.hand(&agent, &unsigned).starts(), "There is no signature", &unsigned);

    let changed = site.program("changed");
    site.signs(&changed);
    deploy(|| {
        let mut bytes = fs::read(&changed).unwrap();
        bytes.push(0);
        fs::write(&changed, bytes).unwrap();
    });
    is_refused(&agent, &mut site.hand(&agent, &changed).starts(), "was changed after it had been signed", &changed);

    let gone = site.program("gone");
    site.signs(&gone);
    let mut deleted = site.hand(&agent, &gone).starts();
    fs::remove_file(&gone).unwrap();
    is_refused(&agent, &mut deleted, "was deleted or replaced", &gone);

    let python = site.program("python3");
    let tool = site.program("tool");
    site.signs(&tool);
    fs::copy(tool.with_extension("p7s"), python.with_extension("p7s")).unwrap();
    is_refused(&agent, &mut site.hand(&agent, &python).starts(), "interpreter", &python);

    let mut good = site.hand(&agent, &tool).starts();
    assert_eq!(good.connect(&agent), accepted(), "the control: nothing is wrong with this one");
    drop((deleted, good));
    agent.stop();
    site.stage.settings(json!({}));
    let agent = site.start();
    let mut former = site.hand(&agent, &tool).starts();
    assert_eq!(former.settings(), 403, "its signer is no longer trusted");
    drop(former);
    agent.stop();
}

#[test]
fn another_users_program_comes_in_by_its_own_name_and_may_log() {
    if !needs_root("signed programs of other users") {
        return;
    }
    let site = Site::new();
    let agent = site.agent(&["helper"]);
    let (helper, tool) = (site.program("helper"), site.program("tool"));
    site.signs(&helper);
    site.signs(&tool);
    let nobody = |command: &mut Command| {
        command.uid(NOBODY).gid(NOBODY);
    };
    let hand = |program: &Path| {
        site.hand(&agent, program).with(|command| {
            nobody(command);
            command
        })
    };

    let mut refused = hand(&tool).with(|command| command.arg0("helper")).starts();
    is_refused(&agent, &mut refused, "not one of AllowedNonAdminExecutables", &tool);
    drop(refused);

    let own = site.stage.deploy_puppet();
    site.signs(&own);
    let mut task = hand(&own).starts();
    is_refused(&agent, &mut task, "not one of AllowedNonAdminExecutables", &own);
    drop(task);

    let mut listed = hand(&helper).starts();
    assert_eq!(listed.settings(), 200);
    assert_eq!(listed.connect(&agent), accepted());
    listed.puppet.log("a user's tool speaks");
    let line = agent.logged_message("Test", "a user's tool speaks");
    assert_eq!(line["component"], "program:helper", "{line}");
    assert_eq!(listed.puppet.subscribe("Scan/out"), "[NotAuthorized]");
    drop(listed);
    agent.stop();
}

#[test]
fn who_is_root_in_a_user_namespace_alone_is_not_believed() {
    if !needs_root("user namespaces") {
        return;
    }
    let site = Site::new();
    let agent = site.agent(&["helper"]);
    let helper = site.program("helper");
    site.signs(&helper);
    let probe = Command::new("unshare").args(["--user", "--map-root-user", "true"]).uid(NOBODY).gid(NOBODY).status();
    if !probe.is_ok_and(|status| status.success()) {
        return skipped("user namespaces: this machine lets no ordinary user make one");
    }
    let inside = site.hand(&agent, &helper).command;
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user"]).arg(inside.get_program()).args(inside.get_args());
    command.current_dir("/").uid(NOBODY).gid(NOBODY);
    let mut stranger = Hand { site: &site, command }.starts();
    is_refused(&agent, &mut stranger, "user namespace of its own", &helper);
    drop(stranger);
    agent.stop();
}

#[test]
fn a_plugin_is_started_only_if_a_trusted_signer_signed_it() {
    let site = Site::new();
    let deployed = |id: &str| {
        site.stage.plugin(&site.stage.puppet_plugin(id, &[], &[]));
        site.stage.root().join(format!("Plugins/bin/{id}/{id}"))
    };
    site.signs(&deployed("Signed"));
    deployed("Unsigned");
    let changed = deployed("Changed");
    site.signs(&changed);
    deploy(|| {
        let mut bytes = fs::read(&changed).unwrap();
        bytes.push(0);
        fs::write(&changed, bytes).unwrap();
    });
    // What the agent executes may be a script: its interpreter is none of a stranger's choice.
    let puppet = site.stage.deploy_puppet().display().to_string();
    let script = deployed("Script");
    deploy(|| fs::write(&script, format!("#!/bin/sh\nexec {puppet} \"$@\"\n")).unwrap());
    site.signs(&script);
    let agent = site.agent(&[]);
    for id in ["Signed", "Script"] {
        site.stage.puppet(id).connect_plugin(agent.mqtt);
    }
    for (id, why) in [("Unsigned", "There is no signature"), ("Changed", "was changed after it had been signed")] {
        let plugin = eventually(&format!("why {id} is not started"), || {
            let plugin = agent.call("GET", &format!("/api/plugins/{id}")).send().json();
            plugin["reason"].as_str().is_some_and(|reason| reason.contains(why)).then_some(plugin)
        });
        assert_eq!(plugin["processId"], Value::Null, "{plugin}");
        let reason = plugin["reason"].as_str().unwrap();
        assert!(reason.contains("castellan sign") && reason.contains(&format!("bin/{id}/{id}")), "{reason}");
    }
    agent.stop();
}
