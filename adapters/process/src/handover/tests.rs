//! What arrives at the other end of a socket pair.

use std::io::Write;
use std::os::unix::fs::MetadataExt;

use super::*;

#[test]
fn bytes_and_descriptor_arrive_together_and_it_closes_at_exec() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    assert_eq!(send(&ours, b"go", &file).unwrap(), 2);
    ours.write_all(b"!").unwrap();
    drop(ours);
    let mut receiver = Receiver::new(&theirs);
    let mut text = String::new();
    receiver.read_to_string(&mut text).unwrap();
    assert_eq!(text, "go!");
    let arrived = receiver.descriptor.unwrap();
    assert_eq!(rustix::io::fcntl_getfd(&arrived).unwrap(), rustix::io::FdFlags::CLOEXEC);
    assert_eq!(std::fs::File::from(arrived).metadata().unwrap().ino(), file.metadata().unwrap().ino());
}

#[test]
fn without_a_descriptor_there_is_none() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(b"go").unwrap();
    drop(ours);
    let mut receiver = Receiver::new(&theirs);
    receiver.read_to_end(&mut Vec::new()).unwrap();
    assert!(receiver.descriptor.is_none());
}
