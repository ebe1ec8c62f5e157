//! One connection to a Modbus TCP device or gateway: one request at a time, each answer matched to its request.
//!
//! After a request has timed out its answer may still come. It is recognised by its transaction id and thrown away, so it is
//! never taken for the answer of the next request, and one slow unit behind a gateway does not cost the others their
//! connection. An id that was never asked, or bytes that are not Modbus, mean that the two ends are out of step: then the
//! connection has to be dropped.
//!
//! Why not the client of `tokio-modbus` (0.17): its call cannot be taken up again after its future was dropped, which a
//! cancel-safe source needs; it empties its buffer before each request, so an answer that had arrived by half leaves the
//! stream out of step; and a late answer fails the request after it. Its server is the peer in our tests.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use bytes::BytesMut;
use lineside_model::{Clock, Error, Problem, Result, Span, Timestamp};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::TlsConnector;

use super::frame::{Answer, Request, take_frame};

/// How many timed-out requests are remembered for their late answers.
const ABANDONED: usize = 64;

/// Where a device is and how it wants to be treated.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
    /// Longest wait for a connection and for each answer.
    pub(crate) timeout: Span,
    /// Least time from an answer to the next request.
    pub(crate) spacing: Span,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It did not come in time. The connection can still be used.
    Timeout,
    /// The two ends are out of step; the connection must be dropped.
    OutOfStep(String),
    /// The connection is gone.
    Closed(io::Error),
}

trait Wire: AsyncRead + AsyncWrite + Unpin + Send + Debug {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + Debug> Wire for T {}

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    wire: Box<dyn Wire>,
    input: BytesMut,
    output: BytesMut,
    next_transaction: u16,
    pending: Option<Pending>,
    abandoned: VecDeque<u16>,
    late_answers: u64,
    pause: Option<Pin<Box<Sleep>>>,
    clock: Arc<dyn Clock>,
    sent: Sent,
    timeout: Span,
    spacing: Span,
}

/// When the latest request was handed to the socket: when that began, and when the system had taken it whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) from: Timestamp,
    pub(crate) at: Timestamp,
}

