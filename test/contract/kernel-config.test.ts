// The fragments of kiln's own kernel hold what the programs of its guests ask for, by program: the lists that Docker,
// k3s, podman, systemd, kube-proxy and Firecracker check or document. That the lines survive Kconfig is the build's to
// check, and that they work is test/e2e's.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { joinFragments, parseFragment } from "../../src/kernel/build/fragment.js";
import { CHECKOUT } from "../fixtures/assets.js";

const words = (text: string): string[] => text.trim().split(/\s+/);

const NEEDED: Readonly<Record<string, readonly string[]>> = {
  "Docker and k3s, by their check-config": words(`
    NAMESPACES NET_NS PID_NS IPC_NS UTS_NS USER_NS
    CGROUPS CGROUP_CPUACCT CGROUP_DEVICE CGROUP_FREEZER CGROUP_SCHED CPUSETS MEMCG CGROUP_PIDS CGROUP_PERF
    CGROUP_HUGETLB BLK_CGROUP BLK_DEV_THROTTLING NET_CLS_CGROUP CGROUP_NET_PRIO CFS_BANDWIDTH FAIR_GROUP_SCHED
    CGROUP_BPF KEYS POSIX_MQUEUE SECCOMP SECCOMP_FILTER SECURITY_APPARMOR
    VETH BRIDGE BRIDGE_NETFILTER BRIDGE_VLAN_FILTERING VXLAN IPVLAN MACVLAN DUMMY
    NF_NAT IP_NF_FILTER IP_NF_NAT IP_NF_MANGLE IP_NF_RAW IP_NF_TARGET_MASQUERADE IP_NF_TARGET_REJECT
    IP6_NF_FILTER IP6_NF_NAT IP6_NF_MANGLE IP6_NF_RAW IP6_NF_TARGET_MASQUERADE
    NETFILTER_XT_MARK NETFILTER_XT_MATCH_ADDRTYPE NETFILTER_XT_MATCH_BPF NETFILTER_XT_MATCH_COMMENT
    NETFILTER_XT_MATCH_CONNTRACK NETFILTER_XT_MATCH_IPVS NETFILTER_XT_MATCH_MULTIPORT NETFILTER_XT_MATCH_STATISTIC
    NETFILTER_XT_TARGET_REDIRECT
    IP_SET IP_VS IP_VS_NFCT IP_VS_PROTO_TCP IP_VS_PROTO_UDP IP_VS_RR
    EXT4_FS EXT4_FS_POSIX_ACL EXT4_FS_SECURITY OVERLAY_FS CRYPTO CRYPTO_GCM`),
  "kube-proxy and network policies": words(`
    NFT_NUMGEN NFT_FIB_INET NFT_CT NFT_NAT NFT_MASQ NFT_REJECT NFT_LIMIT NFT_LOG NFT_OBJREF NFT_COMPAT NFT_HASH
    NETFILTER_XT_SET NETFILTER_XT_CONNMARK NETFILTER_XT_MATCH_RECENT NETFILTER_XT_MATCH_PHYSDEV
    NETFILTER_XT_MATCH_NFACCT NETFILTER_XT_TARGET_NFLOG IP_VS_WRR IP_VS_SH NF_CT_NETLINK`),
  "service meshes and Cilium": words(`
    NETFILTER_XT_MATCH_OWNER NETFILTER_XT_MATCH_SOCKET NETFILTER_XT_TARGET_TPROXY NETFILTER_XT_TARGET_CT
    NET_CLS_BPF NET_ACT_BPF NET_SCH_INGRESS NET_SCH_FQ CRYPTO_USER_API_HASH PERF_EVENTS GENEVE`),
  "podman, crun and rootless containers": words(`
    FUSE_FS TUN OVERLAY_FS TMPFS_XATTR TMPFS_POSIX_ACL FHANDLE TIME_NS CHECKPOINT_RESTORE MEMFD_CREATE USERFAULTFD`),
  "systemd, by its README": words(`
    DEVTMPFS INOTIFY_USER SIGNALFD TIMERFD EPOLL UNIX SYSFS PROC_FS AUTOFS_FS CRYPTO_HMAC CRYPTO_SHA256
    CRYPTO_USER_API_HASH KCMP NET_SCHED NET_SCH_FQ_CODEL IPV6 PSI BPF_SYSCALL BPF_JIT BINFMT_MISC SYSCTL`),
  "kiln itself: disks, channel, snapshots": words(`
    VIRTIO_MMIO VIRTIO_PCI VIRTIO_BLK VIRTIO_NET VIRTIO_CONSOLE VIRTIO_BALLOON PAGE_REPORTING VIRTIO_MEM VIRTIO_FS
    HW_RANDOM_VIRTIO VIRTIO_VSOCKETS SCSI_VIRTIO DM_SNAPSHOT DM_THIN_PROVISIONING DM_VERITY EROFS_FS SQUASHFS NET_9P_FD
    9P_FS NFS_FS VMGENID PVPANIC_MMIO RANDOM_TRUST_CPU IKCONFIG_PROC SERIAL_8250_CONSOLE BLK_DEV_INITRD`),
  "pods: pressure, limits, eBPF with its JIT only": words(`
    PSI CGROUP_RDMA CGROUP_MISC BLK_CGROUP_IOCOST BPF_JIT_ALWAYS_ON BPF_UNPRIV_DEFAULT_OFF SECURITY_LANDLOCK WIREGUARD`),
};

const NEEDED_X86: readonly string[] = words(`
  KVM_GUEST PVH ACPI VIRTIO_MMIO_CMDLINE_DEVICES SERIO_I8042 KEYBOARD_ATKBD PTP_1588_CLOCK_KVM CPU_MITIGATIONS`);

describe("the kernel's fragments", () => {
  const values = new Map<string, string>();

  before(async () => {
    const read = async (name: string) =>
      parseFragment(await readFile(join(CHECKOUT, "kernel", name), "utf8"), name);
    const lines = joinFragments([await read("common.config"), await read("x86_64.config")]);
    for (const { name, value } of lines) values.set(name.replace("CONFIG_", ""), value);
  });

  for (const [who, options] of [...Object.entries(NEEDED), ["x86 virtual machines", NEEDED_X86] as const]) {
    it(`hold what is needed by ${who}`, () => {
      assert.deepEqual(
        options.filter((name) => values.get(name) !== "y"),
        [],
      );
    });
  }

  it("build nothing as a module: there is no disk of modules to mount", () => {
    assert.deepEqual(
      [...values].filter(([, value]) => value === "m"),
      [],
    );
  });
});
