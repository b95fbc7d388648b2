// What networks in a guest need of kiln's own kernel: NAT by nftables and by iptables-legacy, tunnels, bridges and
// virtual interfaces, each carrying a packet.

import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { KernelGuest } from "./kernel-guest.js";

let guest: KernelGuest;
before(async () => {
  guest = await KernelGuest.start();
});
after(() => guest?.dispose());

/** One packet there and back. The wait is for a guest under software emulation on a busy machine. */
const ping = (namespace: string, address: string) => `ip netns exec ${namespace} ping -q -c1 -W30 ${address}`;

describe("a guest's own interfaces", () => {
  it("are the loopback and its network card, whatever the kernel could offer", async () => {
    assert.equal(await guest.sh("ls /sys/class/net"), "eth0\nlo");
  });
});

describe("NAT", () => {
  // A server that knows no way back to 10.1.0.0/24: what arrives there unchanged gets no answer.
  before(() =>
    guest.sh(`
      for end in client server; do
        ip netns add $end
        ip link add $end type veth peer name eth0 netns $end
        ip -n $end link set eth0 up
        ip link set $end up
      done
      ip addr add 10.1.0.1/24 dev client; ip -n client addr add 10.1.0.2/24 dev eth0
      ip addr add 10.2.0.1/24 dev server; ip -n server addr add 10.2.0.2/24 dev eth0
      ip -n client route add default via 10.1.0.1
      echo 1 > /proc/sys/net/ipv4/ip_forward
    `),
  );

  it("hides a namespace behind an nftables masquerade", async () => {
    const rules = await guest.sh(`
      nft add table ip masked
      nft 'add chain ip masked out { type nat hook postrouting priority srcnat; }'
      nft add rule ip masked out ip saddr 10.1.0.0/24 counter masquerade
      ${ping("client", "10.2.0.2")} > /dev/null
      nft list chain ip masked out
      nft delete table ip masked
    `);
    assert.match(rules, /counter packets 1 bytes 84 masquerade/);
  });

  it("hides it behind an iptables-legacy masquerade", async () => {
    const rules = await guest.sh(`
      iptables-legacy -t nat -A POSTROUTING -s 10.1.0.0/24 -j MASQUERADE --random-fully
      ${ping("client", "10.2.0.2")} > /dev/null
      iptables-legacy -t nat -xnvL POSTROUTING
      iptables-legacy -t nat -F
    `);
    assert.match(rules, /^ +1 +84 MASQUERADE/m);
  });

  it("takes what kube-proxy, Docker and network policies write for iptables-legacy", async () => {
    const input = `*nat
:SERVICES - [0:0]
:ONE - [0:0]
-A PREROUTING -m comment --comment "service portals" -j SERVICES
-A PREROUTING -m addrtype --dst-type LOCAL -p tcp -m multiport --dports 80,443 -j REDIRECT --to-ports 8080
-A SERVICES -m statistic --mode random --probability 0.5 -j ONE
-A SERVICES -m recent --name ONE --rcheck --seconds 100 --reap -j ONE
-A ONE -p tcp -m tcp -j DNAT --to-destination 10.1.0.2:80
-A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE
-A POSTROUTING -m ipvs --ipvs -j MASQUERADE
-A OUTPUT -m owner --uid-owner 1337 -j RETURN
COMMIT
*mangle
-A PREROUTING -p tcp -m socket --transparent -j MARK --set-xmark 0x1/0xffffffff
-A PREROUTING -p tcp -j TPROXY --on-port 15001 --tproxy-mark 0x1/0xffffffff
-A PREROUTING -j CONNMARK --restore-mark
-A POSTROUTING -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
COMMIT
*filter
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -m limit --limit 5/min -j LOG --log-prefix "denied "
-A INPUT -m hashlimit --hashlimit-upto 5/min --hashlimit-name h -j NFLOG --nflog-group 7
-A FORWARD -m physdev --physdev-is-bridged -j ACCEPT
-A FORWARD -m iprange --src-range 10.9.0.1-10.9.0.9 -j REJECT --reject-with icmp-port-unreachable
COMMIT
*raw
-A PREROUTING -p udp -j CT --notrack
COMMIT
`;
    const kept = await guest.sh(`
      iptables-legacy-restore <<'EOF'
${input}EOF
      iptables-legacy-save | grep -c '^-A'
      for table in nat mangle filter raw; do iptables-legacy -t $table -F; iptables-legacy -t $table -X; done
      ip6tables-legacy -t nat -A POSTROUTING -s fd00::/64 -j MASQUERADE
      ip6tables-legacy -t nat -F
    `);
    assert.equal(Number(kept), input.match(/^-A/gm)?.length);
  });

  it("takes what kube-proxy and Docker write for nftables, and iptables' own words in nftables", async () => {
    const kept = await guest.sh(`
      nft -f - <<'EOF'
table inet services {
  set portals { type ipv4_addr . inet_proto . inet_service; elements = { 10.96.0.1 . tcp . 443 }; }
  set affinity { type ipv4_addr; flags dynamic, timeout; timeout 3h; }
  limit few { rate 5/minute; }
  quota much { over 100 mbytes }
  chain endpoints {
    meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.1.0.2, 1 : 10.1.0.3 }
  }
  chain in {
    type nat hook prerouting priority dstnat;
    ip daddr . meta l4proto . th dport @portals update @affinity { ip saddr } goto endpoints
    fib daddr type local tcp dport 80 redirect to :8080
    tcp dport 81 dnat ip to jhash ip saddr mod 2 map { 0 : 10.1.0.2, 1 : 10.1.0.3 }
  }
  chain guard {
    type filter hook forward priority filter;
    ct state established,related accept
    ct count over 20 reject
    limit name few quota name much log prefix "denied " reject with icmpx admin-prohibited
  }
}
EOF
      nft list table inet services | grep -c -e numgen -e jhash -e 'fib daddr' -e 'ct count' -e 'limit name'
      nft delete table inet services
      iptables-nft -t nat -A POSTROUTING -m comment --comment compat -m statistic --mode random --probability 0.5 -j MASQUERADE
      iptables-nft -t nat -S | grep -c compat
      nft delete table ip nat
    `);
    assert.equal(kept, "5\n1");
  });
});

