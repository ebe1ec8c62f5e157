//! What a run ran on, as the kernel tells it.

use std::fs;

use crate::apart::set_apart;
use crate::outcome::Machine;

/// This machine; what the kernel does not tell stays empty.
pub(crate) fn machine(engine: String) -> Machine {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    Machine {
        processor: field(&read("/proc/cpuinfo"), "model name").to_owned(),
        cores: std::thread::available_parallelism().map_or(0, usize::from),
        memory_bytes: kibibytes(field(&read("/proc/meminfo"), "MemTotal")),
        kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        // Tried on a thread that ends at once.
        realtime: std::thread::spawn(set_apart).join().unwrap_or(false),
        engine,
    }
}

/// The value of the first line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.into_iter().find(|(found, _)| found.trim() == name).map_or("", |(_, value)| value.trim())
}

fn kibibytes(text: &str) -> u64 {
    text.trim_end_matches(" kB").parse::<u64>().map_or(0, |kibibytes| kibibytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_several_processors_is_told() {
        let text = "processor\t: 0\nmodel name\t: Some 7 CPU\n\nprocessor\t: 1\nmodel name\t: Another\n";
        assert_eq!(field(text, "model name"), "Some 7 CPU");
        assert_eq!(field(text, "speed"), "");
        assert_eq!(kibibytes("2048 kB"), 2 << 20);
    }
}
