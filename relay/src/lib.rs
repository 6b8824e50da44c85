//! Puts what pinhole boxes see on the web.
