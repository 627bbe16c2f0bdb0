#![allow(unsafe_code)]
//! (being written)
