//! A service that answers as a test says and keeps what it was asked: the test kit's servers take no such requests.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::Arc;

use parking_lot::Mutex;

/// A status line without the version, with more headers after it if there are any, and a body.
pub(super) type Answer = (&'static str, String);

pub(super) struct Service {
    address: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Service {
    /// Answers each request, given as it came, by `answer`; `None` is 404.
    pub(super) fn start(answer: impl Fn(&str) -> Option<Answer> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::<Mutex<Vec<String>>>::default();
        let log = seen.clone();
        // The thread ends with the process; it waits for connections and holds nothing.
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(mut connection) = connection else { return };
                let request = read_request(&mut BufReader::new(&connection));
                let (status, body) = answer(&request).unwrap_or(("404 Not Found", String::new()));
                log.lock().push(request);
                let length = body.len();
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
                let _ = connection.write_all(format!("{head}{body}").as_bytes());
            }
        });
        Self { address, seen }
    }

    pub(super) fn address(&self) -> String {
        self.address.clone()
    }

    /// What was asked since this was last called: each request's first line, headers and body, as they came.
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock())
    }
}

fn read_request(reader: &mut impl BufRead) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|read| read > 0) {}
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    head + &String::from_utf8_lossy(&body)
}
