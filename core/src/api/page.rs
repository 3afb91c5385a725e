//! The status page: one document without anything from elsewhere, for people with a browser. It works without a script; with one it
//! refreshes itself in place. Every text of somebody else is escaped by the template.

use alloc::format;
use alloc::string::String;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::view::{JobLine, PluginLine, RunLine};
use super::{ApiResponse, Tier};
use crate::agent::DenialRecord;
use crate::elevation::ElevationRecord;
use crate::log_message::escape;
use crate::policy::Control;
use crate::why::Explanation;

/// The style sheet; the policy names its hash.
const STYLE: &str = include_str!("page/style.css");
/// The script; the policy names its hash.
const SCRIPT: &str = include_str!("page/script.js");
/// What the page may do: its own style and script, questions to the agent, and nothing else. A test holds the hashes to the files.
const POLICY: &str = "default-src 'none'; style-src 'sha256-Ow5hWGorgMVWBh1uuAmnc/3QpHGlzV/w7iTYHZxIZFw='; script-src 'sha256-uRqgynA1YMbe2aLm/3KnsWXz+uFTwBz7umxAO2u16WY='; connect-src 'self'; img-src data:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Rows of a table; the rest is counted.
const ROWS: usize = 200;

/// What the page shows.
#[derive(Debug)]
pub(crate) struct Page<'a> {
    pub(crate) version: &'a str,
    /// `running` or `stopping`.
    pub(crate) status: &'static str,
    /// When it was made: RFC 3339, UTC.
    pub(crate) now: String,
    pub(crate) uptime_seconds: u64,
    pub(crate) tier: Tier,
    /// What the tier may see; nothing for Public.
    pub(crate) inside: Option<Inside<'a>>,
}

/// What only those may see who may also ask for it.
#[derive(Debug)]
pub(crate) struct Inside<'a> {
    pub(crate) jobs: alloc::vec::Vec<JobLine<'a>>,
    pub(crate) runs: alloc::vec::Vec<RunLine>,
    pub(crate) plugins: alloc::vec::Vec<PluginLine>,
    /// Requests for more privileges that wait for something; `None` where the tier may not see them.
    pub(crate) waiting: Option<alloc::vec::Vec<&'a ElevationRecord>>,
    /// How Last Known Good stands; `None` where the tier may not see it.
    pub(crate) lkg: Option<Lkg>,
    /// `None` where the tier may not see them.
    pub(crate) denials: Option<alloc::vec::Vec<&'a DenialRecord>>,
}

/// Last Known Good in a line, and what somebody has to look at.
#[derive(Debug)]
pub(crate) struct Lkg {
    /// `on`, `on, reports only` or `off`.
    pub(crate) mode: &'static str,
    pub(crate) items: usize,
    pub(crate) out_of_service: usize,
    pub(crate) alarms: alloc::vec::Vec<Explanation>,
}

impl Page<'_> {
    /// The answer, with the fields that keep it to itself.
    pub(crate) fn response(&self) -> ApiResponse {
        let mut response = ApiResponse::document(200, self.html().into_string().into_bytes());
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            ("content-security-policy", POLICY),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            response.set_header(name, value);
        }
        response
    }

    fn html(&self) -> Markup {
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    link rel="icon" href="data:,";
                    title { "Castellan: " (self.status) }
                    noscript { meta http-equiv="refresh" content="30"; }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    a class="skip" href="#status" { "To the status" }
                    header {
                        h1 { "Castellan" }
                        p class="controls" hidden {
                            label { input type="checkbox" id="refresh" checked; " Refresh every 5 seconds" }
                            " " span role="status" id="trouble" {}
                        }
                    }
                    main id="status" tabindex="-1" { (self.main()) }
                    script { (PreEscaped(SCRIPT)) }
                }
            }
        }
    }

    fn main(&self) -> Markup {
        html! {
            dl {
                div { dt { "Status" } dd { (outcome(self.status)) } }
                div { dt { "Version" } dd { (self.version) } }
                div { dt { "Uptime" } dd { (uptime(self.uptime_seconds)) } }
                div { dt { "As of" } dd { (time(Some(&self.now))) } }
                @if let Some(lkg) = self.inside.as_ref().and_then(|inside| inside.lkg.as_ref()) {
                    div { dt { "Last Known Good" } dd { (lkg.line()) } }
                }
            }
            @match &self.inside {
                Some(inside) => (inside.tables()),
                None => (how_to_see_more()),
            }
            p class="tier" { "Shown for the " (format!("{:?}", self.tier)) " tier." }
        }
    }
}

fn how_to_see_more() -> Markup {
    html! {
        section {
            h2 { "More is for administrators" }
            p { "Jobs, runs, plugins and refusals are shown to who holds an admin certificate. Make one for the browser, import it and open this page again:" }
            pre tabindex="0" id="how" { "sudo castellan admin issue browser && sudo openssl pkcs12 -export -in browser.pem -inkey browser.key -out browser.p12" }
        }
    }
}

