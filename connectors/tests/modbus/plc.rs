//! A small PLC that does what the test tells it to, wrong things too.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What goes wrong with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    /// Answers this exception and does nothing.
    Exception(u8),
    /// Never answers.
    Hang,
    /// Answers only after the next request has come, before answering that one.
    Late,
    /// Answers when [`Plc::release`] is called.
    Held,
    /// Closes the connection and does nothing.
    Drop,
    /// Does it, and closes the connection without an answer.
    DropAfter,
    /// Answers with another transaction id.
    WrongTransaction,
    /// Answers with something that is not Modbus.
    Garbage,
    /// Says that it has written, and has not.
    Ignore,
}

/// One request as it came: unit, function, first register, registers or bits to write (or how many to read).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Asked(pub(crate) u8, pub(crate) u8, pub(crate) u16, pub(crate) Vec<u16>);

#[derive(Debug, Default)]
struct State {
    /// By unit, table (the digit of its addresses: 0, 1, 3 or 4) and register.
    cells: BTreeMap<(u8, u8, u16), u16>,
    /// For unit and function (0: any), how often, what.
    faults: Vec<(u8, u8, usize, Fault)>,
    log: Vec<Asked>,
    connections: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Plc {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
    asked: Arc<Notify>,
    release: Arc<Notify>,
}

impl Plc {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let plc = Self {
            address: listener.local_addr().expect("bound"),
            state: Arc::default(),
            asked: Arc::default(),
            release: Arc::default(),
        };
        let server = plc.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                server.state().connections += 1;
                let plc = server.clone();
                tokio::spawn(async move { plc.serve(socket).await });
            }
        });
        plc
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the lock")
    }

    /// Puts values into registers (or bits) that follow each other.
    pub(crate) fn put(&self, unit: u8, table: u8, start: u16, values: &[u16]) {
        for (register, value) in (start..).zip(values) {
            self.state().cells.insert((unit, table, register), *value);
        }
    }

    pub(crate) fn get(&self, unit: u8, table: u8, register: u16) -> u16 {
        self.state().cells[&(unit, table, register)]
    }

    /// The next `times` requests of this unit and function (0: any) go wrong.
    pub(crate) fn fail(&self, unit: u8, function: u8, times: usize, fault: Fault) {
        self.state().faults.push((unit, function, times, fault));
    }

    pub(crate) fn heal(&self) {
        self.state().faults.clear();
    }

    /// What was asked since the last call.
    pub(crate) fn take_log(&self) -> Vec<Asked> {
        std::mem::take(&mut self.state().log)
    }

    pub(crate) fn connections(&self) -> usize {
        self.state().connections
    }

    /// Waits until a request has come.
    pub(crate) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// Lets a held answer go.
    pub(crate) fn release(&self) {
        self.release.notify_one();
    }

    async fn serve(&self, mut socket: TcpStream) {
        socket.set_nodelay(true).expect("a socket");
        let mut kept = Vec::new();
        let mut header = [0u8; 7];
        while socket.read_exact(&mut header).await.is_ok() {
            let [t0, t1, _, _, l0, l1, unit] = header;
            let mut body = vec![0; usize::from(u16::from_be_bytes([l0, l1])) - 1];
            if socket.read_exact(&mut body).await.is_err() {
                return;
            }
            let fault = self.take_fault(unit, body[0]);
            let answer = match fault {
                Some(Fault::Exception(code)) => {
                    self.state().log.push(read(unit, &body));
                    vec![body[0] | 0x80, code]
                }
                Some(Fault::Drop) => return,
                _ => self.carry_out(unit, &body, fault == Some(Fault::Ignore)),
            };
            self.asked.notify_one();
            let message = |transaction: [u8; 2]| {
                let length = u16::try_from(answer.len() + 1).expect("short").to_be_bytes();
                [&transaction[..], &[0, 0], &length, &[unit], &answer].concat()
            };
            let out = match fault {
                Some(Fault::Hang) => continue,
                Some(Fault::Late) => {
                    kept = message([t0, t1]);
                    continue;
                }
                Some(Fault::DropAfter) => return,
                Some(Fault::WrongTransaction) => message([t0 ^ 0x55, t1]),
                Some(Fault::Garbage) => b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
                Some(Fault::Held) => {
                    self.release.notified().await;
                    message([t0, t1])
                }
                _ => message([t0, t1]),
            };
            kept.extend(out);
            // In two pieces, as a slow network may deliver it.
            let (first, second) = kept.split_at(5);
            if socket.write_all(first).await.is_err() || socket.write_all(second).await.is_err() {
                return;
            }
            kept.clear();
        }
    }

    fn take_fault(&self, unit: u8, function: u8) -> Option<Fault> {
        let mut state = self.state();
        let fault = state
            .faults
            .iter_mut()
            .find(|(of, on, times, _)| *times > 0 && *of == unit && (*on == 0 || *on == function))?;
        fault.2 -= 1;
        Some(fault.3)
    }

    fn carry_out(&self, unit: u8, body: &[u8], ignore: bool) -> Vec<u8> {
        let asked = read(unit, body);
        let Asked(_, function, start, values) = asked.clone();
        let mut state = self.state();
        state.log.push(asked);
        let table = match function {
            1 | 5 | 15 => 0,
            2 => 1,
            3 | 6 | 16 => 4,
            _ => 3,
        };
        let count = if function <= 4 { values[0] } else { u16::try_from(values.len()).expect("short") };
        let places = (start..start + count).map(|register| (unit, table, register)).collect::<Vec<_>>();
        if places.iter().any(|place| !state.cells.contains_key(place)) {
            return vec![function | 0x80, 2];
        }
        if function > 4 {
            for (place, value) in places.iter().zip(values).filter(|_| !ignore) {
                state.cells.insert(*place, value);
            }
            return body[..5].to_vec();
        }
        let cells = places.iter().map(|place| state.cells[place]).collect::<Vec<_>>();
        let data = if function <= 2 {
            let byte = |bits: &[u16]| bits.iter().rev().fold(0, |byte, bit| byte << 1 | u8::from(*bit != 0));
            cells.chunks(8).map(byte).collect::<Vec<_>>()
        } else {
            cells.iter().flat_map(|cell| cell.to_be_bytes()).collect()
        };
        [&[function, u8::try_from(data.len()).expect("short")], &data[..]].concat()
    }
}

fn read(unit: u8, body: &[u8]) -> Asked {
    let word = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let values = match body[0] {
        5 => vec![u16::from(body[3] == 0xff)],
        15 => (0..usize::from(word(3))).map(|n| u16::from(body[6 + n / 8] >> (n % 8) & 1)).collect(),
        16 => (0..usize::from(word(3))).map(|n| word(6 + 2 * n)).collect(),
        _ => vec![word(3)],
    };
    Asked(unit, body[0], word(1), values)
}
