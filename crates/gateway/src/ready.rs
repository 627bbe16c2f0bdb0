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

/// Runs the command.
///
/// # Errors
/// When the configuration is wrong, or no gateway answers.
pub(crate) fn run(flags: &ServeFlags) -> anyhow::Result<ExitCode> {
    let address = reachable(flags.load()?.http_listen);
    let answer = ask(address).with_context(|| format!("no gateway answers at {address}"))?;
    println!("{answer}");
    Ok(if answer.split(' ').nth(1) == Some("200") { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The status line of `/readyz`.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut head = [0; 128];
    let count = socket.read(&mut head)?;
    let text = String::from_utf8_lossy(&head[..count]);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// An address that listens on all interfaces is asked on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
