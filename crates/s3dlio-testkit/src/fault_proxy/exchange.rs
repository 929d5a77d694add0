//! One connection of the proxy: requests in, answers out, with their faults.

use std::collections::BTreeMap;
use std::io::Result;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;

use super::Shared;
use super::rule::{self, At, Canned, Cut, Effects};
use super::wire::{Framing, Head, Wire};
use crate::data;

/// A capped body is sent in pieces of this size, so that its rate is even.
const PACED_PIECE: usize = 8 * 1024;
/// What a body without a length counts as, for the choice of the bytes to flip.
const ASSUMED_LENGTH: u64 = 64 * 1024;

/// Whether the connection takes another request.
enum Next {
    Request(Wire, Option<Wire>),
    End,
}

/// Serves a client's connection until either side ends it.
pub(super) async fn serve(stream: TcpStream, shared: &Shared) -> Result<()> {
    if shared.deaf.load(Ordering::SeqCst) {
        // It must read to see the end, but answers nothing.
        let mut client = Wire::new(stream);
        while client.read_body(&mut Framing::UntilClose).await?.is_some() {}
        return Ok(());
    }
    let mut client = Wire::new(stream);
    let mut server = None;
    while let Some(request) = client.read_head().await? {
        match exchange(client, server, request, shared).await? {
            Next::Request(client_again, server_again) => {
                client = client_again;
                server = server_again;
            }
            Next::End => break,
        }
    }
    Ok(())
}

async fn exchange(mut client: Wire, server: Option<Wire>, head: Head, shared: &Shared) -> Result<Next> {
    let request = head.request()?;
    shared.log.push(request.clone());
    let effects = rule::effects(&mut shared.rules.lock(), &request);

    if let Some(answer) = &effects.answer {
        let mut framing = head.request_framing()?;
        while client.read_body(&mut framing).await?.is_some() {}
        delay(&client, &effects).await?;
        if let Some(cut) = effects.cut_at(At::Head) {
            return Ok(finish(client, cut).await);
        }
        client.write(&canned(answer, &request.method)).await?;
        return Ok(if head.closes() { Next::End } else { Next::Request(client, server) });
    }

    let mut server = match server {
        Some(server) => server,
        None => {
            let Ok(stream) = TcpStream::connect(shared.upstream).await else {
                return Ok(finish(client, Cut::Reset).await);
            };
            stream.set_nodelay(true)?;
            Wire::new(stream)
        }
    };
    let forwarded = if shared.rewrite_host { head.with_host(&shared.upstream.to_string()) } else { head.raw.clone() };
    let mut sent_all = server.write(&forwarded).await.is_ok();
    match forward_request_body(&mut client, &mut server, &head, &effects).await? {
        Sent::Cut(cut) => return Ok(finish(client, cut).await),
        Sent::All => {}
        Sent::Refused => sent_all = false,
    }

    let answer = loop {
        let answer = tokio::select! {
            answer = server.read_head() => answer?,
            () = client.gone() => return Ok(Next::End),
        };
        let Some(answer) = answer else { return Ok(finish(client, Cut::Reset).await) };
        if !answer.is_interim() {
            break answer;
        }
        client.write(&answer.raw).await?;
    };
    delay(&client, &effects).await?;
    if let Some(cut) = effects.cut_at(At::Head) {
        return Ok(finish(client, cut).await);
    }
    if let Some(cut) = effects.cut_at(At::InHead) {
        client.write(&answer.raw[..answer.raw.len() / 2]).await?;
        return Ok(finish(client, cut).await);
    }
    client.write(&answer.raw).await?;
    let framing = answer.answer_framing(&request.method)?;
    if let Some(cut) = forward_answer_body(&mut client, &mut server, framing, &effects).await? {
        return Ok(finish(client, cut).await);
    }
    let closes = head.closes() || answer.closes() || framing == Framing::UntilClose || !sent_all;
    Ok(if closes { Next::End } else { Next::Request(client, Some(server)) })
}

enum Sent {
    All,
    /// The server has stopped reading; its answer says why.
    Refused,
    Cut(Cut),
}

async fn forward_request_body(client: &mut Wire, server: &mut Wire, head: &Head, effects: &Effects) -> Result<Sent> {
    let mut framing = head.request_framing()?;
    let chunked = matches!(framing, Framing::Chunked(_));
    let mut limit = match effects.cut {
        Some((At::RequestBody(bytes), cut)) => Some((bytes, cut)),
        _ => None,
    };
    while let Some(mut piece) = client.read_body(&mut framing).await? {
        if let Some((left, cut)) = &mut limit {
            if piece.len() as u64 >= *left {
                piece.truncate(*left as usize);
                let _ = server.write(&framed(&piece, chunked)).await;
                return Ok(Sent::Cut(*cut));
            }
            *left -= piece.len() as u64;
        }
        if server.write(&framed(&piece, chunked)).await.is_err() {
            return Ok(Sent::Refused);
        }
    }
    if chunked && server.write(b"0\r\n\r\n").await.is_err() {
        return Ok(Sent::Refused);
    }
    // A body shorter than the limit is cut at its end.
    Ok(limit.map_or(Sent::All, |(_, cut)| Sent::Cut(cut)))
}

