use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::*;
use crate::data;
use crate::http_server::{Behaviour, HttpServer};
use crate::process::eventually;

const LIMIT: Duration = Duration::from_secs(10);

struct Setup {
    server: HttpServer,
    proxy: FaultProxy,
    body: bytes::Bytes,
}

fn setup() -> Setup {
    let server = HttpServer::start().unwrap();
    let proxy = FaultProxy::start(server.address()).unwrap();
    let body = data::bytes(7, 100_000);
    server.put("/a", body.clone());
    Setup { server, proxy, body }
}

/// A plain client: sends one GET, reads until the end or an error.
struct Client(TcpStream);

impl Client {
    fn get(proxy: &FaultProxy, path: &str) -> Self {
        let mut stream = TcpStream::connect(proxy.address()).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        Self(stream)
    }

    /// Everything that came, and how it ended.
    fn read(mut self) -> (Vec<u8>, Option<ErrorKind>) {
        let mut out = Vec::new();
        let error = self.0.read_to_end(&mut out).err().map(|error| error.kind());
        (out, error)
    }
}

fn split(answer: &[u8]) -> (String, &[u8]) {
    let at = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    (String::from_utf8_lossy(&answer[..at]).to_lowercase(), &answer[at + 4..])
}

#[test]
fn without_rules_everything_passes() {
    let Setup { server, proxy, body } = setup();
    let (answer, error) = Client::get(&proxy, "/a").read();
    assert_eq!((split(&answer).1, error), (&body[..], None));
    server.set_behaviour(Behaviour { chunked: true, ..Behaviour::default() });
    let (answer, error) = Client::get(&proxy, "/a").read();
    let (head, chunked) = split(&answer);
    assert!(head.contains("transfer-encoding: chunked") && error.is_none(), "{head}");
    assert!(chunked.len() > body.len() && chunked.ends_with(b"\r\n0\r\n\r\n"));
    assert_eq!((proxy.log().len(), proxy.accepted_connections(), server.log().len()), (2, 2, 2));
    assert!(eventually(LIMIT, || proxy.open_connections() == 0 && server.open_connections() == 0));
}

#[test]
fn a_reset_comes_where_it_was_asked_for() {
    let Setup { server: _server, proxy, body } = setup();
    for (at, least, most) in [(At::Head, 0, 0), (At::InHead, 1, 200)] {
        proxy.heal();
        proxy.add(Rule::method("GET").reset(at));
        let (answer, error) = Client::get(&proxy, "/a").read();
        assert_eq!(error, Some(ErrorKind::ConnectionReset), "{at:?}");
        assert!((least..=most).contains(&answer.len()), "{at:?}: {} bytes", answer.len());
    }
    proxy.heal();
    proxy.add(Rule::method("GET").reset(At::Body(1000)));
    let (answer, error) = Client::get(&proxy, "/a").read();
    assert_eq!(error, Some(ErrorKind::ConnectionReset));
    data::assert_same(split(&answer).1, &body[..1000], "before the reset");
}

#[test]
fn a_truncated_body_ends_in_good_order() {
    let Setup { server: _server, proxy, body } = setup();
    proxy.add(Rule::any().close(At::Body(70_000)));
    let (answer, error) = Client::get(&proxy, "/a").read();
    let (head, part) = split(&answer);
    assert!(head.contains("content-length: 100000") && error.is_none(), "{head} {error:?}");
    data::assert_same(part, &body[..70_000], "before the cut");
}

