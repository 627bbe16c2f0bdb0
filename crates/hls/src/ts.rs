//! (transport stream muxing)
