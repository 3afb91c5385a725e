//! What arrives at the other end of a socket pair.

use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use super::*;

#[test]
fn bytes_and_descriptors_arrive_together_and_these_close_at_exec() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    let files = ["/dev/null", "/dev/zero", "/"].map(|path| std::fs::File::open(path).unwrap());
    assert_eq!(send(&ours, b"go", &files.each_ref().map(AsFd::as_fd)).unwrap(), 2);
    ours.write_all(b"!").unwrap();
    drop(ours);
    let mut receiver = Receiver::new(&theirs);
    let mut text = String::new();
    receiver.read_to_string(&mut text).unwrap();
    assert_eq!(text, "go!");
    assert_eq!(receiver.descriptors.len(), files.len());
    for (arrived, file) in receiver.descriptors.into_iter().zip(files) {
        assert_eq!(rustix::io::fcntl_getfd(&arrived).unwrap(), rustix::io::FdFlags::CLOEXEC);
        assert_eq!(std::fs::File::from(arrived).metadata().unwrap().ino(), file.metadata().unwrap().ino());
    }
}

#[test]
fn more_descriptors_than_an_order_has_are_not_sent() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    assert!(send(&ours, b"go", &[file.as_fd(); LARGEST_ORDER + 1]).is_err());
}

#[test]
fn without_a_descriptor_there_is_none() {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(b"go").unwrap();
    drop(ours);
    let mut receiver = Receiver::new(&theirs);
    receiver.read_to_end(&mut Vec::new()).unwrap();
    assert!(receiver.descriptors.is_empty());
}
