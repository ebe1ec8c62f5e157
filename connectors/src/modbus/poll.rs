//! The poll plan: which requests read all tags, and whether they fit into their periods.
//!
//! Tags of one unit and table that lie close together are read with one request, as long as the request is not larger than
//! the device takes and does not read too many registers in vain. A tag is never cut in two, so both halves of a 32-bit value
//! are of one moment.

use lineside_model::Span;

use super::frame::{READ_BITS, READ_REGISTERS};
use super::map::{Table, Tag};

/// What a device takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Most registers of one request; sixteen times as many bits.
    pub(crate) registers: u16,
    /// Most registers read in vain between two tags; sixteen times as many bits.
    pub(crate) gap: u16,
}

/// One request of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) unit: u8,
    pub(crate) table: Table,
    pub(crate) start: u16,
    pub(crate) count: u16,
    /// The tags it reads, as indices into the map, by address.
    pub(crate) tags: Vec<usize>,
}

/// The tags that are read together, every so often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PollClass {
    pub(crate) name: String,
    pub(crate) period: Span,
    pub(crate) blocks: Vec<Block>,
}

/// How long the requests keep the connection busy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BusTime {
    /// What a request and its answer are expected to take.
    pub(crate) latency: Span,
    /// Least time between two requests.
    pub(crate) spacing: Span,
}

impl Limits {
    fn most(self, table: Table) -> u32 {
        if table.is_bits() {
            (u32::from(self.registers) * 16).min(READ_BITS.into())
        } else {
            self.registers.min(READ_REGISTERS).into()
        }
    }

    fn gap(self, table: Table) -> u32 {
        u32::from(self.gap) * if table.is_bits() { 16 } else { 1 }
    }
}

/// The requests that read `chosen` (indices into `tags`), by unit, table and address.
pub(crate) fn blocks(tags: &[Tag], chosen: &[usize], limits: Limits) -> Vec<Block> {
    let mut sorted = chosen.to_vec();
    sorted.sort_by_key(|&n| (tags[n].unit_id, tags[n].table, tags[n].start, tags[n].end()));
    let mut blocks = Vec::<Block>::new();
    for n in sorted {
        let tag = &tags[n];
        if let Some(block) = blocks.last_mut().filter(|block| (block.unit, block.table) == (tag.unit_id, tag.table)) {
            let (start, end) = (u32::from(block.start), block.end());
            let longer = end.max(tag.end()) - start;
            if u32::from(tag.start) <= end + limits.gap(tag.table) && longer <= limits.most(tag.table) {
                block.count = u16::try_from(longer).unwrap_or(u16::MAX);
                block.tags.push(n);
                continue;
            }
        }
        blocks.push(Block::of(tags, vec![n]));
    }
    blocks
}

impl Block {
    /// The smallest block that has these tags (at least one; all of one unit and table; by address).
    fn of(all: &[Tag], tags: Vec<usize>) -> Self {
        let first = &all[tags[0]];
        let end = tags.iter().map(|&n| all[n].end()).max().unwrap_or(0);
        let count = u16::try_from(end - u32::from(first.start)).unwrap_or(u16::MAX);
        Self { unit: first.unit_id, table: first.table, start: first.start, count, tags }
    }

    fn end(&self) -> u32 {
        u32::from(self.start) + u32::from(self.count)
    }

    fn range(&self) -> String {
        if self.count > 1 { format!("{} to {}", self.start, self.end() - 1) } else { self.start.to_string() }
    }

    /// Two smaller blocks with the same tags, cut at the widest gap, or near the middle if there is none. `None` if there
    /// is nothing to cut: one tag, or several names for the same registers.
    pub(crate) fn split(&self, all: &[Tag]) -> Option<(Self, Self)> {
        let mut reach = 0;
        let mut best = None;
        for (n, pair) in self.tags.windows(2).enumerate() {
            let (before, after) = (&all[pair[0]], &all[pair[1]]);
            reach = before.end().max(reach);
            if (before.start, before.end()) == (after.start, after.end()) {
                continue;
            }
            let gap = i64::from(after.start) - i64::from(reach);
            let off_middle = (2 * (n + 1)).abs_diff(self.tags.len());
            if best.is_none_or(|(widest, least, _)| gap > widest || gap == widest && off_middle < least) {
                best = Some((gap, off_middle, n + 1));
            }
        }
        let (left, right) = self.tags.split_at(best?.2);
        Some((Self::of(all, left.to_vec()), Self::of(all, right.to_vec())))
    }
}

impl PollClass {
    fn busy(&self, bus: BusTime) -> Span {
        let each = bus.latency.micros().saturating_add(bus.spacing.micros());
        Span::from_micros(each.saturating_mul(i64::try_from(self.blocks.len()).unwrap_or(i64::MAX)))
    }
}

