//! The Modbus TCP side of the simulated PLC: any number of clients, requests in a pipeline answered in their order.

use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use lineside_model::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::Server;
use tokio_modbus::{ExceptionCode, Request, Response, SlaveRequest};

use super::line::Line;
use crate::clock;

const UNIT: u8 = 1;

/// The line under its lock, and since when it runs.
#[derive(Debug)]
pub(crate) struct Running {
    line: Mutex<Line>,
    started: Instant,
}

impl Running {
    pub(crate) fn new(line: Line) -> Self {
        Self { line: Mutex::new(line), started: clock::monotonic() }
    }

    /// Since when it runs.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The line as it stands now.
    pub(crate) fn line(&self) -> MutexGuard<'_, Line> {
        let mut line = self.line.lock().unwrap_or_else(PoisonError::into_inner);
        line.advance(clock::monotonic().duration_since(self.started).as_secs_f64());
        line
    }

    fn answer(&self, request: &SlaveRequest<'_>, at: Timestamp) -> Result<Response, ExceptionCode> {
        if request.slave != UNIT {
            return Err(ExceptionCode::GatewayTargetDevice);
        }
        let mut line = self.line();
        match &request.request {
            Request::ReadInputRegisters(address, count) => {
                line.read_inputs(*address, *count).map(Response::ReadInputRegisters)
            }
            Request::ReadHoldingRegisters(address, count) => {
                line.read_holdings(*address, *count).map(Response::ReadHoldingRegisters)
            }
            Request::ReadDiscreteInputs(address, count) => {
                line.read_discretes(*address, *count).map(Response::ReadDiscreteInputs)
            }
            Request::WriteSingleRegister(address, word) => {
                line.write_holdings(*address, &[*word], at)?;
                Ok(Response::WriteSingleRegister(*address, *word))
            }
            Request::WriteMultipleRegisters(address, words) => {
                line.write_holdings(*address, words, at)?;
                Ok(Response::WriteMultipleRegisters(*address, words.len() as u16))
            }
            _ => Err(ExceptionCode::IllegalFunction),
        }
    }
}

#[derive(Debug)]
struct Plc(Arc<Running>);

impl Service for Plc {
    type Request = SlaveRequest<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Response, ExceptionCode>>;

    fn call(&self, request: Self::Request) -> Self::Future {
        ready(self.0.answer(&request, clock::now()))
    }
}

/// Serves until `stop` is sent or dropped; all connections end with it.
pub(crate) async fn serve(listener: std::net::TcpListener, running: Arc<Running>, stop: oneshot::Receiver<()>) {
    let accept = |stream: TcpStream, _peer: SocketAddr| {
        let plc = Plc(Arc::clone(&running));
        async move {
            stream.set_nodelay(true)?;
            Ok(Some((plc, stream)))
        }
    };
    let served = async {
        Server::new(TcpListener::from_std(listener)?)
            .serve(&accept, |error| tracing::debug!(%error, "a client of the simulated PLC went away"))
            .await
    };
    tokio::select! {
        end = served => if let Err(error) = end {
            tracing::warn!(%error, "the simulated PLC stopped serving");
        },
        _ = stop => {}
    }
}