describe("tunnels", () => {
  before(() =>
    guest.sh(`
      for end in left right; do ip netns add $end; done
      ip -n left link add eth0 type veth peer name eth0 netns right
      ip -n left addr add 10.3.0.1/24 dev eth0
      ip -n right addr add 10.3.0.2/24 dev eth0
      for end in left right; do ip -n $end link set eth0 up; done
    `),
  );

  it("carry a ping through wireguard, encrypted", async () => {
    const seen = await guest.sh(`
      umask 077; cd "$(mktemp -d)"
      for end in left right; do
        wg genkey > $end.key; wg pubkey < $end.key > $end.pub
        ip -n $end link add wg0 type wireguard
      done
      ip netns exec left wg set wg0 listen-port 51820 private-key left.key \\
        peer "$(cat right.pub)" allowed-ips 10.4.0.2/32 endpoint 10.3.0.2:51820
      ip netns exec right wg set wg0 listen-port 51820 private-key right.key \\
        peer "$(cat left.pub)" allowed-ips 10.4.0.1/32 endpoint 10.3.0.1:51820
      ip -n left addr add 10.4.0.1/24 dev wg0; ip -n left link set wg0 up
      ip -n right addr add 10.4.0.2/24 dev wg0; ip -n right link set wg0 up
      ${ping("left", "10.4.0.2")} > /dev/null
      ip netns exec right wg show wg0 transfer | cut -f 2
    `);
    // A handshake of 148 bytes and the ping's 128.
    assert.ok(Number(seen) >= 276, `the peer received ${seen} bytes`);
  });

  for (const kind of ["vxlan", "geneve"]) {
    it(`carry a ping through ${kind}`, async () => {
      const local = (address: string) => (kind === "vxlan" ? `local ${address} dstport 4789` : "");
      await guest.sh(`
        ip -n left link add tunnel type ${kind} id 42 remote 10.3.0.2 ${local("10.3.0.1")}
        ip -n right link add tunnel type ${kind} id 42 remote 10.3.0.1 ${local("10.3.0.2")}
        ip -n left addr add 10.5.0.1/24 dev tunnel; ip -n left link set tunnel up
        ip -n right addr add 10.5.0.2/24 dev tunnel; ip -n right link set tunnel up
        ${ping("left", "10.5.0.2")}
        for end in left right; do ip -n $end link del tunnel; done
      `);
    });
  }
});

describe("interfaces", () => {
  it("of a bridge pass packets between its veth ports", async () => {
    const ports = await guest.sh(`
      ip link add br0 type bridge; ip link set br0 up
      for n in 1 2; do
        ip netns add port$n
        ip link add port$n type veth peer name eth0 netns port$n
        ip link set port$n master br0 up
        ip -n port$n addr add 10.6.0.$n/24 dev eth0; ip -n port$n link set eth0 up
      done
      ${ping("port1", "10.6.0.2")} > /dev/null
      ls /sys/class/net/br0/brif
    `);
    assert.equal(ports, "port1\nport2");
  });

  for (const [kind, mode] of [
    ["macvlan", "bridge"],
    ["ipvlan", "l2"],
    ["ipvlan", "l3s"],
  ]) {
    it(`of ${kind} in ${mode} mode share one parent`, async () => {
      await guest.sh(`
        ip link add parent type dummy; ip link set parent up
        for n in 1 2; do
          ip netns add child$n
          ip link add link parent name child netns child$n type ${kind} mode ${mode}
          ip -n child$n addr add 10.7.0.$n/24 dev child; ip -n child$n link set child up
        done
        ${ping("child1", "10.7.0.2")}
        ip netns del child1; ip netns del child2; ip link del parent
      `);
    });
  }

  it("of tun give their packets to a program", async () => {
    assert.equal(await guest.perl("tun-packet.pl"), "protocol 1 type 8 from 10.11.0.1 to 10.11.0.2");
  });

  it("of tun and their device are for every user, as udev makes them", async () => {
    assert.equal(
      await guest.sh("for device in /dev/net/tun /dev/fuse; do : <> $device && echo open; done", {
        user: "nobody",
      }),
      "open\nopen",
    );
  });
});