impl Inside<'_> {
    fn tables(&self) -> Markup {
        html! {
            @if let Some(waiting) = &self.waiting {
                (table("waiting", "Requests for more privileges that wait", &["Request", "User", "Command", "Reason", "Since", "Waits for", "What to do"], waiting, |request| html! {
                    th scope="row" { (request.request_id) }
                    td { (escape(&request.user_name)) }
                    td { (escape(&request.command_line())) }
                    td { (request.justification.as_deref().map_or_else(|| String::from("–"), escape)) }
                    td { (time(Some(&request.asked_at))) @if request.escalated { " " (outcome("escalated")) } }
                    td { (listed(&request.outstanding)) }
                    td { (next_step(request)) }
                }))
            }
            (table("jobs", "Jobs", &["Job", "Name", "Enabled", "Next run", "Last run", "Last outcome"], &self.jobs, |job| html! {
                th scope="row" { (job.id) }
                td { (job.name) }
                td { (if job.enabled { "yes" } else { "no" }) }
                td { (time(job.next_run.as_deref())) }
                td { (time(job.last_run)) }
                td { @if let Some(last) = job.last_outcome { (outcome(last)) } @else { "–" } }
            }))
            (table("runs", "Active and last runs", &["Run", "Job", "Status", "Started", "Finished", "Trigger", "Reason"], &self.runs, |run| html! {
                th scope="row" { (run.run_id) }
                td { (run.job_id) }
                td { (outcome(&run.status)) }
                td { (time(Some(&run.started_at))) }
                td { (time(run.finished_at.as_deref())) }
                td { (run.trigger) }
                td { (run.reason.as_deref().unwrap_or("–")) }
            }))
            (table("plugins", "Plugins", &["Plugin", "Name", "Health", "Status", "Started", "Restarts", "Reason"], &self.plugins, |plugin| html! {
                th scope="row" { (plugin.id) }
                td { (plugin.name) }
                td { (outcome(plugin.health)) }
                td { (plugin.status) }
                td { (time(plugin.last_start_time.as_deref())) }
                td { (plugin.restarts) }
                td { (plugin.reason.as_deref().unwrap_or("–")) }
            }))
            @if let Some(lkg) = self.lkg.as_ref().filter(|lkg| !lkg.alarms.is_empty()) {
                (table("alarms", "Alarms of Last Known Good", &["What", "Why", "What to do"], &lkg.alarms, |alarm| html! {
                    th scope="row" { (alarm.what) }
                    td { (alarm.why) }
                    td { (alarm.fix) }
                }))
            }
            @if let Some(denials) = &self.denials {
                (table("denials", "Refused, newest first", &["When", "Who", "What", "Why", "How to allow it", "Times"], denials, |record| html! {
                    th scope="row" { (time(Some(&record.last_timestamp))) }
                    td { (record.denial.component.as_deref().unwrap_or("unknown")) }
                    td { (record.denial.explanation.what) }
                    td { (record.denial.explanation.why) }
                    td { (record.denial.explanation.fix) }
                    td { (record.count) }
                }))
            }
        }
    }
}

/// Who has to do what, for a request that waits.
fn next_step(request: &ElevationRecord) -> Markup {
    let id = &request.request_id;
    html! {
        @if request.outstanding.contains(&Control::Approval) {
            code { "castellan requests approve " (id) } ", or " code { "castellan requests deny " (id) }
        } @else {
            (escape(&request.user_name)) " is asked where the command was given."
        }
    }
}

fn listed(controls: &[Control]) -> String {
    controls.iter().map(|control| control.as_str()).collect::<alloc::vec::Vec<_>>().join(", ")
}

impl Lkg {
    fn line(&self) -> Markup {
        let class = if self.alarms.is_empty() && self.out_of_service == 0 { "good" } else { "bad" };
        html! { span class=(class) { (self.mode) ", " (self.items) " items, " (self.out_of_service) " out of service" } }
    }
}

/// A table that scrolls by itself where it is wide; a keyboard reaches it, so that it can be scrolled.
fn table<T>(id: &str, caption: &str, columns: &[&str], rows: &[T], row: impl Fn(&T) -> Markup) -> Markup {
    let more = rows.len().saturating_sub(ROWS);
    html! {
        section {
            div class="wide" tabindex="0" role="region" id=(id) aria-label=(caption) {
                table {
                    caption { (caption) " (" (rows.len()) ")" }
                    thead { tr { @for column in columns { th scope="col" { (column) } } } }
                    tbody {
                        @for line in rows.iter().take(ROWS) { tr { (row(line)) } }
                        @if rows.is_empty() { tr { td colspan=(columns.len()) { "None." } } }
                        @if more > 0 { tr { td colspan=(columns.len()) { (more) " more are not shown." } } }
                    }
                }
            }
        }
    }
}

/// A word with a colour; the word says it all.
fn outcome(word: &str) -> Markup {
    let class = match word {
        "Succeeded" | "Healthy" | "running" => "good",
        "Failed" | "TimedOut" | "Lost" | "Unhealthy" | "escalated" => "bad",
        _ => "plain",
    };
    html! { span class=(class) { (word) } }
}

/// An instant as people read it.
fn time(instant: Option<&str>) -> Markup {
    match instant {
        Some(instant) => {
            let shown = instant.split('.').next().unwrap_or(instant).replace('T', " ");
            html! { time datetime=(instant) { (shown.trim_end_matches('Z')) " UTC" } }
        }
        None => html! { "–" },
    }
}

fn uptime(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes} min {} s", seconds % 60),
        (0, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}
