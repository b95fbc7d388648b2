//! Trees that change under the walk, and files that are not what they say.

use std::os::unix::fs::symlink;

use super::super::tar::Reader;
use super::*;

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("kiln-pack-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Does something to the tree when the entry of that name has come.
struct Meddler<F> {
    bytes: Vec<u8>,
    at: &'static str,
    what: Option<F>,
}

impl<F: FnOnce()> Write for Meddler<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let name = self.at.as_bytes();
        if bytes.windows(name.len()).any(|piece| piece == name)
            && let Some(what) = self.what.take()
        {
            what();
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Packs; the names in the archive.
fn packed(root: &Path, at: &'static str, what: impl FnOnce()) -> io::Result<Vec<String>> {
    let mut output = Meddler {
        bytes: Vec::new(),
        at,
        what: Some(what),
    };
    Packer::new(&mut output).pack(root, false)?;
    assert!(output.what.is_none(), "{at} has not come");
    Ok(entries(&output.bytes).into_iter().map(|(name, _)| name).collect())
}

fn entries(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut reader = Reader::new(bytes);
    let mut all = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        let mut data = vec![0; entry.size as usize];
        let mut filled = 0;
        while filled < data.len() {
            filled += reader.read_data(&mut data[filled..]).unwrap();
        }
        all.push((String::from_utf8(entry.path).unwrap(), data));
    }
    all
}

#[test]
fn a_file_that_shrinks_fails_the_archive_by_its_name() {
    let scratch = Scratch::new("shrinks");
    let path = scratch.0.join("file");
    fs::write(&path, "0123456789").unwrap();
    let metadata = fs::symlink_metadata(&path).unwrap();
    fs::write(&path, "012").unwrap();
    let mut packer = Packer::new(Vec::new());
    let error = packer.one(&path, b"it", &metadata).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    assert!(text.ends_with("7 of its 10 bytes are gone"), "{text}");
}

#[test]
fn what_goes_while_the_tree_is_walked_is_left_out() {
    let scratch = Scratch::new("goes");
    let tree = scratch.0.join("tree");
    for directory in ["a/deep", "d/deep", "f"] {
        fs::create_dir_all(tree.join(directory)).unwrap();
    }
    for file in ["b", "bb", "f/kept", "z"] {
        fs::write(tree.join(file), "data").unwrap();
    }
    fs::hard_link(tree.join("bb"), tree.join("twin")).unwrap();
    symlink("nowhere", tree.join("c")).unwrap();
    symlink("nowhere", tree.join("e")).unwrap();
    let names = packed(&tree, "tree/a/", || {
        fs::remove_dir_all(tree.join("a")).unwrap();
        fs::remove_dir_all(tree.join("d")).unwrap();
        for gone in ["b", "bb", "c", "e"] {
            fs::remove_file(tree.join(gone)).unwrap();
        }
        // Others have come in their places.
        fs::write(tree.join("d"), "a file").unwrap();
        fs::write(tree.join("e"), "a file").unwrap();
    });
    let names = names.unwrap();
    // The twin is a file of its own: the name it would lead to is not there.
    assert_eq!(
        names,
        [
            "tree/",
            "tree/a/",
            "tree/f/",
            "tree/f/kept",
            "tree/twin",
            "tree/z"
        ]
    );
}

#[test]
fn what_was_asked_for_must_be_there() {
    let scratch = Scratch::new("root");
    let path = scratch.0.join("gone");
    let kinds: [&dyn Fn(); 3] = [
        &|| fs::write(&path, "data").unwrap(),
        &|| fs::create_dir(&path).unwrap(),
        &|| symlink("nowhere", &path).unwrap(),
    ];
    for make in kinds {
        make();
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() {
            fs::remove_dir(&path).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        let error = Packer::new(Vec::new()).tree(path.clone(), b"gone".to_vec(), metadata);
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

#[test]
fn files_of_the_kernel_are_what_is_read_of_them() {
    // One says that it is empty, the other that it is a page; one that can't be looked through is larger than any disk.
    for path in [
        "/proc/version",
        "/sys/kernel/mm/transparent_hugepage/enabled",
        "/sys/kernel/uevent_seqnum",
    ] {
        let Ok(content) = fs::read(path) else {
            println!("{path} is not there");
            continue;
        };
        let mut bytes = Vec::new();
        Packer::new(&mut bytes).pack(Path::new(path), false).unwrap();
        let (_, data) = entries(&bytes).pop().unwrap();
        assert_eq!(data, content, "{path}");
    }
}
