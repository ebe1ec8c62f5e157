//! In which order queries and operators are planned: each after all that it reads from. Names that read each other in a
//! circle have no order and are told as such.

use std::collections::BTreeMap;

/// What reads what: for each name the names it reads. Names that are read but not in the map (sources) have no inputs.
pub(super) type Reads<'a> = BTreeMap<&'a str, Vec<String>>;

/// An order of planning, and the circles that stand in its way.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    /// Every name that is in no circle and reads from none, after all that it reads from.
    pub(super) sequence: Vec<String>,
    /// Circles, each beginning with the name that comes first.
    pub(super) circles: Vec<Vec<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    Open,
    Done,
    Circular,
}

/// Orders names; `names` is the order in which they are begun with.
pub(super) fn order(names: &[&str], reads: &Reads<'_>) -> Order {
    let mut order = Order::default();
    let mut marks = BTreeMap::<String, Mark>::new();
    for name in names {
        // A path of open names and how many of its inputs were visited: no recursion, so that no file can exhaust the stack.
        let mut path = vec![((*name).to_owned(), 0)];
        while let Some((name, next)) = path.last_mut() {
            match marks.get(name.as_str()).copied() {
                Some(Mark::Done | Mark::Circular) if *next == 0 => {
                    path.pop();
                    continue;
                }
                Some(Mark::Open | Mark::Done | Mark::Circular) => {}
                None => {
                    marks.insert(name.clone(), Mark::Open);
                }
            }
            let inputs = reads.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
            let Some(input) = inputs.get(*next).cloned() else {
                let circular = inputs.iter().any(|input| marks.get(input) == Some(&Mark::Circular));
                let circular = circular || marks.get(name.as_str()) == Some(&Mark::Circular);
                marks.insert(name.clone(), if circular { Mark::Circular } else { Mark::Done });
                if !circular {
                    order.sequence.push(name.clone());
                }
                path.pop();
                continue;
            };
            *next += 1;
            if !reads.contains_key(input.as_str()) {
                continue;
            }
            if let Some(at) = path.iter().position(|(open, _)| *open == input) {
                let circle = path[at..].iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
                for name in &circle {
                    marks.insert(name.clone(), Mark::Circular);
                }
                order.circles.push(circle);
            } else if !marks.contains_key(&input) {
                path.push((input, 0));
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(reads: &[(&'static str, &[&str])]) -> Order {
        let names = reads.iter().map(|(name, _)| *name).collect::<Vec<_>>();
        let reads = reads.iter().map(|(name, reads)| (*name, reads.iter().map(|&r| r.to_owned()).collect()));
        order(&names, &reads.collect())
    }

    #[test]
    fn each_comes_after_all_that_it_reads() {
        let order = ordered(&[("c", &["b", "a"]), ("b", &["a", "plc"]), ("a", &["plc"])]);
        assert_eq!(order.sequence, ["a", "b", "c"]);
        assert!(order.circles.is_empty());
    }

    #[test]
    fn a_circle_is_told_once_and_what_reads_it_is_left_out() {
        let order = ordered(&[("a", &["c"]), ("b", &["a"]), ("c", &["b"]), ("d", &["c"]), ("e", &["plc"])]);
        assert_eq!(order.circles, [["a", "c", "b"]]);
        assert_eq!(order.sequence, ["e"]);
    }

    #[test]
    fn one_that_reads_itself_is_a_circle() {
        assert_eq!(ordered(&[("a", &["a"])]).circles, [["a"]]);
    }
}
