//! A request socket on a root of its own, with an executor that runs it and somebody who takes its reports.

use std::collections::BTreeSet;
use std::fs::{File, Permissions};
use std::io::{PipeReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use castellan_core::effect::{ElevationAnswer, ElevationOrder};
use castellan_core::elevation::{Asked, CallerId, OwnWish, Peer};
use castellan_core::event::{ElevationReport, Event, ExitStatus};
use castellan_core::user::Account;
use castellan_elevation::client::Connection;
use castellan_elevation::wire::{Ask, Ended, ToCaller, VERSION};
use castellan_elevation::{Elevation, ElevationConfig};
use smol::Executor;
use smol::channel::{Receiver, Sender};
use smol::future::FutureExt;

/// Bounds a test that would hang; never a measure.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Rig {
    pub(crate) root: tempfile::TempDir,
    pub(crate) port: Option<Elevation>,
    executor: Arc<Executor<'static>>,
    sender: Sender<Event>,
    events: Receiver<Event>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What somebody lends, and the other end of his standard output, which ends once nobody has that open any more.
pub(crate) struct Files {
    pub(crate) stdin: OwnedFd,
    pub(crate) stdout: OwnedFd,
    pub(crate) folder: OwnedFd,
    pub(crate) end: PipeReader,
}

impl Files {
    pub(crate) fn new() -> Self {
        let (end, stdout) = std::io::pipe().unwrap();
        let [stdin, folder] = ["/dev/null", "/"].map(|path| OwnedFd::from(File::open(path).unwrap()));
        Self { stdin, stdout: stdout.into(), folder, end }
    }

    pub(crate) fn lent(&self) -> [BorrowedFd<'_>; 4] {
        [self.stdin.as_fd(), self.stdout.as_fd(), self.stdout.as_fd(), self.folder.as_fd()]
    }

    /// Waits until nobody has a descriptor of these any more.
    pub(crate) fn are_closed(self) {
        let Self { stdout, mut end, .. } = self;
        drop(stdout);
        let mut rest = Vec::new();
        end.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, Vec::<u8>::new());
    }
}

pub(crate) fn ask(words: &[&str]) -> Ask {
    Ask {
        version: VERSION,
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        terminal: false,
        environment: Vec::new(),
        reason: None,
        code: None,
    }
}

pub(crate) fn is_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        // Past the test harness, which hides what a passing test prints.
        writeln!(std::io::stderr(), "SKIPPED: what needs a second user, as only root can become one").unwrap();
    }
    root
}

/// What a future gives; a test that waits in vain fails.
pub(crate) fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let late = async {
        async_io::Timer::after(PATIENCE).await;
        panic!("waited in vain: {what}")
    };
    smol::block_on(future.or(late))
}

impl Rig {
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap())
    }

    pub(crate) fn start_in(root: tempfile::TempDir) -> Self {
        std::fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let executor = Arc::new(Executor::new());
        let (sender, events) = smol::channel::bounded(1024);
        let (stop, stopped) = smol::channel::bounded::<()>(1);
        let driver = Arc::clone(&executor);
        // Ends when the sender is dropped.
        let thread = std::thread::spawn(move || assert!(smol::block_on(driver.run(stopped.recv())).is_err()));
        let mut rig = Self { root, port: None, executor, sender, events, stop: Some(stop), thread: Some(thread) };
        rig.port = Some(rig.open(rig.root.path()).unwrap());
        rig
    }

    /// Opens the socket of a root.
    pub(crate) fn open(&self, root: &Path) -> Result<Elevation, String> {
        Elevation::start(ElevationConfig {
            root: root.to_owned(),
            look_up: Arc::new(|uid| {
                let account = Account { name: format!("user-{uid}"), uid, ..Account::default() };
                Box::pin(std::future::ready((Ok((account, BTreeSet::from([String::from("people")]))), uid == 0)))
            }),
            executor: Arc::clone(&self.executor),
            events: self.sender.clone(),
        })
    }

    pub(crate) fn port(&self) -> &Elevation {
        self.port.as_ref().unwrap()
    }

    pub(crate) fn connect(&self) -> Connection {
        within("a connection", Connection::open(self.root.path())).unwrap()
    }

    /// A connection without the manners of the client.
    pub(crate) fn stranger(&self) -> UnixStream {
        UnixStream::connect(self.root.path().join("run/request.sock")).unwrap()
    }

    pub(crate) fn report(&self) -> ElevationReport {
        match within("a report", self.events.recv()).unwrap() {
            Event::Elevation(report) => report,
            other => panic!("not a report: {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn asked(&self) -> (CallerId, Box<Asked>) {
        match self.report() {
            ElevationReport::Asked { caller, asked } => (caller, asked),
            other => panic!("not asked: {other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn left(&self, caller: CallerId) {
        let report = self.report();
        assert!(matches!(report, ElevationReport::Left { caller: gone } if gone == caller), "{report:?}");
    }

    pub(crate) fn answer(&self, caller: CallerId, code: i32) {
        let answer = ElevationAnswer::Ended(ExitStatus::Code(code));
        self.port().order(ElevationOrder::Answer { caller, answer });
    }

    /// Whether somebody who asks for something is served from end to end.
    #[track_caller]
    pub(crate) fn serves(&self) {
        let (connection, files) = (self.connect(), Files::new());
        within("a request", connection.ask(&ask(&["true"]), files.lent())).unwrap();
        let (caller, _) = self.asked();
        self.answer(caller, 0);
        assert_eq!(self.hear(&connection), Some(ToCaller::Ended(Ended::Code(0))));
        files.are_closed();
    }

    /// A request under way.
    #[track_caller]
    pub(crate) fn takes_a_place(&self) -> (CallerId, Connection) {
        let (connection, files) = (self.connect(), Files::new());
        within("a request", connection.ask(&ask(&["true"]), files.lent())).unwrap();
        (self.asked().0, connection)
    }

    /// Somebody asks about what is his own; who, by the kernel's word.
    #[track_caller]
    pub(crate) fn own_asked(&self) -> (CallerId, Box<Peer>, OwnWish) {
        match self.report() {
            ElevationReport::OwnAsked { caller, peer, wish } => (caller, peer, wish),
            other => panic!("not asked: {other:?}"),
        }
    }

    /// Whether a request is taken, and not refused at once.
    pub(crate) fn admits(&self) -> bool {
        let (connection, files) = (self.connect(), Files::new());
        let asked = async {
            // Where it is closed already, what was said before tells why.
            drop(connection.ask(&ask(&["true"]), files.lent()).await);
            let refused = async {
                assert!(matches!(connection.next().await, Ok(Some(ToCaller::Denied { .. }))));
                false
            };
            let taken = async { self.events.recv().await.is_ok() };
            taken.or(refused).await
        };
        within("a place", asked)
    }

    pub(crate) fn hear(&self, connection: &Connection) -> Option<ToCaller> {
        within("a frame", connection.next()).unwrap()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.port = None;
        self.events.close();
        self.stop = None;
        let driven = self.thread.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            driven.unwrap().unwrap();
        }
    }
}