/// Forwards an answer's body; what is returned is still to be done to the connection.
async fn forward_answer_body(
    client: &mut Wire,
    server: &mut Wire,
    mut framing: Framing,
    effects: &Effects,
) -> Result<Option<Cut>> {
    let chunked = matches!(framing, Framing::Chunked(_));
    let flips = flips(effects, framing.length().unwrap_or(ASSUMED_LENGTH));
    let limit = match effects.cut {
        Some((At::Body(bytes), cut)) => Some((bytes, cut)),
        _ => None,
    };
    let mut position = 0;
    let mut due = tokio::time::Instant::now();
    loop {
        if let Some((bytes, cut)) = limit
            && position >= bytes
        {
            return Ok(Some(cut));
        }
        let piece = tokio::select! {
            piece = server.read_body(&mut framing) => piece,
            () = client.gone() => return Ok(Some(Cut::Close)),
        };
        // A server that breaks off must look broken to the client as well.
        let Ok(piece) = piece else { return Ok(Some(Cut::Reset)) };
        let Some(mut piece) = piece else { break };
        if let Some((bytes, _)) = limit {
            piece.truncate((bytes - position).min(piece.len() as u64) as usize);
        }
        let length = piece.len() as u64;
        let piece = flip(piece, position, &flips);
        send_paced(client, piece, chunked, effects, &mut due).await?;
        position += length;
    }
    if chunked {
        client.write(b"0\r\n\r\n").await?;
    }
    Ok(None)
}

/// Sends a piece of a body when it is due. The time that a piece takes is counted from when the one before it was due, so
/// that timers that are late do not add up.
async fn send_paced(
    client: &mut Wire,
    mut piece: Bytes,
    chunked: bool,
    effects: &Effects,
    due: &mut tokio::time::Instant,
) -> Result<()> {
    let Some(rate) = effects.bytes_per_second else { return client.write(&framed(&piece, chunked)).await };
    while !piece.is_empty() {
        let part = piece.split_to(piece.len().min(PACED_PIECE));
        *due += Duration::from_secs_f64(part.len() as f64 / rate as f64);
        tokio::time::sleep_until(*due).await;
        client.write(&framed(&part, chunked)).await?;
    }
    Ok(())
}

/// A piece of a body as it goes over the wire.
fn framed(piece: &Bytes, chunked: bool) -> Bytes {
    if !chunked || piece.is_empty() {
        return piece.clone();
    }
    let mut out = BytesMut::from(format!("{:x}\r\n", piece.len()).as_bytes());
    out.extend_from_slice(piece);
    out.extend_from_slice(b"\r\n");
    out.freeze()
}

/// Positions to change, and what to change them by.
fn flips(effects: &Effects, length: u64) -> BTreeMap<u64, u8> {
    let Some((mut state, count)) = effects.flips else { return BTreeMap::new() };
    let mut flips = BTreeMap::new();
    while (flips.len() as u64) < (count as u64).min(length) {
        let position = data::next(&mut state) % length;
        // Never 0, which would change nothing.
        flips.insert(position, (data::next(&mut state) % 255) as u8 + 1);
    }
    flips
}

fn flip(piece: Bytes, position: u64, flips: &BTreeMap<u64, u8>) -> Bytes {
    let mut here = flips.range(position..position + piece.len() as u64).peekable();
    if here.peek().is_none() {
        return piece;
    }
    let mut piece = BytesMut::from(piece);
    for (at, change) in here {
        piece[(at - position) as usize] ^= change;
    }
    piece.freeze()
}

async fn delay(client: &Wire, effects: &Effects) -> Result<()> {
    let Some(delay) = effects.delay else { return Ok(()) };
    tokio::select! {
        () = tokio::time::sleep(delay) => Ok(()),
        () = client.gone() => Err(std::io::ErrorKind::ConnectionAborted.into()),
    }
}

/// Ends the client's connection in the chosen way.
async fn finish(client: Wire, cut: Cut) -> Next {
    match cut {
        Cut::Reset => client.reset(),
        Cut::Close => client.close().await,
        Cut::Stall => client.gone().await,
    }
    Next::End
}

fn canned(answer: &Canned, method: &http::Method) -> Vec<u8> {
    let status = http::StatusCode::from_u16(answer.status).ok();
    let reason = status.and_then(|status| status.canonical_reason()).unwrap_or("Unknown");
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", answer.body.len()));
    let mut out = head.into_bytes();
    if method != http::Method::HEAD {
        out.extend_from_slice(&answer.body);
    }
    out
}
