use std::net::SocketAddr;
use std::time::Duration;

use lineside_loadtest::plant::{Disturbance, OVENS, Script, Trouble};
use lineside_loadtest::{Plant, PlantOptions};
use lineside_model::Span;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_modbus::ExceptionCode;
use tokio_modbus::client::{Context, tcp};
use tokio_modbus::prelude::{Reader, Slave, SlaveContext, Writer};

fn calm() -> PlantOptions {
    PlantOptions { script: Script::calm(), ..PlantOptions::default() }
}

async fn client(plant: &Plant) -> Context {
    tcp::connect_slave(SocketAddr::from(([127, 0, 0, 1], plant.port())), Slave(1)).await.expect("the plant listens")
}

fn float(words: &[u16]) -> f64 {
    f64::from(f32::from_bits(u32::from(words[0]) << 16 | u32::from(words[1])))
}

#[tokio::test]
async fn a_command_is_read_back_and_heats_the_oven() {
    let plant = Plant::start(PlantOptions { time_scale: 1000.0, ..calm() }).expect("it starts");
    let mut plc = client(&plant).await;
    let cold = plc.read_input_registers(110, 2).await.expect("connected").expect("readable");
    assert!((float(&cold) - 25.0).abs() < 2.0);

    plc.write_single_register(102, 500).await.expect("connected").expect("writable");
    assert_eq!(plc.read_holding_registers(102, 1).await.expect("connected").expect("readable"), [500]);
    assert_eq!(plc.read_input_registers(101, 1).await.expect("connected").expect("readable"), [500]);
    // 25 °C and 3.5 °C for each of 50 %, after enough time constants.
    while (plant.state()[1].temperature - 200.0).abs() > 1.0 {
        tokio::task::yield_now().await;
    }
    let block = plc.read_input_registers(100, 22).await.expect("connected").expect("readable");
    assert!((f64::from(block[0] as i16) / 10.0 - 200.0).abs() < 3.0 && (float(&block[10..]) - 200.0).abs() < 3.0);
    assert!((float(&block[20..]) - 201.0).abs() < 3.0);

    let writes = plant.writes();
    assert_eq!((plant.write_count(), writes.len(), writes[0].oven, writes[0].power), (1, 1, 1, 50.0));
    assert_eq!(plant.reaction().len(), 1);
}

