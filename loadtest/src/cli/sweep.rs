//! `lineside-loadtest sweep CASE --over sensors=100,1000,10000`: how cost grows with a parameter.

use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use lineside_loadtest::report;
use lineside_loadtest::sweep::Sweep as Curves;
use lineside_model::{Error, Result};

use super::Which;

/// Run a case at several values of one of its parameters, each in a fresh engine, and tell how its cost grows.
#[derive(Debug, Args)]
pub(super) struct Sweep {
    #[command(flatten)]
    which: Which,
    /// The parameter and its values, such as sensors=100,1000,10000.
    #[arg(long, value_name = "PARAMETER=V1,V2,…")]
    over: Over,
    /// Runs of each value; the values take turns, and the median is told.
    #[arg(long, value_name = "N", default_value_t = 1)]
    runs: usize,
    /// The engine. Default: beside this program.
    #[arg(long, value_name = "FILE")]
    lineside: Option<PathBuf>,
    /// Write all runs to a file, for programs.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write them to a file as a page with plots.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the plots alone, to put into another page.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// A parameter and its values.
#[derive(Clone, Debug)]
struct Over {
    parameter: String,
    values: Vec<String>,
}

impl FromStr for Over {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (parameter, values) = text.split_once('=').ok_or("write sensors=100,1000,10000")?;
        let values = values.split(',').map(|value| value.trim().to_owned()).collect::<Vec<_>>();
        if parameter.is_empty() || values.iter().any(String::is_empty) {
            return Err("write sensors=100,1000,10000".to_owned());
        }
        Ok(Self { parameter: parameter.trim().to_owned(), values })
    }
}

impl Sweep {
    /// Runs them all; whether each value could be measured.
    pub(super) fn run(self) -> Result<bool> {
        let Over { parameter, values } = self.over;
        if self.runs == 0 {
            return Err(Error::user("option \"--runs\" expects at least 1, found 0"));
        }
        if parameter == "rate" && self.which.rate.is_some() {
            return Err(Error::user("option \"--rate\" would set what \"--over rate=…\" varies"));
        }
        let cases = values.iter().map(|value| self.which.open_at(&parameter, value)).collect::<Result<Vec<_>>>()?;
        let lineside = super::engine(self.lineside)?;
        let mut curves = Curves::new(&parameter, &cases)?;
        let all = self.runs * cases.len();
        for at in 0..all {
            let place = at % cases.len();
            writeln!(std::io::stderr(), "run {} of {all}: {parameter} {}", at + 1, values[place]).ok();
            match super::run_once(&cases[place], &lineside) {
                Ok(outcome) => curves.add(place, &outcome),
                // What breaks down at one value may well run at the next.
                Err(error) if error.is_retryable() => {
                    writeln!(std::io::stderr(), "not measured: {error}").ok();
                    curves.add_failed(place, &error);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(file) = self.json {
            super::write_json(&file, &curves)?;
        }
        if let Some(file) = self.html {
            super::write(&file, &report::curves_html(&curves))?;
        }
        if let Some(file) = self.svg {
            super::write(&file, &report::curves_svg(&curves))?;
        }
        super::print(&curves.to_string());
        Ok(curves.is_whole())
    }
}
