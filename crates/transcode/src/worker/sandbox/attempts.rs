//! What broken-in code would try, tried: for tests, and for `sluice doctor`, which shows that it is refused here too.
//! Everything tried is harmless where it goes through.

use std::{
    fs::{self, File},
    io,
    net::{TcpListener, TcpStream, UdpSocket},
    os::unix::net::{UnixDatagram, UnixStream},
    process::{Command, Stdio},
    thread,
};

use serde::{Deserialize, Serialize};

const START_A_THREAD: &str = "start a thread";

/// One thing that was tried.
#[doc(hidden)]
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Attempt {
    /// What, in words.
    pub what: String,
    /// The error's number; `None` when it went through.
    pub errno: Option<i32>,
}

impl Attempt {
    /// Whether a worker may do it: codecs start threads.
    pub fn is_harmless(&self) -> bool {
        self.what == START_A_THREAD
    }

    /// Whether a sandbox refused it: EPERM or EACCES, rather than an answer from behind it.
    pub fn refused(&self) -> bool {
        self.errno == Some(rustix::io::Errno::PERM.raw_os_error())
            || self.errno == Some(rustix::io::Errno::ACCESS.raw_os_error())
    }
}

/// Tries everything.
pub(crate) fn all() -> Vec<Attempt> {
    let mut tried = Vec::new();
    let mut note = |what: &str, result: io::Result<()>| {
        let errno = result.err().map(|error| error.raw_os_error().unwrap_or(-1));
        tried.push(Attempt { what: what.to_owned(), errno });
    };
    let scratch = std::env::temp_dir().join(format!("sluice-sandbox-{}", std::process::id()));
    note("read a file", File::open("/etc/passwd").map(drop));
    note("make a file", File::create(&scratch).map(drop));
    let _ = fs::remove_file(&scratch);
    note("list a directory", fs::read_dir("/proc").map(drop));
    note("connect over TCP", TcpStream::connect("127.0.0.1:9").map(drop));
    note("listen for TCP", TcpListener::bind("127.0.0.1:0").map(drop));
    note("open a UDP socket", UdpSocket::bind("127.0.0.1:0").map(drop));
    note("connect over a Unix socket", UnixStream::connect("/run/sluice-none").map(drop));
    note("open a Unix socket", UnixDatagram::unbound().map(drop));
    note("start a program", start_program());
    note(START_A_THREAD, thread::Builder::new().spawn(|| ()).map(|thread| drop(thread.join())));
    elsewhere(&mut note);
    tried
}

fn start_program() -> io::Result<()> {
    let mut child = Command::new("/bin/true").stdin(Stdio::null()).spawn()?;
    child.wait().map(drop)
}

/// Towards the gateway, and the process's own bounds.
#[cfg(target_os = "linux")]
fn elsewhere(note: &mut impl FnMut(&str, io::Result<()>)) {
    use rustix::process::{
        DumpableBehavior, PidfdFlags, Resource, getppid, getrlimit, pidfd_open, set_dumpable_behavior,
        setrlimit, test_kill_process,
    };
    if let Some(parent) = getppid() {
        note("signal the gateway", test_kill_process(parent).map_err(io::Error::from));
        note(
            "take hold of the gateway",
            pidfd_open(parent, PidfdFlags::empty()).map(drop).map_err(io::Error::from),
        );
        let memory = format!("/proc/{}/mem", parent.as_raw_nonzero());
        note("open the gateway's memory", File::open(memory).map(drop));
    }
    let limit = getrlimit(Resource::Nofile);
    note("set a limit", setrlimit(Resource::Nofile, limit).map_err(io::Error::from));
    note("be dumpable", set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(io::Error::from));
    // Standard output stands for any descriptor that was inherited.
    let inherited = rustix::io::write(rustix::stdio::stdout(), b"").map(drop);
    note("use an inherited descriptor", inherited.map_err(io::Error::from));
}

#[cfg(not(target_os = "linux"))]
fn elsewhere(_: &mut impl FnMut(&str, io::Result<()>)) {}