#[tokio::test]
async fn a_setpoint_is_a_float_in_two_registers() {
    let plant = Plant::start(calm()).expect("it starts");
    let mut plc = client(&plant).await;
    for (n, oven) in OVENS.iter().enumerate() {
        let words = plc.read_holding_registers(100 * n as u16 + 10, 2).await.expect("connected").expect("readable");
        assert_eq!(float(&words), oven.setpoint);
    }
    let bits = 212.5f32.to_bits();
    let words = [(bits >> 16) as u16, bits as u16];
    plc.write_multiple_registers(210, &words).await.expect("connected").expect("writable");
    assert_eq!(plant.state()[2].setpoint, 212.5);
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_and_changes_nothing() {
    let plant = Plant::start(calm()).expect("it starts");
    let mut plc = client(&plant).await;
    let nan = f32::NAN.to_bits();
    for (address, words, expected) in [
        (2, vec![1001], ExceptionCode::IllegalDataValue),
        (10, vec![0x4320], ExceptionCode::IllegalDataValue),
        (11, vec![0], ExceptionCode::IllegalDataValue),
        (10, vec![(nan >> 16) as u16, nan as u16], ExceptionCode::IllegalDataValue),
        (2, vec![500, 0], ExceptionCode::IllegalDataAddress),
        (0, vec![1], ExceptionCode::IllegalDataAddress),
        (300, vec![1], ExceptionCode::IllegalDataAddress),
    ] {
        let answer = plc.write_multiple_registers(address, &words).await.expect("connected");
        assert_eq!(answer, Err(expected), "{words:?} to {address}");
    }
    assert_eq!(plc.read_input_registers(20, 20).await.expect("connected"), Err(ExceptionCode::IllegalDataAddress));
    assert_eq!(plc.read_coils(0, 1).await.expect("connected"), Err(ExceptionCode::IllegalFunction));
    plc.set_slave(Slave(2));
    assert_eq!(plc.read_input_registers(0, 1).await.expect("connected"), Err(ExceptionCode::GatewayTargetDevice));
    assert_eq!(plant.write_count(), 0);
    assert!(plant.state().iter().all(|oven| oven.power == 0.0));
}

#[tokio::test]
async fn requests_in_a_pipeline_are_answered_in_order_for_each_of_several_clients() {
    let plant = Plant::start(calm()).expect("it starts");
    for _ in 0..3 {
        let mut stream = TcpStream::connect(("127.0.0.1", plant.port())).await.expect("the plant listens");
        // Fifty requests for the set-point of oven 1 before the first answer is read.
        let requests = (0..50u8).flat_map(|tid| [0, tid, 0, 0, 0, 6, 1, 3, 0, 10, 0, 2]).collect::<Vec<_>>();
        stream.write_all(&requests).await.expect("taken");
        for tid in 0..50 {
            let mut answer = [0; 13];
            stream.read_exact(&mut answer).await.expect("an answer");
            assert_eq!(answer[..9], [0, tid, 0, 0, 0, 7, 1, 3, 4]);
            assert_eq!(f32::from_be_bytes([answer[9], answer[10], answer[11], answer[12]]), 160.0);
        }
    }
}

#[tokio::test]
async fn an_open_door_and_a_stuck_thermocouple_show_in_the_registers() {
    let hour = Span::from_secs(3600);
    let now = |oven, what| Disturbance { oven, what, at: Span::ZERO, lasts: hour };
    let script = Script::listed(vec![now(1, Trouble::DoorOpens), now(2, Trouble::GuardSensorSticks)]);
    let plant = Plant::start(PlantOptions { script, ..calm() }).expect("it starts");
    let mut plc = client(&plant).await;
    let doors = plc.read_discrete_inputs(0, 30).await.expect("connected").expect("readable");
    assert_eq!((doors[0], doors[10], doors[20]), (false, true, false));
    assert_eq!(plc.read_input_registers(102, 1).await.expect("connected").expect("readable"), [0b11]);

    let mut seen = (plant.state()[2].measured, plant.state()[2].guard);
    while plant.state()[2].measured == seen.0 {
        tokio::task::yield_now().await;
    }
    seen.0 = plant.state()[2].measured;
    assert_eq!(plant.state()[2].guard, seen.1);
    assert!(plant.state()[2].guard_stuck && !plant.state()[2].measured_stuck);
}

#[tokio::test]
async fn the_watchdog_cuts_the_heater_until_the_next_command() {
    let plant = Plant::start(PlantOptions { watchdog: Some(Span::from_millis(20)), ..calm() }).expect("it starts");
    let mut plc = client(&plant).await;
    plc.write_single_register(2, 400).await.expect("connected").expect("writable");
    while !plant.state()[0].tripped {
        tokio::task::yield_now().await;
    }
    assert_eq!(plc.read_input_registers(1, 2).await.expect("connected").expect("readable"), [0, 0b10001]);
}

#[tokio::test]
async fn a_plant_has_its_port_to_itself_and_hangs_up_when_it_stops() {
    let plant = Plant::start(calm()).expect("it starts");
    let port = plant.port();
    assert!(Plant::start(PlantOptions { port, ..calm() }).is_err(), "the port is taken");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the plant listens");
    stream.write_all(&[0, 0, 0, 0, 0, 6, 1, 3, 0, 10, 0, 2]).await.expect("taken");
    stream.read_exact(&mut [0; 13]).await.expect("an answer");
    drop(plant);
    let end = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut [0; 1])).await.expect("it hangs up");
    assert!(matches!(end, Ok(0) | Err(_)));
}
