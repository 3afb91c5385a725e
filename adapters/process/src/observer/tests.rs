//! The one moment that no process of a test can hit: a reset between the peer's address and the first look at its socket.

use std::net::TcpListener;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

use super::*;

fn connect_from(port: u16, address: SocketAddr) -> TcpStream {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    sockopt::set_socket_reuseaddr(&socket, true).unwrap();
    bind(&socket, &SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    connect(&socket, &address).unwrap();
    TcpStream::from(socket)
}

#[test]
fn our_own_end_tells_of_a_reset_that_both_looks_missed() {
    let observer = Observer::new(Diag::open().unwrap(), Scope::Sessions(Leaders::default()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stranger = connect_from(0, listener.local_addr().unwrap());
    let (stream, peer) = listener.accept().unwrap();
    let local = stream.local_addr().unwrap();
    let own_cookie = sockopt::socket_cookie(&stream).unwrap();
    let look = |at_accept| observer.gather(&Accepted { own_cookie, at_accept }, Claim::default());
    let before = look(observer.look(peer, local));
    assert!(before.own_end_established, "control");

    sockopt::set_socket_linger(&stranger, Some(Duration::ZERO)).unwrap();
    drop(stranger);
    let _heir = connect_from(peer.port(), local);
    // Unaccepted, the heir's connection has our end in the kernel already, under the same addresses.
    let after = look(observer.look(peer, local));
    assert_eq!(after.at_accept, after.at_decision);
    assert!(after.at_accept.is_some_and(|socket| socket.established && socket.inode != 0));
    assert!(!after.own_end_established);
}
