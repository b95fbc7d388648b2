//! Over a made-up /sys/block.

use std::path::PathBuf;

use super::*;

/// Disks by name and what they tell; removed when dropped.
struct Tree(PathBuf);

impl Tree {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kiln-disks-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn disk(self, name: &str, file: &str, bytes: &[u8]) -> Self {
        let path = self.0.join(name).join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    fn blk(self, name: &str, serial: &str) -> Self {
        self.disk(name, "serial", serial.as_bytes())
    }

    fn scsi(self, name: &str, serial: &str) -> Self {
        let page = [&[0, 0x80, 0, serial.len() as u8], serial.as_bytes()].concat();
        self.disk(name, "device/vpd_pg80", &page)
    }

    fn look(&self, serial: &str, hint: &str) -> Option<String> {
        look(&self.0, serial, hint, true)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn some(device: &str) -> Option<String> {
    Some(device.to_owned())
}

#[test]
fn finds_a_disk_on_either_bus_whatever_the_hint_says() {
    let tree = Tree::new("either")
        .blk("vda", "filler")
        .blk("vdaa", "base\n")
        .scsi("sda", "other")
        .scsi("sdab", "cow")
        .disk("loop0", "serial", b"modules");
    assert_eq!(tree.look("base", "/dev/vda"), some("/dev/vdaa"));
    assert_eq!(tree.look("cow", "/dev/vdb"), some("/dev/sdab"));
    assert_eq!(tree.look("cow", ""), some("/dev/sdab"), "no hint at all");
    assert_eq!(
        tree.look("filler", "/dev/vda"),
        some("/dev/vda"),
        "a hint that is right"
    );
    assert_eq!(tree.look("modules", "/dev/vdc"), None, "no disk of the VMM's");
}

#[test]
fn goes_by_the_hint_where_no_serial_is_asked_for_or_none_is_told() {
    let tree = Tree::new("hint")
        .blk("vda", "")
        .disk("vdb", "size", b"8")
        .blk("vdc", "else");
    assert_eq!(
        tree.look("", "/dev/nvme0n1"),
        some("/dev/nvme0n1"),
        "an older host"
    );
    assert_eq!(tree.look("base", "/dev/vda"), some("/dev/vda"), "an empty serial");
    assert_eq!(tree.look("cow", "/dev/vdb"), some("/dev/vdb"), "no file of it");
    assert_eq!(tree.look("cow", "/dev/vdc"), None, "it is another disk");
    assert_eq!(tree.look("cow", "/dev/vdz"), None, "it is not there yet");
    assert_eq!(
        look(&tree.0, "cow", "/dev/vdb", false),
        None,
        "it may not tell yet what it is"
    );
}

#[test]
fn reads_no_more_of_a_page_than_there_is() {
    let mut long = vec![0, 0x80, 0xff, 0xff];
    long.extend([b'x'; 4000]);
    let tree = Tree::new("page")
        .disk("sda", "device/vpd_pg80", &[0, 0x80])
        .disk("sdb", "device/vpd_pg80", b"\0\x83\0\x04base")
        .disk("sdc", "device/vpd_pg80", b"\0\x80\0\x04base, and more")
        .disk("sdd", "device/vpd_pg80", &long);
    assert_eq!(tree.look("base", "/dev/sda"), some("/dev/sdc"));
    assert_eq!(serial_of(&tree.0.join("sda")), some(""));
    assert_eq!(serial_of(&tree.0.join("sdb")), some(""), "another page");
    assert!(serial_of(&tree.0.join("sdd")).unwrap().len() < 512);
}

#[test]
fn takes_no_node_that_the_kernel_does_not_open_yet() {
    let tree = Tree::new("early").disk("sda", "node", b"");
    let early = tree.0.join("early");
    // As of a disk's node, whose disk the kernel is still adding.
    let _socket = std::os::unix::net::UnixListener::bind(&early).unwrap();
    let error = fs::File::open(&early).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENXIO));
    let ready = |path: PathBuf| is_ready(path.to_str().unwrap());
    assert!(!ready(early));
    assert!(!ready(tree.0.join("none")));
    assert!(ready(tree.0.join("sda/node")));
}
