//! What the README says of connectors, codecs and operators is what the registries have, and its pipeline is a pipeline.

use std::path::Path;

use lineside::config::Config;
use lineside::plan::{Registries, build};
use lineside_connectors::{CODECS, CONNECTORS};
use lineside_operators::OPERATORS;

fn readme() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    std::fs::read_to_string(file).expect("there is a README")
}

#[test]
fn the_tables_are_the_registries() {
    let readme = readme();
    let yes = |is: bool| if is { "yes" } else { "" };
    let connectors = CONNECTORS.iter().map(|kind| {
        let (source, sink) = (yes(kind.source_options().is_some()), yes(kind.sink_options().is_some()));
        format!("| {} | {source} | {sink} | {} |", kind.name(), kind.about())
    });
    let codecs = CODECS.iter().map(|kind| format!("| {} | {} |", kind.name(), kind.about()));
    let operators = OPERATORS.iter().map(|kind| format!("| {} | {} |", kind.name(), kind.about()));
    let missing = connectors.chain(codecs).chain(operators).filter(|line| !readme.contains(line)).collect::<Vec<_>>();
    assert!(missing.is_empty(), "README.md lacks:\n{}", missing.join("\n"));
}

#[test]
fn the_pipeline_of_the_readme_is_one() {
    let readme = readme();
    let toml = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("it has a pipeline");
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("it can be written");
    write(
        "loops.csv",
        "loop,pv,out,sp,period,kp,ki,u_min,u_max\noven1,oven1.temperature,oven1.power,180,1s,0.5,0.01,0,100\n",
    );
    write(
        "ovens.csv",
        "name,table,address,type,scale,unit,access,min,max\n\
         oven1.temperature,input,0,i16,0.1,degC,RO,,\n\
         oven1.power,holding,2,u16,0.1,%,RW,0,100\n",
    );
    let file = folder.path().join("pipeline.toml");
    let config = Config::parse(&file, toml.to_owned(), &|_| None).unwrap_or_else(|e| panic!("{e}"));
    build(&config, &Registries::BUILD).unwrap_or_else(|e| panic!("{e}"));
}
