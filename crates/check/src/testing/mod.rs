//! What tests serve: a server that keeps to the book, and a live presentation for it.

pub(crate) mod server;
pub(crate) mod show;
