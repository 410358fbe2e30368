//! As much of an HTTP/1.1 client as scrapes, queries and remote write need: requests on one
//! connection that stays open, bodies of a given length or in chunks.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream,
};
use tokio::net::TcpStream;

use crate::formats::post_head;

/// Largest body, and largest line of a head.
const MAX_BODY_BYTES: usize = 1 << 30;
const MAX_LINE_BYTES: u64 = 16 << 10;
/// Of what a server says about its refusal, as much as an error shows.
const MAX_SAID: usize = 300;

/// A connection to a server.
pub(crate) struct Connection {
    address: SocketAddr,
    stream: BufStream<TcpStream>,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) gzip: bool,
    /// As it came, compressed or not.
    pub(crate) body: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nothing listens there.
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await;
        let stream = stream.with_context(|| format!("connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Self { address, stream: BufStream::new(stream) })
    }

    /// Asks for a page, compressed if `gzip` says so and the server can.
    ///
    /// # Errors
    /// Any answer but 200, and whatever is not HTTP.
    pub(crate) async fn get(&mut self, path: &str, gzip: bool) -> anyhow::Result<Answer> {
        let encoding = if gzip { "gzip" } else { "identity" };
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: sextant-bench\r\n\
             Accept: text/plain;version=0.0.4\r\nAccept-Encoding: {encoding}\r\n\r\n",
            self.address
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.stream.flush().await?;
        let answer = read(&mut self.stream).await;
        answer.with_context(|| format!("GET http://{}{path}", self.address))
    }

    /// Sends a body.
    ///
    /// # Errors
    /// Any answer but success, and whatever is not HTTP.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> anyhow::Result<Answer> {
        let head = post_head(path, headers, body.len());
        self.stream.write_all(head.as_bytes()).await?;
        self.stream.write_all(body).await?;
        self.stream.flush().await?;
        let answer = read(&mut self.stream).await;
        answer.with_context(|| format!("POST http://{}{path}", self.address))
    }
}

async fn read(stream: &mut (impl AsyncBufRead + Unpin)) -> anyhow::Result<Answer> {
    let status = line(stream).await?;
    let code = status.split(' ').nth(1).unwrap_or_default();
    let good = matches!(code, "200" | "204");
    let (mut length, mut chunked, mut gzip) = (None, false, false);
    loop {
        let header = line(stream).await?.to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        match header.split_once(':').map(|(name, value)| (name, value.trim())) {
            Some(("content-length", value)) => length = Some(value.parse()?),
            Some(("transfer-encoding", value)) => chunked = value == "chunked",
            Some(("content-encoding", value)) => gzip = value == "gzip",
            _ => {}
        }
    }
    let mut body = Vec::new();
    if chunked {
        while let size @ 1.. = chunk_size(&line(stream).await?)? {
            part(stream, size, &mut body).await?;
            line(stream).await?;
        }
        while !line(stream).await?.is_empty() {}
    } else if code != "204" {
        part(stream, length.context("answer has no length")?, &mut body).await?;
    }
    if !good {
        let said: String = String::from_utf8_lossy(&body).chars().take(MAX_SAID).collect();
        bail!("answer is {status:?}: {said}");
    }
    Ok(Answer { gzip, body })
}

fn chunk_size(line: &str) -> anyhow::Result<usize> {
    let digits = line.split(';').next().unwrap_or_default().trim();
    usize::from_str_radix(digits, 16).with_context(|| format!("{line:?} is no size of a chunk"))
}

async fn part(
    stream: &mut (impl AsyncBufRead + Unpin),
    size: usize,
    body: &mut Vec<u8>,
) -> anyhow::Result<()> {
    let start = body.len();
    if size > MAX_BODY_BYTES - start.min(MAX_BODY_BYTES) {
        bail!("answer is over {MAX_BODY_BYTES} bytes");
    }
    body.resize(start + size, 0);
    stream.read_exact(&mut body[start..]).await?;
    Ok(())
}

async fn line(stream: &mut (impl AsyncBufRead + Unpin)) -> anyhow::Result<String> {
    let mut line = Vec::new();
    let mut bounded = stream.take(MAX_LINE_BYTES);
    bounded.read_until(b'\n', &mut line).await?;
    if line.pop() != Some(b'\n') {
        bail!("answer ends in the middle, or has a line over {MAX_LINE_BYTES} bytes");
    }
    line.pop_if(|last| *last == b'\r');
    Ok(String::from_utf8(line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(text: &str) -> anyhow::Result<(Answer, String)> {
        let mut stream = text.as_bytes();
        let answer = read(&mut stream).await?;
        Ok((answer, String::from_utf8_lossy(stream).into_owned()))
    }

    #[tokio::test]
    async fn bodies_end_where_the_next_answer_begins() {
        let plain = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1";
        let chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                      3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nTrailer: x\r\n\r\nHTTP/1.1";
        for text in [plain, chunks] {
            let (found, rest) = answer(text).await.unwrap();
            assert_eq!(found, Answer { gzip: false, body: b"hello".to_vec() });
            assert_eq!(rest, "HTTP/1.1");
        }
        let (none, rest) = answer("HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1").await.unwrap();
        assert_eq!((none.body.len(), rest.as_str()), (0, "HTTP/1.1"));
        let gzip = plain.replace("Content-Length", "Content-Encoding: gzip\r\nContent-Length");
        assert!(answer(&gzip).await.unwrap().0.gzip);
    }

    #[tokio::test]
    async fn what_is_no_complete_answer_is_an_error() {
        for text in [
            "",
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
            "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        ] {
            assert!(answer(text).await.is_err(), "{text:?}");
        }
    }
}