/// The plan in words, with a warning if the requests do not fit into their periods.
pub(crate) fn explain(classes: &[PollClass], tags: &[Tag], bus: BusTime) -> Vec<String> {
    let mut lines = Vec::new();
    let mut load = 0.0;
    for class in classes {
        let busy = class.busy(bus);
        let share = busy.as_secs_f64() / class.period.as_secs_f64();
        load += share;
        lines.push(format!(
            "poll class {} every {}: {} in {}, about {busy} of bus time ({:.1} %)",
            class.name,
            class.period,
            plural(class.blocks.iter().map(|block| block.tags.len()).sum(), "tag"),
            plural(class.blocks.len(), "request"),
            share * 100.0,
        ));
        for block in &class.blocks {
            let used = block.tags.iter().flat_map(|&n| u32::from(tags[n].start)..tags[n].end());
            let used = used.collect::<std::collections::BTreeSet<_>>().len();
            lines.push(format!(
                "  unit {} {} {}: {} ({} in vain), {}",
                block.unit,
                block.table.word(),
                block.range(),
                plural(block.count.into(), if block.table.is_bits() { "bit" } else { "register" }),
                usize::from(block.count).saturating_sub(used),
                plural(block.tags.len(), "tag"),
            ));
        }
    }
    let spaced = if bus.spacing > Span::ZERO { format!(" plus {} spacing", bus.spacing) } else { String::new() };
    lines.push(format!("bus load {:.1} %, at {} a request{spaced}, one at a time", load * 100.0, bus.latency));
    if load > 1.0 {
        lines.push(format!(
            "warning: the polls need {:.0} % of the time there is, so some will be skipped; poll less often, widen max_gap, or \
             split the tags over two connections",
            load * 100.0
        ));
    }
    lines
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modbus::map::{Defaults, RegisterMap};
    use expect_test::expect;
    use proptest::prelude::*;

    fn tags(rows: &str) -> Vec<Tag> {
        let text = format!("name,unit_id,table,address,type\n{rows}");
        RegisterMap::read("m".as_ref(), &text, Defaults { unit: 1, base: 0 }).expect("good").tags
    }

    fn all(tags: &[Tag], registers: u16, gap: u16) -> Vec<Block> {
        blocks(tags, &(0..tags.len()).collect::<Vec<_>>(), Limits { registers, gap })
    }

    const OVEN: &str = "a,1,input,0,i16\nb,1,input,2,u16\nc,1,input,10,f32\nd,1,input,20,u32\ne,2,input,3,i16\n\
                        f,1,coil,0,\ng,1,coil,130,\nh,1,holding,0,u16\n";

    #[test]
    fn the_plan_says_what_is_asked_and_whether_it_fits() {
        let tags = tags(OVEN);
        let class = PollClass { name: "fast".into(), period: Span::from_millis(10), blocks: all(&tags, 125, 8) };
        let bus = BusTime { latency: Span::from_millis(2), spacing: Span::from_millis(1) };
        expect![[r#"
            poll class fast every 10ms: 8 tags in 5 requests, about 15ms of bus time (150.0 %)
              unit 1 coil 0: 1 bit (0 in vain), 1 tag
              unit 1 coil 130: 1 bit (0 in vain), 1 tag
              unit 1 input 0 to 21: 22 registers (16 in vain), 4 tags
              unit 1 holding 0: 1 register (0 in vain), 1 tag
              unit 2 input 3: 1 register (0 in vain), 1 tag
            bus load 150.0 %, at 2ms a request plus 1ms spacing, one at a time
            warning: the polls need 150 % of the time there is, so some will be skipped; poll less often, widen max_gap, or split the tags over two connections"#]].assert_eq(&explain(&[class], &tags, bus).join("\n"));
    }

    #[test]
    fn a_refused_block_is_cut_at_its_widest_gap_first() {
        let tags = tags("a,1,input,0,i16\nb,1,input,2,u16\nc,1,input,10,f32\nd,1,input,10,i32\n");
        let whole = all(&tags, 125, 8).remove(0);
        let (left, right) = whole.split(&tags).expect("a gap");
        assert_eq!((left.start, left.count, right.start, right.count), (0, 3, 10, 2));
        assert_eq!(right.split(&tags), None, "two names for the same registers are refused together");
        let (a, b) = left.split(&tags).expect("a gap");
        assert_eq!((a.tags, b.tags), (vec![0], vec![1]));
    }

    proptest! {
        #[test]
        fn every_tag_is_read_once_whole_and_within_the_limits(
            places in prop::collection::vec((1u8..3, 0usize..4, 0u16..400, 0usize..3), 1..60),
            registers in 4u16..126,
            gap in 0u16..20,
        ) {
            let rows = places.iter().enumerate().map(|(n, (unit, table, start, kind))| {
                let table = ["coil", "discrete", "input", "holding"][*table];
                let kind = if table == "coil" || table == "discrete" { "bool" } else { ["u16", "f32", "f64"][*kind] };
                format!("t{n},{unit},{table},{start},{kind}\n")
            });
            let tags = tags(&rows.collect::<String>());
            let limits = Limits { registers, gap };
            let plan = all(&tags, registers, gap);
            let mut seen = plan.iter().flat_map(|block| block.tags.clone()).collect::<Vec<_>>();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..tags.len()).collect::<Vec<_>>());
            let mut left = plan;
            while let Some(block) = left.pop() {
                prop_assert!(u32::from(block.count) <= limits.most(block.table));
                for &n in &block.tags {
                    prop_assert!(tags[n].start >= block.start && tags[n].end() <= block.end());
                    prop_assert_eq!((tags[n].unit_id, tags[n].table), (block.unit, block.table));
                }
                if let Some((a, b)) = block.split(&tags) {
                    prop_assert_eq!([&a.tags[..], &b.tags[..]].concat(), block.tags);
                    left.extend([a, b]);
                }
            }
        }
    }
}
