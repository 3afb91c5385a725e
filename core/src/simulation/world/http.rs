//! The answers that Http tasks get in a simulated world.

use alloc::format;
use alloc::string::ToString;

use super::super::assumption::End;
use super::World;
use crate::effect::HttpOrder;
use crate::event::{Captured, Event, ExitStatus, HttpReport};

impl World {
    /// A request is answered as its task is assumed to end: 200 where it succeeds, the exit code as the status where it fails.
    pub(super) fn on_http(&mut self, order: HttpOrder) {
        let report = match order {
            HttpOrder::Cancel { ticket } => {
                HttpReport::Failed { ticket, reason: "the request was stopped".to_string() }
            }
            HttpOrder::Send(call) => {
                let ticket = call.ticket;
                let Some((job, task)) = self.agent.task_of_call(ticket) else { return };
                let fate = self.assumptions.next(job.as_str(), task);
                let scheme = if call.url.tls { "https" } else { "http" };
                let place = format!("{scheme}://{}:{}{}", call.url.host, call.url.port, call.url.target);
                self.step("Request", format!("job:{job}"), format!("Would send {} {place}.", call.method));
                let body = Captured { head: fate.stdout, ..Captured::default() };
                match fate.end {
                    End::Hangs => return,
                    End::Status(ExitStatus::Code(0)) => HttpReport::Answered { ticket, status: 200, body },
                    End::Status(ExitStatus::Code(code)) => {
                        let status = u16::try_from(code).ok().filter(|code| (100..600).contains(code)).unwrap_or(500);
                        HttpReport::Answered { ticket, status, body }
                    }
                    End::Status(ExitStatus::Signal(_) | ExitStatus::OutOfMemory) | End::Missing => {
                        HttpReport::Failed { ticket, reason: "nobody answers, by assumption".to_string() }
                    }
                }
            }
        };
        self.ready.push_back(Event::Http(report));
    }
}
