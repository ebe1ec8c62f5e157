//! The files of a case that has parameters, filled in.
//!
//! | written | becomes |
//! | --- | --- |
//! | `sensors = "${sensors}"` | `sensors = 1000`: a reference that is all of a text becomes the value, of its kind |
//! | `INTERVAL '${size}'` | `INTERVAL '1s'`: within a text, its digits or letters |
//! | `${MQTT_PORT}` | stays: names that begin with a capital are filled in by the engine |
//! | `# for plc in 0..${plcs}` … `# end` | the lines between, once for each number; `${plc}` is the number |
//!
//! So `case.toml` and `pipeline.toml` are TOML before and after, and register maps and loop tables may be as long as a
//! parameter says. Blocks may stand in blocks.

use std::collections::BTreeSet;

use lineside_model::{Error, Result};

use super::parameters::{Parameters, Value, unknown};

const FOR: &str = "# for ";
const END: &str = "# end";
/// So many lines at most are made of the lines of a file.
const LINES_MAX: usize = 1_000_000;

/// Fills in the files of a case, and keeps which parameters they name.
#[derive(Debug)]
pub(super) struct Filler<'a> {
    parameters: &'a Parameters,
    /// The numbers of the blocks that are being filled in, the inner ones last.
    numbers: Vec<(String, i64)>,
    used: BTreeSet<String>,
    lines: usize,
}

impl<'a> Filler<'a> {
    pub(super) fn new(parameters: &'a Parameters) -> Self {
        Self { parameters, numbers: Vec::new(), used: BTreeSet::new(), lines: 0 }
    }

    /// A text with all references filled in.
    ///
    /// # Errors
    /// A reference names nothing, or a block does not end; the error begins with the line: `line 12: there is no …`.
    pub(super) fn fill(&mut self, text: &str) -> Result<String> {
        let lines = text.lines().collect::<Vec<_>>();
        let mut filled = String::with_capacity(text.len());
        self.lines = 0;
        self.block(&lines, 0, &mut filled)?;
        Ok(filled)
    }

    /// The first parameter that was named nowhere.
    pub(super) fn unused(&self) -> Option<&'a str> {
        self.parameters.keys().map(String::as_str).find(|name| !self.used.contains(*name))
    }

    /// Fills in lines, the first of which has `first` lines before it.
    fn block(&mut self, lines: &[&str], first: usize, filled: &mut String) -> Result<()> {
        let mut at = 0;
        while let Some(line) = lines.get(at) {
            let of_the_line = |error: Error| error.of(format_args!("line {}", first + at + 1));
            if let Some(head) = line.trim().strip_prefix(FOR) {
                let (name, from, to) = self.head(head).map_err(of_the_line)?;
                let length = block_length(&lines[at + 1..])
                    .ok_or_else(|| of_the_line(Error::user(format!("a block \"{}\" has no \"{END}\"", line.trim()))))?;
                let body = &lines[at + 1..at + 1 + length];
                for number in from..to {
                    self.count().map_err(of_the_line)?;
                    self.numbers.push((name.clone(), number));
                    self.block(body, first + at + 1, filled)?;
                    self.numbers.pop();
                }
                at += length + 2;
                continue;
            }
            if line.trim() == END {
                return Err(of_the_line(Error::user(format!("\"{END}\" ends no block"))));
            }
            self.count().map_err(of_the_line)?;
            self.line(line, filled).map_err(of_the_line)?;
            filled.push('\n');
            at += 1;
        }
        Ok(())
    }

    /// Counts lines and turns of blocks, so that a slip of the keyboard does not fill the disk.
    fn count(&mut self) -> Result<()> {
        self.lines += 1;
        if self.lines > LINES_MAX {
            return Err(Error::user(format!("this makes more than {LINES_MAX} lines")));
        }
        Ok(())
    }

    /// Name, first number and end of `plc in 0..${plcs}`.
    fn head(&mut self, head: &str) -> Result<(String, i64, i64)> {
        let mut plain = String::new();
        self.line(head, &mut plain)?;
        let parsed = plain.split_once(" in ").and_then(|(name, range)| {
            let (from, to) = range.split_once("..")?;
            Some((name.trim().to_owned(), from.trim().parse().ok()?, to.trim().parse().ok()?))
        });
        parsed.ok_or_else(|| {
            Error::user(format!("\"{FOR}{plain}\" is no block"))
                .hint("write \"# for plc in 0..${plcs}\", and \"# end\"")
        })
    }

    fn line(&mut self, line: &str, filled: &mut String) -> Result<()> {
        let mut rest = line;
        while let Some(at) = rest.find('$') {
            let (before, from) = rest.split_at(at);
            filled.push_str(before);
            // `$$` is a dollar sign for the engine; what begins with a capital is for it as well.
            if let Some(after) = from.strip_prefix("$$") {
                filled.push_str("$$");
                rest = after;
                continue;
            }
            let name = from.strip_prefix("${").filter(|name| !name.starts_with(|c: char| c.is_ascii_uppercase()));
            let Some((name, after)) = name.and_then(|name| name.split_once('}')) else {
                filled.push('$');
                rest = &from[1..];
                continue;
            };
            let value = self.value(name)?;
            let quoted = filled.ends_with('"') && after.starts_with('"');
            let in_a_block_of_text = filled.ends_with("\"\"") || after.starts_with("\"\"");
            if quoted && !in_a_block_of_text {
                filled.pop();
                filled.push_str(&value.literal());
                rest = &after[1..];
            } else {
                filled.push_str(&value.to_string());
                rest = after;
            }
        }
        filled.push_str(rest);
        Ok(())
    }

    fn value(&mut self, name: &str) -> Result<Value> {
        if let Some((_, number)) = self.numbers.iter().rev().find(|(known, _)| known == name) {
            return Ok(Value::Whole(*number));
        }
        let Some(value) = self.parameters.get(name) else {
            let numbers = self.numbers.iter().map(|(name, _)| name.as_str());
            return Err(unknown(name, self.parameters.keys().map(String::as_str).chain(numbers)));
        };
        self.used.insert(name.to_owned());
        Ok(value.clone())
    }
}

