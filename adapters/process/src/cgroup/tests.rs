//! Lines of mountinfo as they occur; the real thing is tested with whole processes.

use super::*;

#[test]
fn the_mount_is_found_whatever_stands_around_it() {
    let hybrid = "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                  38 31 0:35 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
    let found = Hierarchy::parse(hybrid).unwrap();
    assert_eq!(found.folder("/a/b"), Some(PathBuf::from("/sys/fs/cgroup/unified/a/b")));
    assert_eq!(found.folder("/"), Some(PathBuf::from("/sys/fs/cgroup/unified/")));
    let container = "38 31 0:35 /docker/x /sys/fs/cg\\040roup ro - cgroup2 cgroup2 ro\n";
    let found = Hierarchy::parse(container).unwrap();
    assert_eq!(found.folder("/docker/x/a"), Some(PathBuf::from("/sys/fs/cg roup/a")));
    assert_eq!(found.folder("/docker/xy"), None);
    assert_eq!(found.folder("/other"), None);
    assert_eq!(Hierarchy::parse("31 23 0:28 / /sys rw - tmpfs cgroup2 rw\n"), None);
    assert_eq!(Hierarchy::parse(""), None);
}
