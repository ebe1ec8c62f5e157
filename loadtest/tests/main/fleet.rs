use std::net::SocketAddr;

use lineside_loadtest::fleet::{Fleet, FleetOptions};
use lineside_model::Span;
use tokio_modbus::ExceptionCode;
use tokio_modbus::client::{Context, tcp};
use tokio_modbus::prelude::{Reader, Slave, SlaveContext, Writer};

async fn client(port: u16) -> Context {
    tcp::connect_slave(SocketAddr::from(([127, 0, 0, 1], port)), Slave(1)).await.expect("the PLC listens")
}

/// The whole of a PLC, as a scan reads it.
async fn scan(plc: &mut Context) -> Vec<u16> {
    let mut words = Vec::new();
    for address in (0..10_000).step_by(125) {
        words.extend(plc.read_input_registers(address, 125).await.expect("connected").expect("readable"));
    }
    words
}

#[tokio::test]
async fn a_hundred_plcs_answer_with_ten_thousand_registers_each() {
    let fleet = Fleet::start(&FleetOptions::default()).expect("it starts");
    assert_eq!(fleet.ports().len(), 100);
    let mut seen = Vec::new();
    for port in fleet.ports() {
        let mut plc = client(*port).await;
        let (levels, words) = (plc.read_holding_registers(9_900, 100).await, scan(&mut plc).await);
        assert_eq!(words.len(), 10_000);
        let levels = levels.expect("connected").expect("readable");
        assert!(levels.iter().zip(&words[9_900..]).all(|(level, word)| (*level..*level + 16).contains(word)));
        seen.push(levels);
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 100, "each PLC has levels of its own");
}

#[tokio::test]
async fn a_poll_of_many_requests_is_counted_once_and_keeps_when_it_came() {
    let fleet = Fleet::start(&FleetOptions { plcs: 2, ..FleetOptions::default() }).expect("it starts");
    let mut plc = client(fleet.ports()[1]).await;
    for _ in 0..5 {
        scan(&mut plc).await;
    }
    let polls = fleet.polls(1);
    assert_eq!((fleet.poll_count(0), fleet.poll_count(1), polls.len()), (0, 5, 5));
    assert!(polls.is_sorted());
    let jitter = fleet.jitter(Span::from_secs(3_600));
    assert_eq!((jitter.polls, jitter.missed, jitter.late.len()), (5, 0, 5));
}

#[tokio::test]
async fn what_is_written_reads_back_and_is_kept() {
    let fleet = Fleet::start(&FleetOptions { plcs: 3, ..FleetOptions::default() }).expect("it starts");
    let mut plc = client(fleet.ports()[2]).await;
    plc.write_multiple_registers(9_998, &[7, 8]).await.expect("connected").expect("writable");
    plc.write_single_register(5, 9).await.expect("connected").expect("writable");
    assert_eq!(plc.read_holding_registers(9_998, 2).await.expect("connected").expect("readable"), [7, 8]);
    let writes = fleet.writes();
    let told = writes.iter().map(|write| (write.plc, write.address, write.words.as_slice())).collect::<Vec<_>>();
    assert_eq!(told, [(2, 9_998, &[7, 8][..]), (2, 5, &[9][..])]);
    assert_eq!(fleet.write_count(), 3);
    assert_eq!(fleet.reaction().len(), 0, "what was not read is not answered");
    plc.read_input_registers(0, 10).await.expect("connected").expect("readable");
    plc.write_single_register(5, 9).await.expect("connected").expect("writable");
    assert_eq!(fleet.reaction().len(), 1);
}

#[tokio::test]
async fn what_is_not_there_is_refused() {
    let fleet = Fleet::start(&FleetOptions { plcs: 1, registers: 200, ..FleetOptions::default() }).expect("it starts");
    let mut plc = client(fleet.ports()[0]).await;
    let beyond = Err(ExceptionCode::IllegalDataAddress);
    assert_eq!(plc.read_input_registers(100, 101).await.expect("connected"), beyond);
    assert_eq!(plc.read_holding_registers(u16::MAX, 2).await.expect("connected"), beyond);
    assert_eq!(
        plc.write_multiple_registers(199, &[1, 2]).await.expect("connected"),
        Err(ExceptionCode::IllegalDataAddress)
    );
    assert_eq!(plc.read_coils(0, 1).await.expect("connected"), Err(ExceptionCode::IllegalFunction));
    plc.set_slave(Slave(2));
    assert_eq!(plc.read_input_registers(0, 1).await.expect("connected"), Err(ExceptionCode::GatewayTargetDevice));
    assert_eq!((fleet.write_count(), fleet.poll_count(0)), (0, 0));
    let error = Fleet::start(&FleetOptions { plcs: 0, ..FleetOptions::default() }).expect_err("none").to_string();
    assert!(error.contains("plcs"), "{error}");
}
