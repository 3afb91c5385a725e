//! Orders survive the way whole or not at all.

use super::*;

fn program(argument: &str) -> Order {
    Order::Execute(Program {
        path: "/bin/true".to_owned(),
        arguments: vec![argument.to_owned()],
        scripts: Vec::new(),
        environment: vec![("A".to_owned(), "x\ny=\"z\u{1}\u{fffd}".to_owned())],
        working_directory: "/".to_owned(),
        person: None,
        for_caller: false,
    })
}

#[test]
fn an_order_comes_back_as_it_was_sent() {
    let frame = encode(&program("a 'b' \"c\" \\ \u{7f} {} $(id)")).unwrap();
    let order = read_order(frame.as_slice()).unwrap();
    assert_eq!(encode(&order).unwrap(), frame);
}

#[test]
fn nothing_but_a_whole_order_is_accepted() {
    let frame = encode(&program("a")).unwrap();
    for end in 0..frame.len() {
        assert!(read_order(&frame[..end]).is_err(), "cut at {end}");
    }
    let mut no_go = frame.clone();
    *no_go.last_mut().unwrap() = b'N';
    assert!(read_order(no_go.as_slice()).is_err());
    let mut long = frame;
    long[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(read_order(long.as_slice()).is_err());
    assert!(encode(&program(&"x".repeat(ORDER_BYTES))).unwrap_err().contains("pass long texts in a file"));
}
