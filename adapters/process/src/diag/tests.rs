//! Real connections, and messages that are cut or damaged.

use std::net::{TcpListener, TcpStream};

use super::*;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (client, listener.accept().unwrap().0)
}

#[test]
fn a_connection_is_found_from_both_ends() {
    let diag = Diag::open().unwrap();
    let (client, server) = pair();
    let (near, far) = (server.local_addr().unwrap(), server.peer_addr().unwrap());
    let found = diag.exact(far, near).unwrap().unwrap();
    assert_eq!((found.peer, found.local, found.established), (far, near, true));
    assert_eq!(found.uid, rustix::process::geteuid().as_raw());
    assert_eq!(found.cookie, sockopt::socket_cookie(&client).unwrap());
    assert!(crate::procfs::holds_socket(std::process::id(), found.inode));
    let own = diag.exact(near, far).unwrap().unwrap();
    assert_eq!(own.cookie, sockopt::socket_cookie(&server).unwrap());
    drop(client);
    let gone = diag.exact(far, near).unwrap();
    assert!(gone.is_none_or(|socket| !socket.established || socket.inode == 0));
}

#[test]
fn a_listener_is_not_a_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let diag = Diag::open().unwrap();
    let near = listener.local_addr().unwrap();
    assert_eq!(diag.exact(near, SocketAddr::from(([127, 0, 0, 1], 1))).unwrap(), None);
    assert_eq!(diag.exact(SocketAddr::from(([127, 0, 0, 1], 1)), near).unwrap(), None);
}

#[test]
fn a_mapped_address_is_the_same_connection() {
    let diag = Diag::open().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let client = TcpStream::connect(SocketAddr::new("::ffff:127.0.0.1".parse().unwrap(), port)).unwrap();
    let (server, far) = listener.accept().unwrap();
    let found = diag.exact(far, server.local_addr().unwrap()).unwrap().unwrap();
    assert_eq!(found.cookie, sockopt::socket_cookie(&client).unwrap());
    assert_eq!(diag.exact(client.local_addr().unwrap(), client.peer_addr().unwrap()).unwrap(), Some(found));
}

#[test]
fn damaged_answers_are_errors_and_other_answers_are_skipped() {
    let mut whole = Vec::new();
    whole.extend(100_u32.to_ne_bytes());
    whole.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    whole.extend([0; 2]);
    whole.extend(7_u32.to_ne_bytes());
    whole.extend([0; 4]);
    whole.extend([AF_INET, TCP_ESTABLISHED, 0, 0]);
    whole.resize(88, 0);
    whole.extend(12_u16.to_ne_bytes());
    whole.extend(INET_DIAG_CGROUP_ID.to_ne_bytes());
    whole.extend(99_u64.to_ne_bytes());
    let Answer::Socket(found) = parse(&whole, 7).unwrap() else { panic!("no socket") };
    assert_eq!((found.cgroup, found.established), (Some(99), true));
    assert_eq!(parse(&whole, 8).unwrap(), Answer::Stale);
    for end in 0..whole.len() {
        // Without its attributes a message is whole too; then there is no cgroup.
        let cut = parse(&whole[..end], 7);
        assert!(cut.is_err() || matches!(cut, Ok(Answer::Socket(SocketFacts { cgroup: None, .. }))), "cut at {end}");
    }
    for at in 0..whole.len() {
        for value in [0, 1, 0x7f, 0xff] {
            let mut damaged = whole.clone();
            damaged[at] = value;
            // Whatever it says, it must not panic or loop.
            std::hint::black_box(parse(&damaged, 7)).ok();
        }
    }
}
