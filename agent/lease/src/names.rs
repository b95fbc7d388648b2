//! Domain names as DNS writes them, uncompressed.

/// Those that are names, as many as there is room for.
pub fn domains(names: &[String], room: usize) -> Vec<u8> {
    let mut all = Vec::new();
    for one in names.iter().filter_map(|name| domain(name)) {
        if all.len() + one.len() <= room {
            all.extend(one);
        }
    }
    all
}

fn domain(name: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for label in name.trim_end_matches('.').split('.') {
        if label.is_empty() || label.len() > 63 {
            return None;
        }
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    (bytes.len() <= 255).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_labels_with_their_lengths() {
        let names = ["blue", "b.test.", "", "a..b"].map(String::from);
        assert_eq!(domains(&names, 255), b"\x04blue\0\x01b\x04test\0");
        assert_eq!(domains(&names, 7), b"\x04blue\0");
        assert_eq!(domains(&["x".repeat(64)], 255), b"");
    }
}
