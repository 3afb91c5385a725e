//! A disk that is full for a while.
use super::*;

#[test]
fn records_that_a_full_disk_swallowed_are_counted_and_the_count_is_written_once_it_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::open(folder.path()).unwrap();
    let lost = Arc::new(Lost::default());
    let file = LogFile::open(&root).unwrap();
    let mut writer = Writer { file, terminal: None, tap: None, lost: Arc::clone(&lost), failing: false };
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let log = |writer: &mut Writer, message: &str| {
        let last = writer.write(own("T".to_owned(), message.to_owned()));
        writer.settle(&last);
    };
    log(&mut writer, "first");
    let real = writer.file.redirect(full);
    for message in ["a", "b", "c"] {
        log(&mut writer, message);
    }
    assert_eq!(lost.untold.load(Ordering::Relaxed), 3);
    drop(writer.file.redirect(real));
    log(&mut writer, "last");
    assert_eq!(
        (lost.untold.load(Ordering::Relaxed), lost.told.load(Ordering::Relaxed)),
        (0, 3),
        "each is counted once"
    );
    let text = std::fs::read_to_string(folder.path().join("state/logs/agent.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let messages: Vec<&str> = lines.iter().map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(messages.len(), 3, "{messages:?}");
    assert!(messages[0] == "first" && messages[1] == "last" && messages[2].starts_with("3 log records"));
}
