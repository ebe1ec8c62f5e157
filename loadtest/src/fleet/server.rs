//! The Modbus TCP side of the hall: each PLC has its own port, all share one thread.

use std::future::{Ready, ready};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use hdrhistogram::Histogram;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::Server;
use tokio_modbus::{ExceptionCode, Request, Response, SlaveRequest};

use super::plc::{Plc, Registers};
use crate::clock;

const UNIT: u8 = 1;

/// The PLCs, each under a lock of its own, how long after a reading they were written, and since when they run.
#[derive(Debug)]
pub(super) struct Hall {
    plcs: Vec<Mutex<Plc>>,
    reaction: Mutex<Histogram<u64>>,
    started: Instant,
}

impl Hall {
    pub(super) fn new(plcs: Vec<Plc>) -> Self {
        let plcs = plcs.into_iter().map(Mutex::new).collect();
        Self { plcs, reaction: Mutex::new(super::reaction()), started: clock::monotonic() }
    }

    /// How long after the reading of its input each register was written, in µs.
    pub(super) fn reaction(&self) -> MutexGuard<'_, Histogram<u64>> {
        self.reaction.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A PLC by its number, if there is one.
    pub(super) fn plc(&self, number: usize) -> Option<MutexGuard<'_, Plc>> {
        Some(self.plcs.get(number)?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn answer(&self, number: usize, request: &SlaveRequest<'_>) -> Result<Response, ExceptionCode> {
        if request.slave != UNIT {
            return Err(ExceptionCode::GatewayTargetDevice);
        }
        let since = clock::monotonic().saturating_duration_since(self.started);
        let mut plc = self.plc(number).ok_or(ExceptionCode::GatewayTargetDevice)?;
        match &request.request {
            Request::ReadInputRegisters(address, count) => {
                plc.read(Registers::Input, *address, *count, since).map(Response::ReadInputRegisters)
            }
            Request::ReadHoldingRegisters(address, count) => {
                plc.read(Registers::Holding, *address, *count, since).map(Response::ReadHoldingRegisters)
            }
            Request::WriteSingleRegister(address, word) => {
                plc.write(*address, &[*word], (clock::now(), since), &mut self.reaction())?;
                Ok(Response::WriteSingleRegister(*address, *word))
            }
            Request::WriteMultipleRegisters(address, words) => {
                plc.write(*address, words, (clock::now(), since), &mut self.reaction())?;
                Ok(Response::WriteMultipleRegisters(*address, words.len() as u16))
            }
            _ => Err(ExceptionCode::IllegalFunction),
        }
    }
}

#[derive(Debug)]
struct Member {
    hall: Arc<Hall>,
    number: usize,
}

impl Service for Member {
    type Request = SlaveRequest<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Response, ExceptionCode>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        ready(self.hall.answer(self.number, &request))
    }
}

/// Serves until `stop` is sent or dropped; all connections end with it.
pub(super) async fn serve(listeners: Vec<TcpListener>, hall: Arc<Hall>, stop: oneshot::Receiver<()>) {
    let mut members = JoinSet::new();
    for (number, listener) in listeners.into_iter().enumerate() {
        members.spawn(serve_one(listener, Arc::clone(&hall), number));
    }
    tokio::select! {
        () = async { while members.join_next().await.is_some() {} } => {}
        _ = stop => {}
    }
}

async fn serve_one(listener: TcpListener, hall: Arc<Hall>, number: usize) {
    let accept = |stream: TcpStream, _peer: SocketAddr| {
        let member = Member { hall: Arc::clone(&hall), number };
        async move {
            stream.set_nodelay(true)?;
            Ok(Some((member, stream)))
        }
    };
    let served = async {
        Server::new(tokio::net::TcpListener::from_std(listener)?)
            .serve(&accept, |error| tracing::debug!(%error, "a client of a simulated PLC went away"))
            .await
    };
    if let Err(error) = served.await {
        tracing::warn!(%error, number, "a simulated PLC stopped serving");
    }
}
