//! `sluice ready`: asks the gateway on this machine whether it is ready, for health checks of containers.

use std::{
    io::{Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context;

use crate::cli::ServeFlags;

const PATIENCE: Duration = Duration::from_secs(2);
/// Most bytes of an answer that are read.
const MOST: u64 = 1 << 20;

/// Runs the command.
///
/// # Errors
/// When the configuration is wrong, or no gateway answers.
pub(crate) fn run(flags: &ServeFlags) -> anyhow::Result<ExitCode> {
    let address = reachable(flags.load()?.http_listen);
    let (status, body) =
        ask(address, "/readyz").with_context(|| format!("no gateway answers at {address}"))?;
    println!("{status} {}", body.trim());
    Ok(if status == 200 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Status and body of what the gateway at `address` answers.
pub(crate) fn ask(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    // The old version's answers are never cut in chunks, and end with the connection.
    socket.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    socket.take(MOST).read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    let status = text.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other("the answer is no HTTP"))?;
    Ok((status, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()))
}

/// An address that listens on all interfaces is asked on loopback.
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
