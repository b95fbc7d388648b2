use super::*;
use crate::plan::{parse, tests::TEXT};

const WEB: Mac = [2, 0, 0, 0, 0, 5];
const OWN: [u8; 14] = [0, 2, 0, 10, 0, 3, 0, 1, 6, 0, 0, 0, 0, 1];

fn put(code: u16, body: &[u8]) -> Vec<u8> {
    let mut writer = Writer(Vec::new());
    writer.put(code, &[body]);
    writer.0
}

fn association(id: u8, addresses: &[&str]) -> Vec<u8> {
    let mut body = vec![0; 12];
    body[3] = id;
    for address in addresses {
        let address: Ipv6Addr = address.parse().unwrap();
        body.extend(put(ADDRESS, &[&address.octets()[..], &[0; 8]].concat()));
    }
    put(ASSOCIATION, &body)
}

fn ask(kind: u8, mac: Mac, options: &[&[u8]]) -> Option<Vec<u8>> {
    let client = put(CLIENT, &[0, 4, 1, 2]);
    let message = [&[kind, 1, 2, 3], &client[..], &options.concat()].concat();
    answer(&message, mac, &parse(TEXT).unwrap())
}

/// The addresses of an answer, with for how long.
fn given(reply: &[u8]) -> Vec<(String, u32)> {
    let inner = options(&reply[4..]).filter_map(|one| one.filter(|(code, _)| *code == ASSOCIATION));
    inner
        .flat_map(|(_, body)| options(&body[12..]).flatten().collect::<Vec<_>>())
        .filter(|(code, _)| *code == ADDRESS)
        .map(|(_, value)| {
            let address = Ipv6Addr::from(*value.first_chunk::<16>().unwrap());
            (
                address.to_string(),
                u32::from_be_bytes(value[20..24].try_into().unwrap()),
            )
        })
        .collect()
}

fn find(reply: &[u8], code: u16) -> Option<Vec<u8>> {
    options(&reply[4..])
        .flatten()
        .find(|(one, _)| *one == code)
        .map(|(_, value)| value.to_vec())
}

#[test]
fn advertises_and_gives_what_is_on_record() {
    let one = association(7, &[]);
    for (kind, said) in [(SOLICIT, ADVERTISE), (REQUEST, REPLY), (RENEW, REPLY)] {
        let server: &[u8] = if kind == SOLICIT { &[] } else { &OWN };
        let reply = ask(kind, WEB, &[server, &one]).unwrap();
        assert_eq!(reply[..4], [said, 1, 2, 3]);
        assert_eq!(given(&reply), [("fd00::5".to_owned(), VALID_SECONDS)]);
        assert_eq!(find(&reply, CLIENT), Some(vec![0, 4, 1, 2]));
        assert_eq!(find(&reply, SERVER).unwrap(), OWN[4..]);
        assert_eq!(find(&reply, DNS).unwrap().len(), 16);
        assert_eq!(find(&reply, SEARCH).unwrap(), b"\x04blue\0\x01b\x04test\0");
    }
    let rapid = ask(SOLICIT, WEB, &[&one, &put(RAPID, &[])]).unwrap();
    assert_eq!((rapid[0], find(&rapid, RAPID)), (REPLY, Some(vec![])));
    let rebound = ask(REBIND, WEB, &[&one]).unwrap();
    assert_eq!(given(&rebound).len(), 1);
}

#[test]
fn takes_back_what_is_not_its_own() {
    let two = [
        association(7, &["fd00::99", "fd00::5"]),
        association(8, &["fd00::5"]),
    ]
    .concat();
    let reply = ask(REBIND, WEB, &[&two]).unwrap();
    let [own, other] = [("fd00::5", VALID_SECONDS), ("fd00::99", 0)].map(|(a, b)| (a.to_owned(), b));
    assert_eq!(given(&reply), [own, other, ("fd00::5".to_owned(), 0)]);
    let prefix = put(PREFIXES, &[0; 12]);
    let reply = ask(SOLICIT, WEB, &[&prefix]).unwrap();
    assert_eq!(find(&reply, PREFIXES).unwrap()[12..], [0, 13, 0, 2, 0, 6]);
}

#[test]
fn confirms_and_lets_go() {
    let status = |addresses: &[&str]| {
        let reply = ask(CONFIRM, WEB, &[&association(7, addresses)])?;
        find(&reply, STATUS)
    };
    assert_eq!(status(&["fd00::5"]), Some(vec![0, 0]));
    assert_eq!(status(&["fd00::5", "fd00::6"]), Some(vec![0, 4]));
    assert_eq!(status(&[]), None);
    for kind in [RELEASE, DECLINE] {
        let reply = ask(kind, WEB, &[&OWN, &association(7, &["fd00::5"])]).unwrap();
        assert_eq!(find(&reply, STATUS), Some(vec![0, 0]));
    }
    let plan = parse(TEXT).unwrap();
    let settings = answer(&[INFORMATION, 1, 2, 3], WEB, &plan).unwrap();
    assert_eq!(
        (find(&settings, DNS).unwrap().len(), given(&settings).len()),
        (16, 0)
    );
}

#[test]
fn is_silent_to_whom_it_is_not_for() {
    let one = association(7, &[]);
    assert_eq!(ask(SOLICIT, [2, 0, 0, 0, 0, 6], &[&one]), None, "IPv4 alone");
    assert_eq!(ask(SOLICIT, [2, 0, 0, 0, 0, 99], &[&one]), None);
    assert_eq!(ask(SOLICIT, WEB, &[&OWN, &one]), None);
    assert_eq!(ask(REQUEST, WEB, &[&one]), None);
    assert_eq!(ask(REQUEST, WEB, &[&put(SERVER, &[1, 2]), &one]), None);
    for kind in [0, ADVERTISE, REPLY, 10, 12, 13, 255] {
        assert_eq!(ask(kind, WEB, &[&OWN, &one]), None, "{kind}");
    }
    let plan = parse(TEXT).unwrap();
    assert_eq!(answer(&[SOLICIT, 1, 2, 3], WEB, &plan), None, "who is it?");
    let long = put(CLIENT, &[0; LONGEST_ID + 1]);
    assert_eq!(
        answer(&[&[SOLICIT, 1, 2, 3], &long[..]].concat(), WEB, &plan),
        None
    );
    for broken in [
        &[0][..],
        &[0, 3, 0, 1, 0],
        &[0, 3, 0, 200],
        &put(ASSOCIATION, &[0; 11]),
    ] {
        assert_eq!(ask(SOLICIT, WEB, &[broken]), None, "{broken:?}");
    }
}
