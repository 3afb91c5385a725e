//! From a prepared launcher to the program: its order with the descriptors, and the launcher's complaint where that fails.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use castellan_core::effect::{SpawnRequest, Way};
use castellan_core::user::Person;

use super::{Tree, make, within};
use crate::executable::Inspection;
use crate::wire::COMPLAINT_BYTES;
use crate::{CallerFiles, handover};

/// From the go byte to the program's own image; a program on a slow network file system may take a while.
const EXEC_TIME: Duration = Duration::from_secs(30);

impl Tree {
    /// Sends the order and the go byte. The launcher's end closes by itself when the program's image replaces it.
    ///
    /// A launcher that is killed in this moment looks the same; its end is reported right after.
    pub(super) async fn execute(
        &self,
        way: Way,
        inspection: Inspection,
        request: SpawnRequest,
        person: Option<Person>,
        files: Option<&CallerFiles>,
    ) -> Result<(), String> {
        let for_caller = files.is_some();
        let (order, program) = make::order(way, inspection, request, person, for_caller, &self.shared.agent_root)?;
        let lent = files.into_iter().flat_map(CallerFiles::in_order);
        let descriptors: Vec<BorrowedFd<'_>> = std::iter::once(program.as_fd()).chain(lent).collect();
        let mut complaint = Vec::new();
        let exchange = async {
            self.send(&order, &descriptors).await?;
            let mut chunk = vec![0; COMPLAINT_BYTES];
            while complaint.len() < COMPLAINT_BYTES {
                match self.control.read_with(|mut socket| socket.read(&mut chunk)).await? {
                    0 => break,
                    count => complaint.extend_from_slice(chunk.get(..count).unwrap_or_default()),
                }
            }
            Ok::<(), io::Error>(())
        };
        match within(EXEC_TIME, exchange).await {
            Some(Ok(())) if complaint.is_empty() => Ok(()),
            Some(Ok(())) => Err(String::from_utf8_lossy(&complaint).into_owned()),
            Some(Err(error)) => Err(format!("The launcher ended before it could execute the program: {error}.")),
            None => Err(format!(
                "The program was not executed within {} s: is its file system reachable?",
                EXEC_TIME.as_secs()
            )),
        }
    }

    /// Gives the launcher an order.
    ///
    /// # Errors
    /// As sendmsg(2).
    pub(super) async fn send(&self, order: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let begun = self.control.write_with(|socket| handover::send(socket, order, descriptors)).await?;
        let mut rest = order.get(begun..).unwrap_or_default();
        while !rest.is_empty() {
            let sent = self.control.write_with(|mut socket| socket.write(rest)).await?;
            rest = rest.get(sent..).unwrap_or_default();
        }
        Ok(())
    }
}
