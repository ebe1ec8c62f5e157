//! The example's register map against the plant it was written for.

use std::collections::HashMap;
use std::net::SocketAddr;

use lineside_loadtest::plant::Script;
use lineside_loadtest::{Plant, PlantOptions};
use tokio_modbus::client::tcp;
use tokio_modbus::prelude::{Reader, Slave, Writer};

/// The rows of a table of the example by its column names.
fn table(text: &'static str) -> Vec<HashMap<&'static str, &'static str>> {
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().expect("a header");
    lines
        .map(|cells| {
            assert_eq!(cells.len(), header.len(), "{cells:?}");
            header.iter().copied().zip(cells).collect()
        })
        .collect()
}

#[tokio::test]
async fn every_tag_of_the_register_map_is_where_the_map_says() {
    let plant = Plant::start(PlantOptions { script: Script::calm(), ..PlantOptions::default() }).expect("it starts");
    let address = SocketAddr::from(([127, 0, 0, 1], plant.port()));
    let mut plc = tcp::connect_slave(address, Slave(1)).await.expect("the plant listens");
    for oven in 0..3u16 {
        plc.write_single_register(100 * oven + 2, 300 + oven).await.expect("connected").expect("writable");
    }
    let tags = table(include_str!("../../../examples/oven-line/ovens.csv"));
    assert_eq!(tags.len(), 18);
    for tag in tags {
        let at = tag["address"].parse().expect("a number");
        let words = match (tag["table"], tag["type"]) {
            ("input", "f32") => plc.read_input_registers(at, 2).await,
            ("input", "u16") => plc.read_input_registers(at, 1).await,
            ("holding", "f32") => plc.read_holding_registers(at, 2).await,
            ("holding", "u16") => plc.read_holding_registers(at, 1).await,
            ("discrete", "bool") => {
                plc.read_discrete_inputs(at, 1).await.map(|bits| bits.map(|b| vec![u16::from(b[0])]))
            }
            other => panic!("{other:?} is not in this plant"),
        };
        let words = words.expect("connected").expect("readable");
        let oven = usize::from(at / if tag["table"] == "discrete" { 10 } else { 100 });
        let (name, what) = tag["name"].split_once('.').expect("an oven and what of it");
        assert_eq!(name, format!("oven{}", oven + 1));
        let state = plant.state()[oven];
        let (expected, tolerance) = match what {
            "temperature" => (state.measured, 5.0),
            "guard_temperature" => (state.guard, 5.0),
            "power" | "power_actual" => (30.0 + oven as f64 / 10.0, 0.001),
            "setpoint" => (state.setpoint, 0.001),
            "door" => (0.0, 0.001),
            other => panic!("{other} is not in this plant"),
        };
        let value = match words[..] {
            [high, low] => f64::from(f32::from_bits(u32::from(high) << 16 | u32::from(low))),
            _ => f64::from(words[0]) * tag["scale"].parse().unwrap_or(1.0),
        };
        assert!((value - expected).abs() < tolerance, "{}: {value} instead of {expected}", tag["name"]);
    }
}

#[test]
fn the_loops_use_tags_of_the_map_and_the_setpoints_of_the_plant() {
    let tags = table(include_str!("../../../examples/oven-line/ovens.csv"));
    let access = |name| tags.iter().find(|tag| tag["name"] == name).map(|tag| tag["access"]);
    let loops = table(include_str!("../../../examples/oven-line/loops.csv"));
    assert_eq!(loops.len(), 3);
    for (row, oven) in loops.iter().zip(lineside_loadtest::plant::OVENS) {
        assert_eq!((access(row["pv"]), access(row["out"])), (Some("RO"), Some("RW")));
        assert_eq!(row["sp"].parse(), Ok(oven.setpoint));
    }
}
