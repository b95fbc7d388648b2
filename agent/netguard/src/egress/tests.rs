use super::*;

const NOTHING: Egress = Egress::Rules(Vec::new());

fn allowed(policy: &str, destination: &str, protocol: Option<Protocol>) -> bool {
    let egress = Egress::parse(Some(policy));
    assert_ne!(egress, NOTHING, "{policy} must parse");
    egress.allows(destination.parse().expect("a socket address"), || protocol)
}

#[test]
fn all_opens_everything_and_none_nothing() {
    let destination = "192.0.2.1:80".parse().expect("an address");
    assert!(Egress::parse(Some("all")).allows(destination, || None));
    for closed in [Some("none"), Some(""), None] {
        assert_eq!(Egress::parse(closed), NOTHING, "{closed:?}");
    }
    assert!(!NOTHING.allows(destination, || Some(Protocol::Tcp)));
}

#[test]
fn a_range_opens_what_is_in_it_and_nothing_else() {
    let tcp = Some(Protocol::Tcp);
    for (policy, inside, outside) in [
        ("10.0.0.0/8 * *", "10.255.255.255:1", "11.0.0.0:1"),
        ("192.0.2.7/32 * *", "192.0.2.7:9", "192.0.2.6:9"),
        (
            "2001:db8::/33 * *",
            "[2001:db8:7fff::1]:9",
            "[2001:db8:8000::]:9",
        ),
        ("::/0 * *", "[2001:db8::1]:9", "192.0.2.1:9"),
        ("0.0.0.0/0 * *", "192.0.2.1:9", "[2001:db8::1]:9"),
        (
            "10.0.0.0/8 * *",
            "[::ffff:10.1.1.1]:9",
            "[::ffff:11.1.1.1]:9",
        ),
    ] {
        assert!(allowed(policy, inside, tcp), "{policy} opens {inside}");
        assert!(!allowed(policy, outside, tcp), "{policy} closes {outside}");
    }
}

#[test]
fn ports_and_protocols_bound_a_rule() {
    let policy = "192.0.2.0/24 80-81 tcp,192.0.2.0/24 53-53 udp,198.51.100.0/24 1-9 *";
    for (destination, protocol, expected) in [
        ("192.0.2.1:80", Some(Protocol::Tcp), true),
        ("192.0.2.1:81", Some(Protocol::Tcp), true),
        ("192.0.2.1:82", Some(Protocol::Tcp), false),
        ("192.0.2.1:80", Some(Protocol::Udp), false),
        ("192.0.2.1:53", Some(Protocol::Udp), true),
        ("192.0.2.1:80", None, false),
        ("198.51.100.1:9", Some(Protocol::Udp), true),
        ("198.51.100.1:9", Some(Protocol::Tcp), true),
        // An echo request's "port" is no port.
        ("198.51.100.1:9", None, false),
        ("198.51.100.1:10", Some(Protocol::Tcp), false),
    ] {
        assert_eq!(
            allowed(policy, destination, protocol),
            expected,
            "{destination} {protocol:?}"
        );
    }
    assert!(allowed("192.0.2.0/24 * *", "192.0.2.1:0", None));
}

#[test]
fn one_rule_that_is_not_understood_closes_all() {
    let good = "10.0.0.0/8 * *";
    for bad in [
        "10.0.0.0/8",
        "10.0.0.0/8 *",
        "10.0.0.0/8 * * *",
        "10.0.0.0/33 * *",
        "10.0.0.1/8 * *",
        "10.0.0.0/+8 * *",
        "10.0.0.0/ * *",
        "10.0.0/8 * *",
        "all",
        "none",
        "",
        " ",
        "::1/129 * *",
        "::ffff:10.0.0.0/104 * *",
        "10.0.0.0/8 0-1 tcp",
        "10.0.0.0/8 2-1 tcp",
        "10.0.0.0/8 1 tcp",
        "10.0.0.0/8 1-65536 tcp",
        "10.0.0.0/8 1-2 sctp",
        "10.0.0.0/8 * tcp",
        "10.0.0.0/8  * *",
        "fe80::1%1/128 * *",
        "localhost/8 * *",
    ] {
        let text = format!("{good},{bad}");
        assert_eq!(Egress::parse(Some(&text)), NOTHING, "{text:?}");
    }
}

#[test]
fn too_much_closes_all() {
    let rules = vec!["10.0.0.0/8 * *"; MAX_RULES];
    let fits = Egress::parse(Some(&rules.join(",")));
    assert_eq!(fits.summary(), "64 rules");
    let many = format!("{},10.0.0.0/8 * *", rules.join(","));
    assert_eq!(Egress::parse(Some(&many)), NOTHING);
    let long = format!("10.0.0.0/8 * *,{}", "1".repeat(MAX_TEXT));
    assert_eq!(Egress::parse(Some(&long)), NOTHING);
}

/// xorshift64: the same texts in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

/// Whatever the text, what parses is what was written: it can be written again to the letter, so nothing was read into it.
#[test]
fn any_text_closes_or_is_read_to_the_letter() {
    const PARTS: &[&str] = &[
        "10.0.0.0",
        "0.0.0.0",
        "::",
        "2001:db8::",
        "/",
        "8",
        "0",
        "32",
        "33",
        "128",
        " ",
        "*",
        "-",
        ",",
        "tcp",
        "udp",
        "1",
        "65535",
        "65536",
        "+",
        "all",
        "none",
        "\0",
        "é",
        "::ffff:1.2.3.4",
        "%",
        "443-443",
    ];
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut read = 0;
    for _ in 0..200_000 {
        let text: String = if random.below(2) == 0 {
            (0..random.below(12))
                .map(|_| PARTS[random.below(PARTS.len())])
                .collect()
        } else {
            mutate("10.0.0.0/8 * *,2001:db8::/32 80-81 tcp", &mut random)
        };
        match Egress::parse(Some(&text)) {
            Egress::All => assert_eq!(text, "all"),
            Egress::Rules(rules) if rules.is_empty() => {}
            Egress::Rules(rules) => {
                read += 1;
                let again: Vec<String> = rules.iter().map(written).collect();
                let same = Egress::parse(Some(&again.join(",")));
                assert_eq!(same, Egress::Rules(rules), "{text:?}");
                assert_eq!(text.split(',').count(), again.len(), "{text:?}");
            }
        }
    }
    assert!(read > 1000, "only {read} of the texts were policies");
}

fn mutate(text: &str, random: &mut Random) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=random.below(2) {
        let at = random.below(bytes.len());
        match random.below(3) {
            0 => bytes[at] = (random.below(94) + 32) as u8,
            1 => drop(bytes.remove(at)),
            _ => bytes.insert(at, b"0123456789:./,- *"[random.below(17)]),
        }
    }
    String::from_utf8(bytes).expect("ASCII")
}

fn written(rule: &Rule) -> String {
    let ports = rule
        .ports
        .map_or("*".to_owned(), |(first, last)| format!("{first}-{last}"));
    let protocol = match rule.protocol {
        None => "*",
        Some(Protocol::Tcp) => "tcp",
        Some(Protocol::Udp) => "udp",
    };
    format!("{}/{} {ports} {protocol}", rule.network, rule.prefix)
}
