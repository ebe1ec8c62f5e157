//! Devices: how fast registers become readings, and how long a setpoint takes until the device has answered and the value was read back.
//!
//! The device is a thread of this process that answers at once, so what is told of setpoints is our share of the way and that of two
//! passes through the loopback.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::{Read, Result, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::{fs, thread};

use arrow::array::{Float64Array, RecordBatch, StringArray};
use bytes::Bytes;
use criterion::{Criterion, Throughput};
use lineside_connectors::registry::{find, find_codec};
use lineside_model::{Timestamp, schema};
use serde_json::json;
use tempfile::TempDir;

use crate::readings::{BATCH, build, context, rows, runtime};

/// Tags one after the other.
const TAGS: usize = 100;

/// A folder with a register map.
fn map() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder for the map");
    let mut map = "name,table,address,type,scale,access\n".to_owned();
    (0..TAGS).for_each(|n| writeln!(map, "oven{n}.power,holding,{n},u16,0.1,RW").expect("a string takes all"));
    fs::write(folder.path().join("map.csv"), map).expect("there is room");
    folder
}

/// Messages of a hundred registers, a row each, as gateways forward them.
pub(crate) fn registers(criterion: &mut Criterion) {
    let folder = map();
    let codec = find_codec("registers").expect("it is in the registry");
    let (_, make) = codec.plan_decoder(&json!({"registers": "map.csv"}), &context(folder.path())).expect("options");
    let message = |n: usize| (0..TAGS).flat_map(|tag| ((n * tag) as u16).to_be_bytes()).collect::<Bytes>();
    let messages = (0..BATCH / TAGS).map(message).collect::<Vec<_>>();
    let mut decoder = make();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements((messages.len() * TAGS) as u64));
    group.bench_function("registers", |bencher| bencher.iter(|| decoder.decode(black_box(&messages))));
    group.finish();
}

/// One setpoint, and a hundred that lie together.
pub(crate) fn setpoints(criterion: &mut Criterion) {
    let (folder, address, runtime) = (map(), device().expect("a port is free"), runtime());
    let options = json!({"url": address.to_string(), "registers": "map.csv"});
    let modbus = find("modbus").expect("it is in the registry");
    let planned = modbus.plan_sink(&options, &schema::readings(), None, &context(folder.path())).expect("options");
    let mut sink = (planned.build)(&build());
    runtime.block_on(sink.open()).expect("the device listens");
    let mut group = criterion.benchmark_group("modbus");
    for (name, count) in [("1 setpoint", 1), ("100 setpoints", TAGS)] {
        let mut columns = rows(count).columns().to_vec();
        columns[1] = Arc::new(StringArray::from_iter_values((0..count).map(|n| format!("oven{n}.power"))));
        columns[2] = Arc::new(Float64Array::from_iter_values((0..count).map(|n| n as f64)));
        let rows = RecordBatch::try_new(schema::readings(), columns).expect("the columns are those of readings");
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let written = runtime.block_on(sink.write(&rows, Timestamp::default())).expect("the device answers");
                assert_eq!(written.written, count);
            });
        });
    }
    group.finish();
    runtime.block_on(sink.close()).expect("the device is there");
}

/// A device with holding registers, which serves one connection after another.
fn device() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        let mut registers = vec![[0; 2]; 1 << 16];
        // A connection that ends is no matter: the next one is served.
        while let Ok((connection, _)) = listener.accept() {
            serve(connection, &mut registers).unwrap_or_default();
        }
    });
    Ok(address)
}

/// Answers reads (3) and writes of one register (6) or several (16).
fn serve(mut connection: TcpStream, registers: &mut [[u8; 2]]) -> Result<()> {
    connection.set_nodelay(true)?;
    let mut head = [0; 12];
    loop {
        connection.read_exact(&mut head)?;
        let [.., function, a, b, c, d] = head;
        let (start, count) = (usize::from(u16::from_be_bytes([a, b])), usize::from(u16::from_be_bytes([c, d])));
        let mut body = head[7..].to_vec();
        match function {
            3 => body = [&[3, 2 * count as u8][..], registers[start..start + count].as_flattened()].concat(),
            6 => registers[start] = [c, d],
            16 => {
                let mut values = vec![0; 1 + 2 * count];
                connection.read_exact(&mut values)?;
                registers[start..start + count].as_flattened_mut().copy_from_slice(&values[1..]);
            }
            _ => return Ok(()),
        }
        let length = (body.len() as u16 + 1).to_be_bytes();
        connection.write_all(&[&head[..4], &length, &head[6..7], &body].concat())?;
    }
}
