//! Chromium as a child process, by way of tests/e2e/browser/driver.mjs.

use super::Home;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// A browser that takes commands.
pub struct Browser {
    child: Child,
    stdin: ChildStdin,
    answers: Receiver<String>,
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/browser"))
}

impl Browser {
    /// Installs playwright-core from the lock file if it is not there, and starts Chromium.
    ///
    /// # Panics
    /// When either fails.
    #[track_caller]
    pub fn start(home: &Home) -> Self {
        if !folder().join("node_modules/playwright-core").is_dir() {
            let output =
                Command::new("npm").args(["ci", "--no-audit", "--no-fund"]).current_dir(folder()).output();
            let output = output.expect("npm runs");
            assert!(output.status.success(), "npm ci: {}", String::from_utf8_lossy(&output.stderr));
        }
        let log = std::fs::File::create(home.path("browser.log")).expect("a log");
        let mut child = Command::new("node")
            .arg("driver.mjs")
            .current_dir(folder())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("node runs");
        let stdin = child.stdin.take().expect("piped");
        let stdout = child.stdout.take().expect("piped");
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let browser = Browser { child, stdin, answers };
        let hello = browser.answer("the start");
        eprintln!("Chromium {}", hello["version"]);
        browser
    }

    fn answer(&self, to: &str) -> Value {
        let line = self.answers.recv_timeout(Duration::from_secs(150));
        let line = line.unwrap_or_else(|_| panic!("no answer to {to}; see browser.log"));
        serde_json::from_str(&line).unwrap_or_else(|e| panic!("{to}: {e}: {line}"))
    }

    /// One command; the answer whatever it is.
    ///
    /// # Panics
    /// When the driver is gone.
    #[track_caller]
    pub fn ask(&mut self, command: &str) -> Value {
        writeln!(self.stdin, "{command}").expect("the driver listens");
        let answer = self.answer(command);
        eprintln!("{command}: {answer}");
        answer
    }

    /// One command that has to go well.
    ///
    /// # Panics
    /// With what went wrong.
    #[track_caller]
    pub fn tell(&mut self, command: &str) -> Value {
        let answer = self.ask(command);
        assert!(answer["ok"] == true, "{command}: {answer}");
        answer
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its children end with it: the driver closes Chromium on "quit"; a driver that hangs is killed.
        let _ = writeln!(self.stdin, "quit");
        for _ in 0..100 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        for pid in crate::proc::tree(self.child.id()).into_iter().rev() {
            super::send(pid, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
