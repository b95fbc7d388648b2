use super::*;
use crate::plan::{parse, tests::TEXT};

const WEB: Mac = [2, 0, 0, 0, 0, 5];
const IP: Ipv4Addr = Ipv4Addr::new(10, 89, 1, 5);

fn message(mac: Mac, own: Ipv4Addr, options: &[u8]) -> Vec<u8> {
    let mut message = vec![0; HEADER];
    message[..3].copy_from_slice(&[1, 1, 6]);
    message[4..8].copy_from_slice(b"xidx");
    message[12..16].copy_from_slice(&own.octets());
    message[28..34].copy_from_slice(&mac);
    message[HEADER - 4..].copy_from_slice(&COOKIE);
    message.extend(options);
    message.push(END);
    message
}

fn ask(mac: Mac, own: Ipv4Addr, options: &[u8]) -> Option<Reply> {
    answer(&message(mac, own, options), mac, &parse(TEXT).unwrap())
}

fn options(reply: &Reply) -> Vec<(u8, Vec<u8>)> {
    let mut request = reply.message.clone();
    request[0] = 1;
    let asked = Asked::parse(&request).unwrap();
    (0..=255)
        .filter_map(|code| Some((code, asked.option(code)?.to_vec())))
        .collect()
}

fn option(reply: &Reply, code: u8) -> Vec<u8> {
    let found = options(reply).into_iter().find(|(one, _)| *one == code);
    found.map(|(_, value)| value).unwrap_or_default()
}

#[test]
fn offers_and_gives_what_is_on_record() {
    for (kind, given) in [(DISCOVER, OFFER), (REQUEST, ACK)] {
        let asked = [&[53, 1, kind, 50, 4][..], &IP.octets()].concat();
        let reply = ask(WEB, Ipv4Addr::UNSPECIFIED, &asked).unwrap();
        assert_eq!(reply.to, (WEB, IP));
        assert_eq!(reply.message[4..8], *b"xidx");
        assert_eq!(reply.message[16..20], IP.octets());
        assert_eq!(option(&reply, KIND), [given]);
        assert_eq!(option(&reply, SERVER), [10, 89, 1, 1]);
        assert_eq!(option(&reply, MASK), [255, 255, 255, 0]);
        assert_eq!(option(&reply, ROUTER), [10, 89, 1, 1]);
        assert_eq!(option(&reply, DNS), [10, 89, 1, 1, 9, 9, 9, 9]);
        assert_eq!(option(&reply, MTU), 1400_u16.to_be_bytes());
        assert_eq!(option(&reply, HOSTNAME), b"web");
        assert_eq!(option(&reply, SEARCH), b"\x04blue\0\x01b\x04test\0");
        assert_eq!(option(&reply, LEASE), LEASE_SECONDS.to_be_bytes());
        assert_eq!(option(&reply, ROUTES), b"", "the router is on the network");
        assert!(reply.message.len() <= SMALLEST - AROUND);
    }
}

#[test]
fn gives_what_is_asked_for_alone() {
    let reply = ask(WEB, Ipv4Addr::UNSPECIFIED, &[53, 1, DISCOVER, WANTED, 1, ROUTER]).unwrap();
    let codes: Vec<u8> = options(&reply).into_iter().map(|(code, _)| code).collect();
    assert_eq!(codes, [ROUTER, LEASE, KIND, SERVER, RENEWAL, REBINDING]);
}

#[test]
fn leads_to_a_router_that_is_not_on_the_network() {
    let ptp = [2, 0, 0, 0, 0, 6];
    let reply = ask(ptp, Ipv4Addr::UNSPECIFIED, &[53, 1, DISCOVER]).unwrap();
    assert_eq!(option(&reply, MASK), [255; 4]);
    assert_eq!(
        option(&reply, ROUTES),
        [32, 10, 30, 3, 1, 0, 0, 0, 0, 0, 10, 30, 3, 1]
    );
    assert_eq!(option(&reply, BROADCAST_ADDRESS), b"");
}

#[test]
fn refuses_another_address_and_renews_its_own() {
    let other = [&[53, 1, REQUEST, 50, 4][..], &[10, 89, 1, 99]].concat();
    let reply = ask(WEB, Ipv4Addr::UNSPECIFIED, &other).unwrap();
    assert_eq!(option(&reply, KIND), [NAK]);
    assert_eq!(reply.to, (BROADCAST, Ipv4Addr::BROADCAST));
    assert_eq!(reply.message[16..20], [0; 4]);
    assert_eq!(option(&reply, LEASE), b"");
    let renewed = ask(WEB, IP, &[53, 1, REQUEST]).unwrap();
    assert_eq!((option(&renewed, KIND), renewed.to), (vec![ACK], (WEB, IP)));
    let informed = ask(WEB, IP, &[53, 1, INFORM]).unwrap();
    assert_eq!(
        (option(&informed, LEASE), option(&informed, ROUTER).len()),
        (vec![], 4)
    );
    assert_eq!(informed.message[16..20], [0; 4]);
}

#[test]
fn is_silent_to_whom_it_is_not_for() {
    let none = Ipv4Addr::UNSPECIFIED;
    assert_eq!(ask([2, 0, 0, 0, 0, 99], none, &[53, 1, DISCOVER]), None);
    assert_eq!(
        ask([2, 0, 0, 0, 0, 7], none, &[53, 1, DISCOVER]),
        None,
        "IPv6 alone"
    );
    assert_eq!(ask(WEB, none, &[53, 1, REQUEST, 54, 4, 10, 89, 1, 2]), None);
    for kind in [OFFER, 4, ACK, NAK, 7, 0, 9] {
        assert_eq!(ask(WEB, IP, &[53, 1, kind]), None, "{kind}");
    }
    for broken in [&[][..], &[53], &[53, 2, 1], &[53, 1, 1, 12, 200, 1]] {
        assert_eq!(ask(WEB, none, broken), None, "{broken:?}");
    }
    let plan = parse(TEXT).unwrap();
    let frame = message(WEB, none, &[53, 1, DISCOVER]);
    assert_eq!(answer(&frame, [2, 0, 0, 0, 0, 6], &plan), None, "for another");
    let mut relayed = frame.clone();
    relayed[27] = 1;
    assert_eq!(answer(&relayed, WEB, &plan), None);
}

#[test]
fn keeps_to_the_room_that_a_client_has() {
    let id = [&[61, 255][..], &[7; 255]].concat();
    let small = ask(WEB, IP, &[&[53, 1, DISCOVER][..], &id].concat()).unwrap();
    assert!(small.message.len() <= SMALLEST - AROUND);
    let lengths = [MASK, SEARCH].map(|code| option(&small, code).len());
    assert_eq!(lengths, [4, 0], "what is needed most comes first");
    let large = [&[53, 1, DISCOVER, 57, 2, 5, 0][..], &id].concat();
    assert_eq!(option(&ask(WEB, IP, &large).unwrap(), SEARCH).len(), 14);
}