/// How many lines there are before the end of a block whose first line has been read.
fn block_length(lines: &[&str]) -> Option<usize> {
    let mut depth = 1;
    lines.iter().position(|line| {
        depth += i32::from(line.trim().starts_with(FOR)) - i32::from(line.trim() == END);
        depth == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> Parameters {
        let of = |name: &str, value| (name.to_owned(), value);
        Parameters::from([
            of("plcs", Value::Whole(2)),
            of("rate", Value::Number(500.0)),
            of("size", Value::Text("10s".to_owned())),
        ])
    }

    fn filled(text: &str) -> Result<String> {
        Filler::new(&parameters()).fill(text)
    }

    #[test]
    fn a_reference_that_is_all_of_a_text_becomes_the_value() {
        let text = "rate = \"${rate}\"\nsize = \"${size}\"\nplcs = \"${plcs}\" # ${plcs}\n";
        assert_eq!(filled(text).expect("filled"), "rate = 500.0\nsize = \"10s\"\nplcs = 2 # 2\n");
    }

    #[test]
    fn within_a_text_it_is_its_digits_and_what_is_the_engines_stays() {
        let text = "url = \"mqtt://127.0.0.1:${MQTT_PORT}\"\nsql = \"INTERVAL '${size}'; ${rate}/s for $$5 or $6\"\n";
        let wanted = "url = \"mqtt://127.0.0.1:${MQTT_PORT}\"\nsql = \"INTERVAL '10s'; 500/s for $$5 or $6\"\n";
        assert_eq!(filled(text).expect("filled"), wanted);
    }

    #[test]
    fn a_block_is_repeated_and_may_stand_in_another() {
        let text =
            "a\n# for plc in 0..${plcs}\nurl = \"${PLC_PORT_${plc}}\"\n# for r in 5..7\n${plc},${r}\n# end\n# end\nb\n";
        let wanted = "a\nurl = \"${PLC_PORT_0}\"\n0,5\n0,6\nurl = \"${PLC_PORT_1}\"\n1,5\n1,6\nb\n";
        assert_eq!(filled(text).expect("filled"), wanted);
        assert_eq!(filled("# for n in 3..3\n${n}\n# end\n").expect("filled"), "");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let told = |text| filled(text).expect_err("it is wrong").to_string();
        assert_eq!(told("a\nn = \"${plc}\"\n"), "line 2: there is no parameter \"plc\"; there are plcs, rate, size");
        let wanted = "line 2: there is no parameter \"m\"; there are plcs, rate, size, n";
        assert_eq!(told("# for n in 0..2\n${m}\n# end"), wanted);
        assert_eq!(told("a\n# for n in 0..2\nb"), "line 2: a block \"# for n in 0..2\" has no \"# end\"");
        assert_eq!(told("# end"), "line 1: \"# end\" ends no block");
        assert_eq!(told("# for n to 5\n# end"), "line 1: \"# for n to 5\" is no block");
        assert_eq!(told("# for n in 0..9999999\nx\n# end"), "line 1: this makes more than 1000000 lines");
    }

    #[test]
    fn a_parameter_that_is_named_nowhere_is_found() {
        let parameters = parameters();
        let mut filler = Filler::new(&parameters);
        filler.fill("${plcs} ${size}").expect("filled");
        assert_eq!(filler.unused(), Some("rate"));
        filler.fill("${rate}").expect("filled");
        assert_eq!(filler.unused(), None);
    }
}