#[test]
fn a_stall_lasts_until_the_client_leaves() {
    let Setup { server, proxy, .. } = setup();
    for at in [At::Head, At::InHead, At::Body(10)] {
        proxy.heal();
        proxy.add(Rule::any().stall(at));
        let client = Client::get(&proxy, "/a");
        assert!(eventually(LIMIT, || proxy.open_connections() == 1));
        client.0.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
        let mut stream = client.0.try_clone().unwrap();
        let (_, error) = client.read();
        assert_eq!(error, Some(ErrorKind::WouldBlock), "{at:?}");
        assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(stream);
        assert!(eventually(LIMIT, || server.open_connections() == 0 && proxy.open_connections() == 0), "{at:?}");
    }
    // Deaf: not even the request is taken.
    proxy.heal();
    proxy.set_deaf(true);
    let requests = proxy.log().len();
    let client = Client::get(&proxy, "/a");
    client.0.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
    assert_eq!(client.read().1, Some(ErrorKind::WouldBlock));
    assert_eq!(proxy.log().len(), requests);
    assert!(eventually(LIMIT, || proxy.open_connections() == 0));
}

#[test]
fn flipped_bytes_depend_on_the_seed() {
    let Setup { server: _server, proxy, body } = setup();
    let differences = |seed| {
        proxy.heal();
        proxy.add(Rule::any().flip_bytes(seed, 3));
        let (answer, _) = Client::get(&proxy, "/a").read();
        let pairs = split(&answer).1.iter().zip(body.iter()).enumerate();
        pairs.filter(|(_, (a, b))| a != b).map(|(at, _)| at).collect::<Vec<_>>()
    };
    let first = differences(1);
    assert_eq!(first.len(), 3);
    assert_eq!(first, differences(1));
    assert_ne!(first, differences(2));
}

#[test]
fn rules_choose_their_requests_and_give_answers_of_their_own() {
    let Setup { server, proxy, body } = setup();
    proxy.add(Rule::method("GET").path("/a").first(1).server_error(503, Some(7)));
    proxy.add(Rule::method("GET").path("/a").nth(2).server_error(429, None));
    proxy.add(Rule::method("GET").path("/b").redirect(302, "/a"));
    proxy.add(Rule::method("PUT").never_answer());
    let (first, _) = Client::get(&proxy, "/a").read();
    let head = split(&first).0;
    assert!(head.starts_with("http/1.1 503 ") && head.contains("retry-after: 7"), "{head}");
    let (second, _) = Client::get(&proxy, "/a").read();
    assert!(split(&second).0.starts_with("http/1.1 429 "));
    let (redirect, _) = Client::get(&proxy, "/b").read();
    assert!(split(&redirect).0.contains("location: /a"));
    assert_eq!(server.log().len(), 0);
    let (third, _) = Client::get(&proxy, "/a").read();
    assert_eq!(split(&third).1, body);
}

#[test]
fn delay_and_bandwidth_hold_an_answer_back() {
    let Setup { server: _server, proxy, body } = setup();
    proxy.add(Rule::any().delay(Duration::from_millis(40)));
    proxy.add(Rule::any().bandwidth(1_000_000));
    let start = Instant::now();
    let (answer, _) = Client::get(&proxy, "/a").read();
    assert_eq!(split(&answer).1, body);
    // A lower bound holds on any machine, however loaded.
    assert!(start.elapsed() >= Duration::from_millis(140), "{:?}", start.elapsed());
}

#[test]
fn a_request_body_is_cut_before_the_server_has_it() {
    let Setup { server, proxy, .. } = setup();
    proxy.add(Rule::method("PUT").reset(At::RequestBody(5)));
    let mut stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(stream, "PUT /a HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n0123456789").unwrap();
    assert_eq!(stream.read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert!(eventually(LIMIT, || server.open_connections() == 0));
}

#[test]
fn dropping_the_proxy_closes_what_is_open() {
    let Setup { server, proxy, .. } = setup();
    proxy.add(Rule::any().never_answer());
    let client = Client::get(&proxy, "/a");
    assert!(eventually(LIMIT, || server.log().len() == 1));
    drop(proxy);
    let (answer, _) = client.read();
    assert!(answer.is_empty());
    assert!(eventually(LIMIT, || server.open_connections() == 0));
    assert!(TcpStream::connect(refusing_address()).is_err());
}
