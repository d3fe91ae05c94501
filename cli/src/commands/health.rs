//! `conclave health`: asks `/readyz` (or `/livez`) of each endpoint. Without a runtime and without gRPC, since a container asks
//! every few seconds.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use serde::Serialize;

use crate::args::{Global, HealthArgs};
use crate::failure::{Failure, code};
use crate::output::{self, Show};

/// Of an answer only its first line counts.
const ANSWER_BYTES_MAX: u64 = 4 * 1024;

#[derive(Debug, Serialize)]
struct Healthy {
    endpoint: String,
    healthy: bool,
}

impl Show for Healthy {
    fn table(&self) -> String {
        format!("{} is ready\n", self.endpoint)
    }
}

pub(crate) fn run(global: &Global, args: &HealthArgs) -> Result<u8, Failure> {
    let path = if args.live { "/livez" } else { "/readyz" };
    let mut problems = Vec::new();
    let mut answered = false;
    for endpoint in &global.endpoints {
        match ask(endpoint, path, global.connect_timeout) {
            Ok(200) => {
                output::print(
                    global.output,
                    &Healthy { endpoint: endpoint.clone(), healthy: true },
                )?;
                return Ok(0);
            }
            Ok(status) => {
                answered = true;
                problems.push(format!("{endpoint} answers {status} to {path}"));
            }
            Err(error) => problems.push(format!("{endpoint}: {error}")),
        }
    }
    let (code, advice) = if answered {
        (code::REFUSED, "it has no leader yet or is stopping; see `conclave status`")
    } else {
        (code::NO_CLUSTER, "start a node with `conclave dev` or name others with --endpoint")
    };
    Err(Failure::new(code, format!("not ready: {}", problems.join(", ")), advice))
}

/// The status code of one GET.
fn ask(endpoint: &str, path: &str, limit: Duration) -> io::Result<u16> {
    let host = endpoint.trim_start_matches("http://").trim_end_matches('/');
    let limit = limit.max(Duration::from_millis(1));
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in host.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(stream) => return get(stream, host, path, limit),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn get(mut stream: TcpStream, host: &str, path: &str, limit: Duration) -> io::Result<u16> {
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut part = [0; 512];
    let mut stream = stream.take(ANSWER_BYTES_MAX);
    while !answer.contains(&b'\n') {
        match stream.read(&mut part)? {
            0 => break,
            length => answer.extend_from_slice(&part[..length]),
        }
    }
    status_of(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP answer"))
}

/// `HTTP/1.1 200 OK` is 200.
fn status_of(answer: &[u8]) -> Option<u16> {
    let line = str::from_utf8(answer.split(|&byte| byte == b'\n').next()?).ok()?;
    let mut words = line.split_whitespace();
    words.next()?.starts_with("HTTP/").then_some(())?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_from_the_first_line() {
        assert_eq!(status_of(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"), Some(503));
        assert_eq!(status_of(b"SSH-2.0-OpenSSH\r\n"), None);
        assert_eq!(status_of(b""), None);
    }
}
