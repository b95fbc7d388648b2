//! What the guest uses, from /proc and /sys.

use std::fs;

use crate::grpc::Call;
use crate::proto::{StatsRequest, StatsResponse};

/// USER_HZ: fixed by the kernel's ABI.
const TICK_US: u64 = 10_000;
const SECTOR: u64 = 512;

pub async fn stats(call: Call) {
    call.unary(|_: StatsRequest| async { Ok(read()) }).await;
}

fn read() -> StatsResponse {
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let memory = text("/proc/meminfo");
    let (cpu_user_us, cpu_system_us) = cpu(&text("/proc/stat"));
    let (net_rx_bytes, net_tx_bytes) = network(&text("/proc/net/dev"));
    let (block_read_bytes, block_write_bytes) = blocks(&text("/proc/diskstats"));
    let mut stats = StatsResponse {
        memory_total_bytes: meminfo(&memory, "MemTotal:"),
        memory_available_bytes: meminfo(&memory, "MemAvailable:"),
        cpu_user_us,
        cpu_system_us,
        net_rx_bytes,
        net_tx_bytes,
        block_read_bytes,
        block_write_bytes,
        processes: processes(),
        ..Default::default()
    };
    if let Ok(root) = rustix::fs::statvfs("/") {
        stats.root_total_bytes = root.f_blocks * root.f_frsize;
        stats.root_used_bytes = (root.f_blocks - root.f_bfree) * root.f_frsize;
    }
    stats
}

fn meminfo(text: &str, name: &str) -> u64 {
    let kib = text.lines().find_map(|line| {
        line.strip_prefix(name)?
            .split_whitespace()
            .next()?
            .parse::<u64>()
            .ok()
    });
    kib.unwrap_or(0) * 1024
}

/// User (with nice) and system (with interrupts) time of all processors.
fn cpu(text: &str) -> (u64, u64) {
    let Some(line) = text.lines().find_map(|line| line.strip_prefix("cpu ")) else {
        return (0, 0);
    };
    let ticks: Vec<u64> = line
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    let sum = |fields: &[usize]| fields.iter().filter_map(|&at| ticks.get(at)).sum::<u64>() * TICK_US;
    (sum(&[0, 1]), sum(&[2, 5, 6]))
}

fn network(text: &str) -> (u64, u64) {
    let mut total = (0, 0);
    for line in text.lines() {
        let Some((name, counters)) = line.split_once(':') else {
            continue;
        };
        if name.trim() == "lo" {
            continue;
        }
        let mut counters = counters
            .split_whitespace()
            .map(|field| field.parse::<u64>().unwrap_or(0));
        total.0 += counters.next().unwrap_or(0);
        total.1 += counters.nth(7).unwrap_or(0);
    }
    total
}

/// Whole virtio disks only: partitions and the joined root would count the same bytes again.
fn blocks(text: &str) -> (u64, u64) {
    let mut total = (0, 0);
    for line in text.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let Some(name) = fields.get(2) else { continue };
        let disk = name.strip_prefix("vd").or_else(|| name.strip_prefix("sd"));
        if disk.is_some_and(|letters| letters.bytes().all(|byte| byte.is_ascii_lowercase())) {
            let number = |at: usize| {
                fields
                    .get(at)
                    .and_then(|field| field.parse::<u64>().ok())
                    .unwrap_or(0)
            };
            total.0 += number(5) * SECTOR;
            total.1 += number(9) * SECTOR;
        }
    }
    total
}

fn processes() -> u32 {
    let Ok(entries) = fs::read_dir("/proc") else {
        return 0;
    };
    let numbers = entries.flatten().filter(|entry| {
        let name = entry.file_name();
        name.as_encoded_bytes().iter().all(u8::is_ascii_digit)
            // Kernel threads have no memory of their own, and no command line.
            && fs::read(entry.path().join("cmdline")).is_ok_and(|line| !line.is_empty())
    });
    u32::try_from(numbers.count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_memory_and_processors() {
        assert_eq!(
            meminfo("MemTotal:  100 kB\nMemAvailable: 7 kB\n", "MemAvailable:"),
            7168
        );
        assert_eq!(meminfo("", "MemTotal:"), 0);
        assert_eq!(
            cpu("cpu  10 1 5 900 0 2 3 0 0 0\ncpu0 1 1 1\n"),
            (110_000, 100_000)
        );
    }

    #[test]
    fn sums_links_but_not_loopback() {
        let text = "Inter-| Receive\n face |bytes\n  lo: 5 0 0 0 0 0 0 0 5 0\n\
            eth0: 100 1 0 0 0 0 0 0 200 2\neth1:1 1 0 0 0 0 0 0 2 2\n";
        assert_eq!(network(text), (101, 202));
    }

    #[test]
    fn sums_disks_but_not_what_lies_on_them() {
        let text = " 254 0 vda 1 0 10 0 1 0 20 0\n 254 1 vda1 1 0 99 0 1 0 99 0\n 253 0 dm-0 1 0 99 0 1 0 99 0\n\
            254 16 vdb 1 0 1 0 1 0 2 0\n";
        assert_eq!(blocks(text), (11 * 512, 22 * 512));
    }
}