#[derive(Debug)]
struct Pending {
    transaction: u16,
    unit: u8,
    request: Request,
    /// Starts when the request may be sent.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Endpoint {
    /// Reads `modbus://host:port`, `host:port` or `host`; the port is 502 by default and 802 with TLS, as registered.
    pub(crate) fn address(url: &str, tls: bool) -> Result<(String, u16), Problem> {
        let wrong = |why: &str| {
            Problem::option("url", format!("{why} in \"{url}\""))
                .hint("write modbus://host:port, such as modbus://10.0.0.7:502")
        };
        let rest = match url.split_once("://") {
            Some(("modbus", rest)) => rest,
            Some((scheme, _)) => return Err(wrong(&format!("unknown scheme \"{scheme}\""))),
            None => url,
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.rsplit_once(':') {
            // An IPv6 address has colons itself and stands in brackets.
            Some((host, port)) if !port.ends_with(']') => {
                (host, port.parse().ok().filter(|port| *port > 0).ok_or_else(|| wrong("wrong port"))?)
            }
            _ => (rest, if tls { 802 } else { 502 }),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.is_empty() || host.contains(['/', '@', ' ']) {
            return Err(wrong("no host"));
        }
        Ok((host.to_owned(), port))
    }

    /// Connects.
    pub(crate) async fn connect(&self, clock: &Arc<dyn Clock>) -> Result<Connection> {
        let failed = |error: io::Error| Error::external(format!("could not connect to {self}")).caused_by(error);
        let connect = async {
            let socket = TcpStream::connect((self.host.as_str(), self.port)).await?;
            socket.set_nodelay(true)?;
            Ok::<Box<dyn Wire>, io::Error>(match &self.tls {
                None => Box::new(socket),
                Some((config, name)) => {
                    Box::new(TlsConnector::from(Arc::clone(config)).connect(name.clone(), socket).await?)
                }
            })
        };
        let wire = match timeout(self.timeout.to_std(), connect).await {
            Ok(wire) => wire.map_err(failed)?,
            Err(_) => {
                return Err(failed(io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {}", self.timeout))));
            }
        };
        Ok(Connection {
            wire,
            input: BytesMut::with_capacity(512),
            output: BytesMut::with_capacity(512),
            next_transaction: 1,
            pending: None,
            abandoned: VecDeque::new(),
            late_answers: 0,
            pause: None,
            clock: Arc::clone(clock),
            sent: Sent { from: Timestamp::MIN, at: Timestamp::MIN },
            timeout: self.timeout,
            spacing: self.spacing,
        })
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "modbus{}://{}:{}", if self.tls.is_some() { "+tls" } else { "" }, self.host, self.port)
    }
}

impl Failure {
    /// As an error of the engine, for a connection that has to be opened anew.
    pub(crate) fn into_error(self, endpoint: &Endpoint) -> Error {
        match self {
            Self::Timeout => Error::external(format!("{endpoint} did not answer in {}", endpoint.timeout)),
            Self::OutOfStep(why) => Error::external(format!("{endpoint} is out of step: {why}")),
            Self::Closed(error) => Error::external(format!("lost the connection to {endpoint}")).caused_by(error),
        }
    }
}

impl Connection {
    /// Puts a request on its way; [`Connection::answer`] sends it and waits. One at a time: if the one before has no answer
    /// yet, it is given up.
    pub(crate) fn send(&mut self, unit: u8, request: Request) {
        self.abandon();
        while self.abandoned.contains(&self.next_transaction) {
            self.next_transaction = self.next_transaction.wrapping_add(1);
        }
        let transaction = self.next_transaction;
        self.next_transaction = transaction.wrapping_add(1);
        request.encode(transaction, unit, &mut self.output);
        self.pending = Some(Pending { transaction, unit, request, deadline: None });
    }

    /// Waits for the answer to the request sent last. Cancel-safe: when called again it goes on waiting for the same one.
    pub(crate) async fn answer(&mut self) -> Result<Answer, Failure> {
        if let Some(pause) = &mut self.pause {
            pause.as_mut().await;
            self.pause = None;
        }
        loop {
            if let Some(answer) = self.take_answer()? {
                if self.spacing > Span::ZERO {
                    self.pause = Some(Box::pin(sleep(self.spacing.to_std())));
                }
                return Ok(answer);
            }
            let Some(pending) = &mut self.pending else {
                return Err(Failure::Closed(io::Error::other("there is no request to answer")));
            };
            let arrived = {
                let Self { wire, output, input, clock, sent, timeout, .. } = self;
                let mut transfer = pin!(async {
                    let from = clock.now();
                    if send(wire, output).await? {
                        *sent = Sent { from, at: clock.now() };
                    }
                    receive(wire, input).await
                });
                // The wire first: nothing holds up a request, and an answer that is here counts, however late we look.
                poll_fn(|cx| match transfer.as_mut().poll(cx) {
                    Poll::Ready(done) => Poll::Ready(Some(done)),
                    Poll::Pending => {
                        let deadline = pending.deadline.get_or_insert_with(|| Box::pin(sleep(timeout.to_std())));
                        deadline.as_mut().poll(cx).map(|()| None)
                    }
                })
                .await
            };
            match arrived {
                Some(done) => done.map_err(Failure::Closed)?,
                None => return Err(self.give_up()),
            }
        }
    }

    /// The latest request that was sent.
    pub(crate) fn sent(&self) -> Sent {
        self.sent
    }

    /// How many answers came after their request had timed out, since the last call.
    pub(crate) fn take_late_answers(&mut self) -> u64 {
        std::mem::take(&mut self.late_answers)
    }

    fn give_up(&mut self) -> Failure {
        if !self.output.is_empty() {
            // The other end does not even take bytes; half a request on the wire cannot be taken back.
            return Failure::Closed(io::Error::new(io::ErrorKind::TimedOut, "the other end takes no more requests"));
        }
        self.abandon();
        Failure::Timeout
    }

    fn abandon(&mut self) {
        if let Some(pending) = self.pending.take() {
            if self.abandoned.len() == ABANDONED {
                self.abandoned.pop_front();
            }
            self.abandoned.push_back(pending.transaction);
        }
    }

    fn take_answer(&mut self) -> Result<Option<Answer>, Failure> {
        let Some(pending) = &self.pending else { return Ok(None) };
        while let Some(frame) = take_frame(&mut self.input).map_err(Failure::OutOfStep)? {
            if frame.transaction != pending.transaction {
                let late = self.abandoned.iter().position(|transaction| *transaction == frame.transaction);
                let Some(late) = late else {
                    let (asked, found) = (pending.transaction, frame.transaction);
                    return Err(Failure::OutOfStep(format!(
                        "asked with transaction id {asked}, answered with {found}"
                    )));
                };
                self.abandoned.remove(late);
                self.late_answers += 1;
                continue;
            }
            let answer = if frame.unit == pending.unit { pending.request.read_answer(frame.body) } else { None };
            let Some(answer) = answer else {
                return Err(Failure::OutOfStep(format!("the answer does not fit the request {:?}", pending.request)));
            };
            self.pending = None;
            return Ok(Some(answer));
        }
        Ok(None)
    }
}

/// Sends what there is to send; whether there was anything. Cancel-safe: what was not sent is in the buffer.
async fn send(wire: &mut Box<dyn Wire>, output: &mut BytesMut) -> io::Result<bool> {
    if output.is_empty() {
        return Ok(false);
    }
    while !output.is_empty() {
        if wire.write_buf(output).await? == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    wire.flush().await?;
    Ok(true)
}

/// Reads what has arrived. Cancel-safe: it is in the buffer.
async fn receive(wire: &mut Box<dyn Wire>, input: &mut BytesMut) -> io::Result<()> {
    input.reserve(512);
    match wire.read_buf(input).await? {
        0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other end closed it")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_their_ports() {
        let address = |url| Endpoint::address(url, false).map_err(|problem| problem.message);
        assert_eq!(address("modbus://plc:1502"), Ok(("plc".into(), 1502)));
        assert_eq!(address("10.0.0.7"), Ok(("10.0.0.7".into(), 502)));
        assert_eq!(address("modbus://[::1]:5020/"), Ok(("::1".into(), 5020)));
        assert_eq!(address("[::1]"), Ok(("::1".into(), 502)));
        assert_eq!(Endpoint::address("plc", true), Ok(("plc".into(), 802)));
        for wrong in ["mqtt://plc", "plc:0", "plc:70000", "modbus://", "user@plc"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }
}
