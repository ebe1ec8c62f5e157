//! The same against an independent implementation, the server of `tokio-modbus`, plain and with TLS.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_modbus::server::Service;
use tokio_modbus::server::tcp::{Server, accept_tcp_connection};
use tokio_modbus::{ExceptionCode, Request, Response};
use tokio_rustls::TlsAcceptor;

use super::{build, context, folder, pull, shown, sink, source};
use lineside_connectors::registry::find;
use lineside_model::{Timestamp, schema};

/// Holding registers; those that were never written are illegal.
#[derive(Clone, Default)]
struct Registers(Arc<Mutex<HashMap<u16, u16>>>);

impl Service for Registers {
    type Request = Request<'static>;
    type Response = Response;
    type Exception = ExceptionCode;
    type Future = Ready<Result<Response, ExceptionCode>>;

    fn call(&self, request: Request<'static>) -> Self::Future {
        let mut registers = self.0.lock().expect("not poisoned");
        ready(match request {
            Request::ReadHoldingRegisters(start, count) => (start..start + count)
                .map(|register| registers.get(&register).copied())
                .collect::<Option<Vec<_>>>()
                .map(Response::ReadHoldingRegisters)
                .ok_or(ExceptionCode::IllegalDataAddress),
            Request::WriteSingleRegister(start, value) => {
                registers.insert(start, value);
                Ok(Response::WriteSingleRegister(start, value))
            }
            Request::WriteMultipleRegisters(start, values) => {
                registers.extend((start..).zip(values.iter().copied()));
                Ok(Response::WriteMultipleRegisters(start, u16::try_from(values.len()).expect("at most 123")))
            }
            _ => Err(ExceptionCode::IllegalFunction),
        })
    }
}

const MAP: &str = "name,table,address,type,access\na,holding,0,f32,RW\nb,holding,2,i16,RW\nhole,holding,4,u16,RO\n";

async fn listener() -> (Server, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    (Server::new(listener), address)
}

async fn written() -> arrow::array::RecordBatch {
    let rows = [("a", 1.25), ("b", -7.0)];
    let times: arrow::array::ArrayRef =
        Arc::new(arrow::array::TimestampMicrosecondArray::from(vec![1, 1]).with_timezone("UTC"));
    let columns = vec![
        Arc::clone(&times),
        Arc::new(arrow::array::StringArray::from_iter_values(rows.iter().map(|row| row.0))) as _,
        Arc::new(arrow::array::Float64Array::from_iter_values(rows.iter().map(|row| row.1))) as _,
        lineside_model::Quality::column(rows.iter().map(|_| lineside_model::Quality::Good)),
        times,
    ];
    arrow::array::RecordBatch::try_new(schema::readings(), columns).expect("the columns of readings")
}

#[tokio::test]
async fn what_the_sink_writes_the_source_reads_through_another_implementation() {
    let (server, address) = listener().await;
    let registers = Registers::default();
    tokio::spawn(async move {
        let service = |_| Ok(Some(registers.clone()));
        let connected = |stream, peer| {
            let accepted = accept_tcp_connection(stream, peer, service);
            async move { accepted }
        };
        server.serve(&connected, |_| {}).await
    });
    let (mut sink, _) = sink(address, MAP, &json!({})).await;
    let outcome = sink.write(&written().await, Timestamp(0)).await.expect("written");
    assert_eq!((outcome.written, outcome.rejected), (2, vec![]));
    let (mut source, _) = source(address, MAP, &json!({"poll": "1ms"})).await;
    assert_eq!(shown(&pull(&mut *source).await.expect("a poll")), "a 1.25 good\nb -7.0 good\nhole - bad\n");
}

#[tokio::test]
async fn an_encrypted_connection_works_like_a_plain_one() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a certificate with its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let (server, address) = listener().await;
    let registers = Registers(Arc::new(Mutex::new((0..5).map(|register| (register, 9)).collect())));
    tokio::spawn(async move {
        let connected = |stream: TcpStream, _: SocketAddr| {
            let (acceptor, registers) = (acceptor.clone(), registers.clone());
            async move { Ok::<_, io::Error>(acceptor.accept(stream).await.ok().map(|stream| (registers, stream))) }
        };
        server.serve(&connected, |_| {}).await
    });
    let folder = folder(MAP);
    std::fs::write(folder.path().join("ca.pem"), made.cert.pem()).expect("written");
    let url = format!("modbus://localhost:{}", address.port());
    let options = json!({"url": url, "registers": "map.csv", "tls": {"ca": "ca.pem"}});
    let planned = find("modbus").expect("there").plan_source(&options, &context(&folder)).expect("good options");
    let mut source = (planned.build)(&build().0);
    source.open(None).await.expect("a handshake");
    assert!(shown(&pull(&mut *source).await.expect("a poll")).ends_with("b 9.0 good\nhole 9.0 good\n"));
}
