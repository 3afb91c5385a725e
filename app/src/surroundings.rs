//! What the core is told about the machine: read once at start.

use std::collections::BTreeMap;
use std::path::Path;

use castellan_core::certificate::AdminCertificate;
use castellan_core::job::OperatingSystem;
use castellan_core::resources::KeptLimits;
use castellan_core::surroundings::{INHERITED_VARIABLES, Surroundings};
use castellan_core::time::Now;

/// Everything that does not come from the settings.
pub(crate) struct Facts<'a> {
    pub(crate) root: &'a Path,
    pub(crate) plugin_path: &'a str,
    pub(crate) boot: u64,
    pub(crate) started: Now,
    pub(crate) admin_certificates: Vec<AdminCertificate>,
}

/// Gathers the surroundings; which limits are kept is known once the process port has tried.
pub(crate) fn gather(facts: Facts<'_>) -> Surroundings {
    let environment: Vec<(String, String)> =
        INHERITED_VARIABLES.iter().filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?))).collect();
    let root = facts.root.display().to_string();
    let home = std::env::var("HOME").unwrap_or_else(|_| String::from("/"));
    let uid = rustix::process::geteuid().as_raw();
    Surroundings {
        plugin_root: format!("{root}/{}", facts.plugin_path.trim_end_matches('/')),
        path_variables: path_variables(&root, &home),
        agent_root: root,
        here: OperatingSystem::Linux,
        boot: facts.boot,
        started: facts.started,
        host_name: String::from(rustix::system::uname().nodename().to_string_lossy()),
        version: String::from(env!("CARGO_PKG_VERSION")),
        environment,
        time_zone: time_zone(),
        user_name: user_name(uid),
        uid,
        has_desktop: false,
        admin_certificates: facts.admin_certificates,
        kept_limits: KeptLimits::default(),
        endpoints: None,
    }
}

/// `{rootdir} {home} {tmp} …` of contract section 3.
pub(crate) fn path_variables(root: &str, home: &str) -> BTreeMap<String, String> {
    let desktop = format!("{home}/Desktop");
    let documents = format!("{home}/Documents");
    let pairs = [
        ("rootdir", root),
        ("home", home),
        ("tmp", "/tmp"),
        ("etc", "/etc"),
        ("var", "/var"),
        ("usr", "/usr"),
        ("bin", "/usr/bin"),
        ("userdesktop", desktop.as_str()),
        ("documents", documents.as_str()),
    ];
    pairs.into_iter().map(|(name, path)| (name.to_owned(), path.to_owned())).collect()
}

/// The name of a user id by `/etc/passwd`; the number itself where there is none (a container's arbitrary user).
fn user_name(uid: u32) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    });
    named.unwrap_or_else(|| uid.to_string())
}

/// The machine's time zone: `TZ` where it is a name, else what `/etc/localtime` links to, else what `/etc/timezone` says, else UTC.
pub(crate) fn time_zone() -> String {
    let by_variable = std::env::var("TZ").ok().map(|zone| zone.trim_start_matches(':').to_owned());
    let by_link = || {
        let target = std::fs::canonicalize("/etc/localtime").ok()?;
        target.to_str()?.split_once("/zoneinfo/").map(|(_, name)| name.to_owned())
    };
    let by_file = || std::fs::read_to_string("/etc/timezone").ok().map(|name| name.trim().to_owned());
    let named = |zone: &String| !zone.is_empty() && !zone.starts_with('/');
    by_variable.filter(named).or_else(by_link).or_else(by_file).unwrap_or_else(|| String::from("UTC"))
}
