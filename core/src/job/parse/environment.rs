//! `environment` of a task, without the variables that turn a trusted program into somebody else's (contract section 3).

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

use crate::job::finding::{Report, quote};
use crate::json::read::{Field, ObjectReader};
use crate::json::{Json, pointer_to};

/// Beginnings of names that are refused, and what they do.
const REFUSED_PREFIXES: [(&str, &str); 6] = [
    ("LD_", "steers the dynamic loader"),
    ("DYLD_", "steers the dynamic loader of macOS"),
    ("GLIBC_", "steers the C library"),
    ("MALLOC_", "steers the C library's memory"),
    ("BASH_FUNC_", "defines a function that bash runs in place of a command"),
    ("KEEPER_", "is set by the agent alone"),
];

/// Names that are refused, and what they do.
const REFUSED_NAMES: [(&str, &str); 46] = [
    ("BASH_ENV", "names a script that bash runs first"),
    ("ENV", "names a script that sh runs first"),
    ("SHELLOPTS", "sets options of the shell"),
    ("BASHOPTS", "sets options of bash"),
    ("PS4", "is evaluated by shells that trace"),
    ("PROMPT_COMMAND", "is run by bash"),
    ("IFS", "changes how shells split words"),
    ("CDPATH", "changes where 'cd' leads"),
    ("GLOBIGNORE", "changes what patterns of the shell match"),
    ("ZDOTDIR", "names the folder of scripts that zsh runs first"),
    ("FPATH", "names folders of functions that zsh and ksh load"),
    ("GCONV_PATH", "makes the C library load code"),
    ("GETCONF_DIR", "makes getconf run a program"),
    ("HOSTALIASES", "changes what host names mean"),
    ("LOCALDOMAIN", "changes what host names mean"),
    ("LOCPATH", "makes the C library load locale files"),
    ("NLSPATH", "makes the C library load message files"),
    ("RESOLV_HOST_CONF", "changes what host names mean"),
    ("RES_OPTIONS", "changes what host names mean"),
    ("TZDIR", "makes the C library load time zone files"),
    ("PYTHONPATH", "makes Python load code"),
    ("PYTHONHOME", "makes Python load code"),
    ("PYTHONSTARTUP", "makes Python run a script first"),
    ("PYTHONUSERBASE", "makes Python load code"),
    ("PYTHONINSPECT", "keeps Python running"),
    ("PYTHONBREAKPOINT", "makes Python call a function"),
    ("PYTHONWARNINGS", "makes Python import a module"),
    ("PYTHONEXECUTABLE", "misleads Python about itself"),
    ("PSMODULEPATH", "makes PowerShell load code"),
    ("DOTNET_STARTUP_HOOKS", "makes PowerShell and .NET load code"),
    ("PERL5LIB", "makes Perl load code"),
    ("PERLLIB", "makes Perl load code"),
    ("PERL5OPT", "makes Perl run code"),
    ("PERL5DB", "makes Perl run code"),
    ("PERLIO_DEBUG", "makes Perl write a file"),
    ("RUBYLIB", "makes Ruby load code"),
    ("RUBYOPT", "makes Ruby run code"),
    ("NODE_OPTIONS", "makes Node.js run code"),
    ("NODE_PATH", "makes Node.js load code"),
    ("JAVA_TOOL_OPTIONS", "makes Java load code"),
    ("_JAVA_OPTIONS", "makes Java load code"),
    ("JDK_JAVA_OPTIONS", "makes Java load code"),
    ("CLASSPATH", "makes Java load code"),
    ("LUA_INIT", "makes Lua run code"),
    ("OPENSSL_CONF", "makes OpenSSL load code"),
    ("OPENSSL_MODULES", "makes OpenSSL load code"),
];

pub(super) fn parse(reader: &ObjectReader<'_>, report: &mut Report) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    let Some(field) = reader.take("environment") else { return environment };
    let Json::Object(members) = field.value else {
        field.wrong_type("an object", report);
        return environment;
    };
    for (name, value) in members {
        let variable = Field { pointer: pointer_to(&field.pointer, name), value };
        if let Some(reason) = refused(name) {
            let message = format!("{} may not be set: it {reason}.", quote(name));
            report.error(variable.pointer, "environment-refused", message);
        } else if let Some(value) = scalar(&variable, report) {
            environment.insert(name.clone(), value);
        }
    }
    environment
}

/// Why a variable of this name may not be set.
fn refused(name: &str) -> Option<&'static str> {
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if !starts_well || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        let function = name.get(..10).is_some_and(|start| start.eq_ignore_ascii_case("BASH_FUNC_"));
        let odd = "has a name that is not of the form A-Z a-z 0-9 _ with a letter or '_' first";
        return Some(if function { "defines a function that bash runs in place of a command" } else { odd });
    }
    // Upper and lower case are different variables; the lower-case forms of these mean nothing, except to careless programs.
    let upper = name.to_ascii_uppercase();
    let by_name = REFUSED_NAMES.iter().find(|(refused, _)| *refused == upper);
    by_name.or_else(|| REFUSED_PREFIXES.iter().find(|(prefix, _)| upper.starts_with(prefix))).map(|(_, reason)| *reason)
}

/// A text, or a number or boolean as text.
pub(super) fn scalar(field: &Field<'_>, report: &mut Report) -> Option<String> {
    match field.value {
        Json::Number(number) => Some(number.to_string()),
        Json::Bool(value) => Some(value.to_string()),
        Json::String(_) => field.text(report).map(ToString::to_string),
        Json::Null | Json::Array(_) | Json::Object(_) => {
            field.wrong_type("a text, a number or a boolean", report);
            None
        }
    }
}
