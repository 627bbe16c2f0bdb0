//! (being written)

use std::{io, sync::Arc, thread};

use tokio::sync::mpsc;

use crate::{Input, Job, Output, transcoder::Progress};

/// A running pipeline's thread, joined on drop.
#[derive(Debug)]
pub(crate) struct Joined(Option<thread::JoinHandle<()>>);

impl Drop for Joined {
    fn drop(&mut self) {
        if let Some(thread) = self.0.take() {
            let _ = thread.join();
        }
    }
}

/// Starts the pipeline in a thread.
pub(crate) fn in_thread(
    _job: Job,
    mut inbox: mpsc::Receiver<Input>,
    outbox: mpsc::Sender<Output>,
    _progress: Arc<Progress>,
) -> io::Result<Joined> {
    thread::Builder::new()
        .name("pipeline".into())
        .spawn(move || {
            while inbox.blocking_recv().is_some() {}
            let _ = outbox.blocking_send(Output::Finished);
        })
        .map(|thread| Joined(Some(thread)))
}
