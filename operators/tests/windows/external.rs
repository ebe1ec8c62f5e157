//! Aggregates whose state is kept by a function from elsewhere: here one that writes values one behind the other.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, Float64Type};
use expect_test::expect;
use lineside_model::{Result, Span};
use lineside_operators::aggregate::AggregateFunction::{self, FirstValue};
use lineside_operators::aggregate::{External, ExternalAggregate, ExternalGroups};
use lineside_operators::window::MAX_GROUPS;
use lineside_operators::window::keyed::{self, KeyedKind, KeyedSpec};

use crate::{SENSOR, TS, aggregates, by_sensor, check, check_planned, hop, readings, tumble};

#[derive(Debug)]
struct Written;

#[derive(Default)]
struct Texts(Vec<Option<String>>);

impl ExternalAggregate for Written {
    fn name(&self) -> &str {
        "written"
    }

    fn identity(&self) -> &str {
        "written(Float64)"
    }

    fn result_type(&self) -> &DataType {
        &DataType::Utf8
    }

    fn state_types(&self) -> &[DataType] {
        &[DataType::Utf8]
    }

    fn keeps(&self) -> &str {
        "every value of the open windows"
    }

    fn groups(&self) -> Result<Box<dyn ExternalGroups>> {
        Ok(Box::new(Texts::default()))
    }
}

impl Texts {
    fn add(&mut self, texts: impl Iterator<Item = Option<String>>, groups: &[usize], count: usize) {
        assert!(count >= self.0.len(), "groups never become fewer");
        self.0.resize(count, None);
        for (text, group) in texts.zip(groups) {
            if let Some(text) = text {
                self.0[*group].get_or_insert_default().push_str(&text);
            }
        }
    }
}

impl ExternalGroups for Texts {
    fn update(&mut self, values: ArrayRef, groups: &[usize], count: usize) -> Result<()> {
        let values = values.as_primitive::<Float64Type>();
        self.add(values.iter().map(|value| value.map(|value| value.to_string())), groups, count);
        Ok(())
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        assert_eq!(state[0].len(), groups.len());
        self.add(state[0].as_string::<i32>().iter().map(|text| text.map(str::to_owned)), groups, count);
        Ok(())
    }

    fn into_state(mut self: Box<Self>, count: usize) -> Result<Vec<ArrayRef>> {
        self.add(std::iter::empty(), &[], count);
        Ok(vec![Arc::new(StringArray::from(self.0))])
    }

    fn into_results(self: Box<Self>, count: usize) -> Result<ArrayRef> {
        Ok(self.into_state(count)?.remove(0))
    }
}

fn functions() -> [AggregateFunction; 2] {
    [AggregateFunction::External(External(Arc::new(Written))), FirstValue]
}

const SCRIPT: &str = "1 a 1
    2 a 2
    2 b 7
    4 a -
    restart
    5 a 3
    6 a 4
    watermark 6
    8 a 5
    9 b 8
    restart
    13 a 6
    watermark 12
    14 a 9
    end";

#[test]
fn it_runs_over_windows_of_time() {
    check(
        by_sensor(tumble(5), &functions()),
        SCRIPT,
        expect![[r#"
            watermark 6:
              [0, 5) a 3 12 1.0
              [0, 5) b 1 7 7.0
            watermark 12:
              [5, 10) a 3 345 3.0
              [5, 10) b 1 8 8.0
            end:
              [10, 15) a 2 69 6.0
            open 0
        "#]],
    );
    check(
        by_sensor(hop(6, 2), &functions()),
        SCRIPT,
        expect![[r#"
            watermark 6:
              [-4, 2) a 1 1 1.0
              [-2, 4) a 2 12 1.0
              [-2, 4) b 1 7 7.0
              [0, 6) a 4 123 1.0
              [0, 6) b 1 7 7.0
            watermark 12:
              [2, 8) a 4 234 2.0
              [2, 8) b 1 7 7.0
              [4, 10) a 4 345 3.0
              [4, 10) b 1 8 8.0
              [6, 12) a 2 45 4.0
              [6, 12) b 1 8 8.0
            end:
              [8, 14) a 2 56 5.0
              [8, 14) b 1 8 8.0
              [10, 16) a 2 69 6.0
              [12, 18) a 2 69 6.0
              [14, 20) a 1 9 9.0
            open 0
        "#]],
    );
}

#[test]
fn it_runs_over_windows_of_each_key() {
    let kinds = [
        KeyedKind::Count { size: 3, slide: 1, gap: Some(Span::from_secs(60)) },
        KeyedKind::Session { gap: Span::from_secs(3), max_size: None },
    ];
    let [count, session] = kinds.map(|kind| {
        let aggregates = aggregates(&functions());
        let spec = KeyedSpec {
            kind,
            time: TS,
            time_delay: Span::ZERO,
            keys: vec![SENSOR],
            kept: None,
            aggregates,
            max_groups: MAX_GROUPS,
        };
        keyed::plan(&spec, &readings()).expect("the plan is sound")
    });
    check_planned(
        &count,
        SCRIPT,
        &expect![[r#"
            watermark 6:
              [1, 4) a 3 12 1.0
              [2, 5) a 3 23 2.0
            watermark 12:
              [4, 6) a 3 34 3.0
              [5, 8) a 3 345 3.0
            end:
              [2, 9) b 2 78 7.0
              [6, 13) a 3 456 4.0
              [8, 14) a 3 569 5.0
            open 0
        "#]],
    );
    check_planned(
        &session,
        SCRIPT,
        &expect![[r#"
            watermark 6:
              [2, 5) b 1 7 7.0
            watermark 12:
              [1, 11) a 6 12345 1.0
            end:
              [9, 12) b 1 8 8.0
              [13, 17) a 2 69 6.0
            open 0
        "#]],
    );
}
